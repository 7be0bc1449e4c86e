import json
import re

import numpy as np
import pytest

from tests.cli.examples import digits, naive_scores


def test_error_of_a_file_against_a_naive_loop(paring, pare, idx_folder):
    images, labels = digits(100, 2)
    predicted = naive_scores(images).argmax(1)
    code, out, _ = paring("eval", pare, "--data", f"mnist:{idx_folder}", "--json", "--per-class", "--threads", 1)
    found = json.loads(out)
    assert code == 0
    assert (found["images"], found["skipped"]) == (100, 0)
    assert found["wrong"] == np.count_nonzero(predicted != labels)
    assert found["error"] == found["wrong"] / 100
    for row in found["classes"]:
        mine = labels == int(row["class"])
        assert row["images"] == mine.sum()
        assert row["wrong"] == np.count_nonzero(predicted[mine] != labels[mine])
    scores = naive_scores(images)
    order = np.argsort(-scores, axis=1)[:, :5]
    assert found["top5_error"] == pytest.approx(
        np.mean([label not in best for label, best in zip(labels, order, strict=True)])
    )


def test_tables(paring, pare, idx_folder):
    code, out, _ = paring("eval", pare, "--data", f"mnist:{idx_folder}", "--split", "train", "--limit", 50)
    assert code == 0
    assert "train, 50 images" in out
    assert "native engine" in out
    code, out, _ = paring("eval", pare, "--data", f"mnist:{idx_folder}", "--per-class")
    assert code == 0
    assert len(out.splitlines()) == 12
    assert out.splitlines()[-1].split()[:2] == ["all", "100"]


def test_own_network_in_torch_gives_torch_s_error(paring, tiny, idx_folder):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    code, out, _ = paring(
        "eval", f"{tiny}:tiny", "--data", f"mnist:{idx_folder}", "--json", "--mean", "0.5", "--std", 0.5
    )
    assert code == 0
    namespace = {}
    exec(tiny.read_text(), namespace)
    images, labels = digits(100, 2)
    with torch.no_grad():
        scores = namespace["tiny"]()((torch.from_numpy(images).float()[:, None] / 255 - 0.5) / 0.5)
    assert json.loads(out)["wrong"] == int((scores.argmax(1).numpy() != labels).sum())


def test_mistakes(paring, pare, tiny, idx_folder, tmp_path):
    data = f"mnist:{idx_folder}"
    for words, code, message in [
        (["eval", pare, "--data", f"mnist:{tmp_path}/nowhere"], 3, "nowhere: folder does not exist"),
        (["eval", pare, "--data", "mnst:x"], 3, "unknown kind of data set; found 'mnst'; expected mnist"),
        (["eval", pare, "--data", data, "--split", "half"], 2, "unknown split"),
        (["eval", pare, "--data", data, "--limit", 0], 2, "limit must be at least 1"),
        (["eval", pare, "--data", data, "--threads", 0], 2, "--threads: invalid number of threads"),
        (["eval", pare, "--data", data, "--batch-size", 0], 2, "--batch-size: invalid batch size"),
        (["eval", pare, "--data", data, "--mean", 0.5], 2, "brings its own weights and preparation"),
        (["eval", pare, "--data", data, "--limit", "ten"], 2, "Invalid value for '--limit'"),
        (["eval", pare], 2, "Missing option '--data'"),
        (["eval", tmp_path / "no.pare", "--data", data], 4, "file cannot be read"),
        (["eval", "lenet_5_cafe", "--data", data], 2, "no such network in the zoo.*lenet_5_caffe"),
        (["eval", tmp_path / "no.safetensors", "--data", data], 6, "checkpoint does not exist"),
        (["eval", f"{tiny}:tinny", "--data", data], 2, "no such function; expected tiny"),
        (["eval", f"{tiny}:number", "--data", data], 2, "did not return a network; found int"),
        (["eval", f"{tiny}:broken", "--data", data], 2, "your code raised RuntimeError; found no luck today"),
        (["eval", f"{tmp_path}/none.py:x", "--data", data], 2, "file does not exist"),
        (["eval", f"{tiny}:tiny", "--data", data, "--size", 3], 2, "does not take the data's images"),
    ]:
        found, out, err = paring(*words)
        assert (found, out) == (code, ""), words
        assert re.search(message, err), (words, err)
        assert err.startswith("error: ")


def test_a_file_of_other_classes_is_not_scored(paring, pare, idx_folder):
    for names, message in [
        ("\n".join("abcdefghij"), "class 0 is '0'; expected 'a'"),
        ("a\nb\n" * 6, "10 answers; expected 12"),
    ]:
        (idx_folder / "classes.txt").write_text(names)
        try:
            code, out, err = paring("eval", pare, "--data", f"mnist:{idx_folder}")
        finally:
            (idx_folder / "classes.txt").unlink()
        assert (code, out) == (2, "")
        assert message in err
