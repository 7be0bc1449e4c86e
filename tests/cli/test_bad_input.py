"""What a user can get wrong ends in one error, with its exit code, and nothing half-written."""

import errno
import importlib.util
import json
import logging
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

from paring.cli import _app as _main  # noqa: E402
from tests.cli.examples import digits  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    """JPEGs in class folders, one of them cut, one empty."""
    for split, count in (("train", 30), ("test", 20)):
        for number, (pixels, label) in enumerate(zip(*digits(count, 1), strict=True)):
            place = tmp_path / "images" / split / str(label)
            place.mkdir(parents=True, exist_ok=True)
            image.fromarray(pixels).save(place / f"{number:02}.jpg")
    cut = tmp_path / "images" / "train" / "3" / "13.jpg"
    cut.write_bytes(cut.read_bytes()[:300])
    (tmp_path / "images" / "test" / "5" / "05.jpg").write_bytes(b"")
    return tmp_path / "images"


@pytest.fixture
def train(paring, tiny, tmp_path):
    def run(data, *words):
        out = ["--out", tmp_path / "net.safetensors", "--epochs", "1", "--batch-size", "10", "-t", "1"]
        code, out, err = paring("train", f"{tiny}:tiny", "--data", data, *out, *words)
        return code, out, err, sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("net."))

    return run


@pytest.mark.parametrize("how", [[], ["--workers", "0"]])
def test_damaged_images_are_named_and_counted(train, folder, how):
    words = ["--size", "28", "--mean", "0.3", "--std", "0.3", *how]
    code, out, err, left = train(f"imagefolder:{folder}", *words)
    assert (code, out, left) == (3, "", [])
    assert err.count("\n") == 1
    assert ".jpg: image cannot be read" in err
    code, out, err, _ = train(f"imagefolder:{folder}", *words, "--on-bad-image", "skip")
    assert code == 0
    assert "2 damaged left out" in out
    assert "30 images to train" in out if how else "29 images to train" in out  # a stream puts others in their place
    assert "19 to test" in out
    cut, empty = folder / "train" / "3" / "13.jpg", folder / "test" / "5" / "05.jpg"
    assert err.splitlines() == [f"2 damaged images left out: {cut}, {empty}"]


def test_a_stream_that_begins_with_damaged_images(train, folder):
    first = sorted((folder / "train" / "0").iterdir()) + sorted((folder / "test" / "0").iterdir())[:1]
    for path in first:
        path.write_bytes(path.read_bytes()[:400])  # the header is whole, the pixels are not
    code, _, err, left = train(f"imagefolder:{folder}", "--size", "28", "--workers", "1")
    assert (code, left) == (3, [])
    assert ".jpg: image cannot be read" in err
    words = ["--size", "28", "--workers", "1", "--on-bad-image", "skip"]
    code, out, err, left = train(f"imagefolder:{folder}", *words)
    assert (code, left) == (0, ["net.safetensors", "net.train"])
    assert "6 damaged left out" in out  # with the two of the folder
    assert all(str(path) in err for path in first)


def test_several_processes_count_every_damaged_image_once(tiny, folder, tmp_path, paring):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    words = ["train", f"{tiny}:tiny", "--data", f"imagefolder:{folder}", "--size", "28", "--workers", "0"]
    # Six epochs, so that the damaged image comes now to one process and now to the other.
    words += ["-e", "6", "-b", "10", "-t", "1", "--on-bad-image", "skip", "--device", "cpu", "--json"]
    if importlib.util.find_spec("tensorboard"):  # the processes still count together after a tracker was closed
        words += ["--tracker", "tensorboard"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    out = str(tmp_path / "net.safetensors")
    done = subprocess.run(
        [*launch, "-m", "paring.cli", *words, "--out", out],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["skipped"], found["train_images"], found["test_images"], found["steps"]) == (2, 30, 19, 18)
    bad = [folder / "train" / "3" / "13.jpg", folder / "test" / "5" / "05.jpg"]
    assert f"2 damaged images left out: {bad[0]}, {bad[1]}\n" in done.stderr
    # The judge holds the test set in memory.
    loader = ["eval", f"{tiny}:tiny", "-w", out, "--data", f"imagefolder:{folder}", "--size", "28", "--json"]
    loader += ["--on-bad-image", "skip", *mean_and_std(Path(out))]
    code, said, _ = paring(*loader)
    assert code == 0
    assert json.loads(said)["error"] == found["error"]


def mean_and_std(path):
    """Those that a checkpoint was trained with, as options."""
    from paring.training.loop import load_checkpoint

    preparation = load_checkpoint(path)[1]["preparation"]
    return [word for name in ("mean", "std") for word in (f"--{name}", ",".join(map(str, preparation[name])))]


def test_damaged_images_of_an_evaluation(paring, tiny, folder):
    words = ["eval", f"{tiny}:tiny", "--data", f"imagefolder:{folder}", "--size", "28", "--split", "train"]
    words += ["--normalization", "none"]
    code, _, err = paring(*words, "--on-bad-image", "skip")
    assert (code, err) == (0, f"1 damaged image left out: {folder / 'train' / '3' / '13.jpg'}\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--until", "0"], "until: invalid setting; found 0; expected 1 or more."),
        (["--keep-checkpoints", "0"], "keep: invalid setting; found 0; expected 1 or more."),
        (["--log", "-1"], "log_every: invalid setting; found -1; expected 0 or more."),
        (["--checkpoint", "-1"], "invalid time between checkpoints; found -1.0 s"),
        (["--checkpoint", "nan"], "invalid time between checkpoints; found nan s"),
        (["--compile", "inductr"], "unknown backend of torch.compile; found 'inductr'"),
        (["--tracker", "tensorbord"], "unknown tracker; found 'tensorbord'; expected"),
        (["--tracker", "all"], "unknown tracker; found 'all'; expected"),
        (["--on-bad-image", "hide"], "Invalid value for '--on-bad-image': found 'hide'; expected stop or skip."),
    ],
)
def test_settings_that_cannot_be(train, idx_folder, words, message):
    if "--tracker" in words:
        pytest.importorskip("accelerate", reason="accelerate is not installed")
    code, out, err, left = train(f"mnist:{idx_folder}", *words)
    assert (code, out, left) == (2, "", [])
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_a_tracker_that_is_not_installed(train, idx_folder, monkeypatch):
    tracking = pytest.importorskip("accelerate.tracking", reason="accelerate is not installed")
    monkeypatch.setattr(tracking, "get_available_trackers", list)
    code, _, err, left = train(f"mnist:{idx_folder}", "--tracker", "tensorboard")
    assert (code, left) == (1, [])
    assert err == "error: tensorboard: tracker is not installed. Install it with: pip install tensorboard.\n"


def test_weights_that_are_no_numbers(paring, tiny, idx_folder, tmp_path):
    paring("train", f"{tiny}:tiny", "-d", f"mnist:{idx_folder}", "-o", tmp_path / "net.safetensors", "--epochs", "1")
    from paring.training.loop import load_checkpoint, save_checkpoint

    tensors, words = load_checkpoint(tmp_path / "net.safetensors")
    tensors["4.weight"][0, :3] = float("nan")
    save_checkpoint(tmp_path / "bad.safetensors", tensors, words)
    made = ["--data", f"mnist:{idx_folder}", "-w", tmp_path / "bad.safetensors"]
    for more in (["eval", f"{tiny}:tiny", *made], ["compress", f"{tiny}:tiny", *made, "--out", tmp_path / "net.pare"]):
        code, out, err = paring(*more)
        assert (code, out) == (6, "")
        assert err.startswith(f"error: {tmp_path / 'bad.safetensors'}, 4.weight: weights are not finite numbers")
        assert "found 3 of 1,440 not" in err
        assert err.count("\n") == 1
    assert not list(tmp_path.glob("net.pare*"))
    assert not (tmp_path / "net.run").exists()


def test_a_pickled_module_is_told_apart_in_plain_words(paring, tiny, idx_folder, tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"weight": 1}, protocol=4))  # torch also warns of the protocol
    names = (
        ("whole", "found an object of torch.nn.modules.linear.Linear."),
        ("text", "bytes that are no pickle"),
        ("plain", "Error: "),
    )
    for name, found in names:
        words = ["eval", f"{tiny}:tiny", "-w", tmp_path / f"{name}.pt", "--data", f"mnist:{idx_folder}"]
        code, _, err = paring(*words)
        assert code == 6
        assert found in err
        assert "\x1b" not in err
        assert "weights_only" not in err
        assert err.count("\n") == 1


def test_fresh_weights_are_said(paring, idx_folder):
    code, _, err = paring("eval", "lenet_5_caffe", "--data", f"mnist:{idx_folder}")
    assert code == 0
    assert err == "The network has fresh weights and guesses; give a checkpoint, or --weights FILE.\n"


def test_a_plot_on_a_full_disk_leaves_nothing(paring, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = tmp_path / "zoo.png"
    before.write_bytes(b"an older picture")
    monkeypatch.setattr(os, "fsync", full)
    for name in ("zoo.png", "new.svg"):
        code, _, err = paring("cost", "resnet20", "--plot", tmp_path / name)
        assert code == 7
        assert "plot cannot be written; found No space left on device" in err
    assert [path.name for path in tmp_path.iterdir()] == ["zoo.png"]
    assert before.read_bytes() == b"an older picture"


def test_one_error_of_several_processes(paring, pare, idx_folder, tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(_main, "time", types.SimpleNamespace(sleep=slept.append))
    monkeypatch.setenv("WORLD_SIZE", "2")
    for number in ("0", "1"):
        monkeypatch.setenv("RANK", number)
        code, _, err = paring("sensitivity", "lenet_5_caffe", "--data", f"mnist:{idx_folder}", "--out", "x.json")
        assert code == 2
        assert "paring sensitivity: is the work of one process; found 2 processes" in err
        assert err.startswith("error: process 1: " if number == "1" else "error: paring sensitivity")
    assert slept == [_main._PATIENCE]
    diverging = ("train", "lenet_300_100", "--data", f"mnist:{idx_folder}", "--optimizer", "sgd", "--lr", 1e30)
    monkeypatch.delenv("WORLD_SIZE")  # in this one process; its own idea of its rank decides what is said
    monkeypatch.setattr(_main, "rank", lambda: 1)
    code, _, err = paring(*diverging, "--out", tmp_path / "x.safetensors")
    assert (code, len(slept)) == (8, 2)
    assert err.startswith("error: process 1: lenet_300_100, epoch 1")
    assert "the loss is not a number" in err
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = paring("inspect", "none.pare")  # what each finds out for itself each says at once
    assert (code, len(slept)) == (4, 2)
    assert err.startswith("error: process 1: none.pare")
    assert paring("inspect", pare)[0] == 0
    assert paring("compress", "--help")[0] == 0


def test_the_hub_s_retries_are_not_told(paring, tiny, monkeypatch):
    def unreachable(*names):
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=unreachable))
    before = logging.getLogger("huggingface_hub").level
    code, _, err = paring("eval", f"{tiny}:tiny", "--data", "hub:nobody/nothing")
    assert (code, err.count("\n")) == (3, 1)
    assert "hub:nobody/nothing: data set could not be loaded; found ConnectionError" in err
    assert logging.getLogger("huggingface_hub").level == before
