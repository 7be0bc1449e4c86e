import json
import re
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")


@pytest.fixture
def command(tiny, idx_folder, tmp_path):
    """Words of a short compression; the file is tmp_path / tiny.pare."""
    words = ["compress", f"{tiny}:tiny", "--data", f"mnist:{idx_folder}", "--out", tmp_path / "tiny.pare"]
    return [*words, "--threads", 1, "--effort", 0.3, "--keep", "30%", "--centroids", 8, "--centroids", "4=16"]


def test_the_whole_way(paring, command, idx_folder, tmp_path):
    page = tmp_path / "page.html"
    code, out, err = paring(*command, "--json", "--report", page)
    assert code == 0, err
    found = json.loads(out)
    file = tmp_path / "tiny.pare"
    assert found["bytes"] == file.stat().st_size
    assert found["float_bytes"] == 4 * (4 * 25 + 4 + 144 * 10 + 10)
    assert found["ratio"] == found["float_bytes"] / found["bytes"]
    assert found["ratio"] > 4
    assert (found["images"], found["same_class"]) == (100, 100)
    assert found["largest_difference"] < 1e-3
    if found["not_measurable"] is None:  # on a machine that is busy with other work there are no times
        assert found["torch_ms"] > 0
        assert found["engine_ms"] > 0
        assert {found["torch_threads"], found["engine_threads"]} == {1}
    else:
        assert found["torch_ms"] is found["engine_ms"] is None
    layers = {layer["name"]: layer for layer in found["layers"]}
    kept = sum(layers[name]["kept"] for name in ("0.weight", "4.weight"))
    assert kept <= round(0.3 * (100 + 1440))
    assert layers["0.weight"]["centroids"] <= 8
    assert layers["4.weight"]["centroids"] <= 16
    text = page.read_text()
    assert f"{file.stat().st_size:,}" in text
    assert "paring compress" in text

    code, out, _ = paring("eval", file, "--data", f"mnist:{idx_folder}", "--json")
    assert (code, json.loads(out)["error"]) == (0, found["error"])
    code, out, _ = paring("inspect", file, "--json")
    rows = json.loads(out)["rows"]
    assert sum(row["bytes"] for row in rows) == found["bytes"]
    assert {row["name"]: row["nonzeros"] for row in rows if row["name"] in layers} == {
        name: layer["kept"] for name, layer in layers.items()
    }
    code, out, err = paring("report", file, "--run", tmp_path / "tiny.run", "--no-time")
    assert code == 0, err
    assert (tmp_path / "tiny.html").exists()


def test_the_table_adds_up_to_the_file(paring, command, tmp_path):
    code, out, err = paring(*command)
    assert code == 0, err
    size = (tmp_path / "tiny.pare").stat().st_size
    lines = out.splitlines()
    last = next(number for number, line in enumerate(lines) if line.startswith("file "))
    paper = [int(word.replace(",", "")) for word in lines[last].split()[1:]]
    assert paper[0] == size
    assert "engine and torch name the same class on 100 of 100 images" in out
    assert re.search(r"bytes +6,216 +[\d,]+ +[\d.]+ x smaller", out)


def test_a_checkpoint_is_compressed_without_training_it_anew(paring, command, tiny, idx_folder, tmp_path):
    trained = tmp_path / "trained.safetensors"
    words = ["train", f"{tiny}:tiny", "--data", f"mnist:{idx_folder}", "--epochs", 8, "--batch-size", 20, "--json"]
    code, out, _ = paring(*words, "--threads", 1, "--out", trained)
    error = json.loads(out)["error"]
    code, out, err = paring(*command, "--weights", trained, "--json")
    assert code == 0, err
    assert json.loads(out)["error_before"] == pytest.approx(error)
    stages = json.loads((tmp_path / "tiny.run" / "record.json").read_text())["stages"]
    assert (stages[0]["name"], stages[0]["epochs"]) == ("float", 0)
    with np.load(tmp_path / "tiny.run" / "baseline.npz") as arrays:
        from safetensors.torch import load_file

        for name, tensor in load_file(trained).items():
            np.testing.assert_array_equal(arrays[name], tensor.numpy())


def test_interrupted_and_resumed_is_the_same_to_the_bit(paring, command, tmp_path, monkeypatch):
    from paring.training.loop import _fit as _loop

    assert paring(*command)[0] == 0
    whole = (tmp_path / "tiny.pare").read_bytes()
    (tmp_path / "tiny.pare").unlink()
    code, out, err = paring(*command)
    assert (code, out) == (2, "")
    assert "folder holds an earlier run" in err
    other = [*command, "--run", tmp_path / "again"]
    step, done = _loop._step, []

    def counted(*arguments):
        done.append(1)
        if len(done) in (3, 11):
            signal.raise_signal(signal.SIGINT)
        return step(*arguments)

    monkeypatch.setattr(_loop, "_step", counted)
    code, out, err = paring(*other)
    assert (code, out) == (130, "")
    assert "--resume goes on" in err
    assert paring(*other, "--resume")[0] == 130
    code, out, err = paring(*other, "--resume", "--seed", 1)
    assert (code, out) == (6, "")
    assert "seed was 0, is 1" in err
    assert paring(*other, "--resume")[0] == 0
    assert (tmp_path / "tiny.pare").read_bytes() == whole


def test_an_engine_that_disagrees_is_not_hidden(paring, command, monkeypatch):
    from paring import capture

    honest = capture.rebuild

    def altered(graph):
        network = honest(graph)
        with torch.no_grad():
            network.get_parameter("4.bias").add_(0.5)
        return network

    monkeypatch.setattr(capture, "rebuild", altered)
    code, out, err = paring(*command)
    assert (code, out) == (1, "")
    assert "engine and torch disagree about the file; found scores differ by up to 0.5" in err


def test_huffman_is_the_paper_s_coding(paring, command, tmp_path):
    code, out, err = paring(*command, "--coding", "huffman", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["bytes"] == found["paper_bytes"]
    code, out, _ = paring("inspect", tmp_path / "tiny.pare", "--json")
    assert json.loads(out)["coding"] == "huffman"


def test_mistakes_are_found_before_anything_is_trained(paring, command, tmp_path, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("training began")

    monkeypatch.setattr("paring.training.loop._run.fit", never)
    net, data = command[1], command[3]
    for words, code, message in [
        (["--keep", "120%"], 2, "invalid share of weights to keep; found 1.2"),
        (["--keep", "4=120%"], 2, "4: invalid share of weights to keep; found 1.2"),
        (["--keep", "fc9=8%"], 2, "pattern matches no layer; found 'fc9'"),
        (["--centroids", "-1"], 2, "invalid number of centroids"),
        (["--centroids", "4=0"], 2, "4: invalid number of centroids"),
        (["--centroids", "conv*=9"], 2, "pattern matches no layer; found 'conv*'"),
        (["--centroids", "many"], 2, "--centroids: cannot read an amount; found 'many'"),
        (["--preset", "tiniest"], 2, "no such preset"),
        (["--recipe", "xnor"], 2, "no such recipe"),
        (["--coding", "zip"], 2, "no such coding"),
        (["--effort", "0"], 2, "invalid effort"),
        (["--out", tmp_path / "x.onnx"], 2, "file name has another ending"),
        (["--out", tmp_path / "no" / "x.pare"], 7, "no: folder does not exist"),
        (["--report", tmp_path / "no" / "x.html"], 7, "no: folder does not exist"),
        (["--data", f"mnist:{tmp_path}/none"], 3, "none: folder does not exist"),
        (["--weights", tmp_path / "none.pt"], 6, "checkpoint does not exist"),
        (["--restart", "polish"], 2, "no such step"),
        (["--threads", "0"], 2, "invalid number of threads"),
    ]:
        found, out, err = paring(*command, *words)
        assert (found, out) == (code, ""), (words, err)
        assert message in err, (words, err)
        assert err.count("\n") == 1, err
        assert not list(tmp_path.glob("*.pare"))
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    code, out, err = paring("compress", net, "--data", data, "-o", tmp_path / "x.pare", "-w", tmp_path / "other.pt")
    assert (code, out) == (6, "")
    assert "the checkpoint does not fit" in err


def test_a_full_disk_leaves_no_file(command, tmp_path):
    """The limit on a file's size stands for a full disk."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    words = [sys.executable, "-c", "from paring.cli import main; main()", *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 7, done.stderr
    assert "File too large" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("*.pare*"))
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.rglob("*.safetensors"))
