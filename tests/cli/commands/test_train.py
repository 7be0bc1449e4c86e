import json
import shutil
import signal
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")


@pytest.fixture
def command(tiny, idx_folder, tmp_path):
    """Words of a short training run; the checkpoint is tmp_path / net.safetensors."""
    words = ["train", f"{tiny}:tiny", "--data", f"mnist:{idx_folder}", "--epochs", 6, "--batch-size", 20]
    return [*words, "--threads", 1, "--augment", "shift", "--out", tmp_path / "net.safetensors"]


def test_trains_and_writes_a_checkpoint_that_says_what_it_is(paring, command, idx_folder, tmp_path):
    code, out, err = paring(*command, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["parameters"] == 4 * 25 + 4 + 144 * 10 + 10
    assert (found["train_images"], found["test_images"], found["epochs"]) == (300, 100, 6)
    assert found["error"] < 0.3  # chance is 0.9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.safetensors", "net.train"]
    words = ["eval", command[1], "--weights", tmp_path / "net.safetensors", "--data", f"mnist:{idx_folder}", "--json"]
    code, out, _ = paring(*words)
    assert code == 0
    assert json.loads(out)["error"] == pytest.approx(found["error"], abs=1e-9)


def test_zoo_network_takes_the_data_s_classes(paring, idx_folder, tmp_path):
    (idx_folder / "classes.txt").write_text("\n".join("abcdefghijkl"))
    try:
        code, out, _ = paring(
            *[
                "train",
                "lenet_300_100",
                "--data",
                f"mnist:{idx_folder}",
                "--limit",
                40,
                "--epochs",
                1,
                "--batch-size",
                8,
            ],
            *["--out", tmp_path / "x.safetensors", "--json", "--threads", 1],
        )
    finally:
        (idx_folder / "classes.txt").unlink()
    assert code == 0
    assert json.loads(out)["parameters"] == 266_610 + 2 * 101
    code, out, err = paring("eval", tmp_path / "x.safetensors", "--data", f"mnist:{idx_folder}")
    assert (code, out) == (3, "")
    assert "data has other classes than the network; found 10 classes" in err
    assert "expected some of 12 classes" in err


def test_interrupted_and_resumed_is_the_same_to_the_bit(paring, command, tmp_path, monkeypatch):
    from paring.training.loop import _fit as _loop

    assert paring(*command)[0] == 0
    whole = (tmp_path / "net.safetensors").read_bytes()
    (tmp_path / "net.safetensors").unlink()
    shutil.rmtree(tmp_path / "net.train")
    step, done = _loop._step, []

    def counted(*arguments):
        done.append(1)
        if len(done) == 37:
            signal.raise_signal(signal.SIGINT)
        return step(*arguments)

    monkeypatch.setattr(_loop, "_step", counted)
    code, out, err = paring(*command)
    assert (code, out) == (130, "")
    assert "--resume goes on" in err
    assert [path.name for path in tmp_path.iterdir()] == ["net.train"]
    code, out, err = paring(*command)
    assert (code, out) == (2, "")
    assert "folder holds an earlier run" in err
    code, out, err = paring(*command, "--resume", "--lr", 0.5)
    assert (code, out) == (6, "")
    assert "interrupted run had other settings; found lr was 0.001, is 0.5" in err.replace("\n", " ")
    code, _, err = paring(*command, "--resume")
    assert (code, err) == (0, "")
    assert len(done) == 6 * 15
    assert (tmp_path / "net.safetensors").read_bytes() == whole


def test_a_preset_shows_through_what_is_not_given(paring, command, tmp_path):
    words = [*command, "--preset", "resnet-cifar10", "--nesterov", "--ema", 0.9, "--until", 2, "--json"]
    code, out, err = paring(*words, "--report", tmp_path / "page.html", "--clip", 5, "--accumulate", 2)
    assert (code, err) == (0, "")
    assert (json.loads(out)["epochs"], json.loads(out)["steps"]) == (2, 30)
    settings = json.loads((tmp_path / "net.train" / "training.json").read_text())["settings"]
    shown = {"optimizer": "sgd", "lr": 0.1, "weight_decay": 1e-4, "schedule": "step", "milestones": [0.5, 0.75]}
    given = {"epochs": 6, "batch": 20, "steps": 0, "nesterov": True, "ema": 0.9, "clip": 5.0, "accumulate": 2}
    assert {name: settings[name] for name in shown | given} == shown | given
    page = (tmp_path / "page.html").read_text()
    assert page.count('<svg class="curve"') == 3
    assert "resnet-cifar10" in page.replace("<wbr>", "")
    code, out, _ = paring("report", tmp_path / "net.train", "--json")
    assert json.loads(out)["report"] == str(tmp_path / "net.html")
    assert (tmp_path / "net.html").read_text() == page
    code, out, _ = paring(*words, "--resume", "--until", 6, "--clip", 5, "--accumulate", 2)
    assert (code, json.loads(out)["steps"]) == (0, 90)


def test_a_streamed_set_trains_the_same_for_any_number_of_workers(paring, tiny, tmp_path):
    from tests.cli.examples import digits

    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    images, labels = digits(40, 1)
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "set" / ("train" if number < 30 else "val") / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(folder / f"{number}.png")
    found, scores = [], []
    for workers in (0, 1):
        words = ["train", f"{tiny}:tiny", "--data", f"imagefolder:{tmp_path / 'set'}", "--workers", workers]
        out = tmp_path / f"net{workers}.safetensors"
        code, said, err = paring(*words, "-e", 2, "-b", 10, "--augment", "pad-crop:2", "-t", 1, "--out", out, "--json")
        assert (code, err) == (0, "")
        said = json.loads(said)
        assert (said["train_images"], said["test_images"], said["steps"]) == (30, 10, 6)
        found.append(out.read_bytes())
        scores.append(said["error"])
    assert found[0] == found[1]
    words = ["eval", f"{tiny}:tiny", "-w", out, "--data", f"imagefolder:{tmp_path / 'set'}", "--json"]
    assert [json.loads(paring(*words)[1])["error"]] * 2 == scores  # of the test set in memory
    code, _, err = paring("train", f"{tiny}:tiny", "--data", "mnist5k", "-j", 0, "--out", tmp_path / "x.safetensors")
    assert code == 2
    assert "plain pixels cannot be streamed" in err


def test_tensorboard_is_told_the_curves(command, tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    words = [*map(str, command), "--tracker", "tensorboard", "--log", "5", "--device", "cpu"]
    # A process of its own: Accelerate keeps its state for as long as one lives.
    done = subprocess.run([sys.executable, "-m", "paring.cli", *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    events = reader.EventAccumulator(str(tmp_path / "net.train" / "paring"))
    events.Reload()
    lines = list(map(json.loads, (tmp_path / "net.train" / "log.jsonl").read_text().splitlines()))
    for tag, kind, name, count in (
        ("loss", "step", "loss", 18),
        ("lr", "step", "lr", 18),
        ("train_loss", "epoch", "train_loss", 6),
        ("test_loss", "epoch", "loss", 6),
        ("test_error", "epoch", "error", 6),
    ):
        told = [(event.step, event.value) for event in events.Scalars(tag)]
        assert told == [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in lines if line["kind"] == kind]
        assert len(told) == count


def test_every_setting_has_an_option_or_is_given_otherwise():
    from dataclasses import fields

    from paring.cli.options._training import _OPTIONS
    from paring.training import Settings

    assert {entry.name for entry in fields(Settings)} - set(_OPTIONS) == {"seed", "steps", "eps"}


@pytest.mark.slow
def test_torchrun_trains_the_same_network(command, tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    words = [*map(str, command), "--optimizer", "sgd", "--lr", "0.05", "--seed", "1", "--json"]
    found = []
    for name, processes in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        own = [*words[:-1], "--device", "cpu", "--json"]
        own[own.index("--out") + 1] = str(tmp_path / name / "net.safetensors")
        done = subprocess.run([*launch, "-m", "paring.cli", *own], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))  # one document: only one process speaks
    assert found[0]["steps"] == found[1]["steps"] == 90
    assert found[0]["train_loss"] == pytest.approx(found[1]["train_loss"], abs=1e-5)
    assert found[0]["error"] == found[1]["error"]


def test_mistakes(paring, command, tiny, idx_folder, tmp_path):
    for change, code, message in [
        ({3: f"mnist:{tmp_path}/none"}, 3, "none: folder does not exist"),
        ({1: "lenet5"}, 2, "no such network in the zoo"),
        ({1: tmp_path / "net.pare"}, 2, "a .pare file is no network to train"),
        ({1: tiny}, 2, "a Python file without a function"),
        ({5: 0}, 2, "--epochs: invalid number of epochs"),
        ({7: 301}, 2, "invalid batch size"),
        ({-1: tmp_path / "net.pt"}, 2, "--out: file name has another ending"),
        ({-1: tmp_path / "no" / "net.safetensors"}, 7, "no: folder does not exist"),
        ({11: "wild"}, 2, "unknown augmentation"),
    ]:
        words = [change.get(i, change.get(i - len(command), word)) for i, word in enumerate(command)]
        found, out, err = paring(*words)
        assert (found, out) == (code, ""), change
        assert message in err
        assert not list(tmp_path.iterdir())
    for more, code, message in [
        (["--optimizer", "sgd", "--lr", 1e30], 8, "the loss is not a number"),
        (["--lr", -1], 2, "invalid learning rate"),
        (["--optimizer", "lion"], 2, "unknown optimizer"),
        (["--schedule", "cosin"], 2, "unknown learning-rate schedule"),
        (["--smoothing", 2], 2, "invalid label smoothing"),
        (["--preset", "lenet-cafe"], 2, "no such preset; found 'lenet-cafe'; expected lenet-caffe"),
        (["--precision", "fp16"], 2, "processors do not train in fp16"),
        (["--milestones", "0.5;0.7"], 2, "--milestones: not a list of numbers"),
        (["--device", "cuda:77"], 2, "no such device here"),
        (["--mixup", -1], 2, "mixup: invalid setting"),
        (["--weights", tmp_path / "none.pt"], 6, "checkpoint does not exist"),
        (["--mean", "a,b"], 2, "--mean: not a list of numbers"),
    ]:
        found, out, err = paring(*command, *more)
        assert (found, out) == (code, ""), more
        assert message in err
        assert not (tmp_path / "net.safetensors").exists()


def test_a_checkpoint_of_another_network(paring, command, idx_folder, tmp_path):
    assert paring(*command)[0] == 0
    words = ["eval", "lenet_5_caffe", "--weights", tmp_path / "net.safetensors", "--data", f"mnist:{idx_folder}"]
    code, out, err = paring(*words)
    assert (code, out) == (6, "")
    assert "does not fit LeNet5Caffe" in err
    assert "conv1.weight" in err
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "net.safetensors").read_bytes()[:-100])
    words[3] = tmp_path / "cut.safetensors"
    code, out, err = paring(*words)
    assert (code, out) == (6, "")
    assert "cut.safetensors" in err
    code, out, err = paring("eval", tmp_path / "net.safetensors", "--data", f"mnist:{idx_folder}")
    assert (code, out) == (6, "")
    assert "does not say of which zoo network it is" in err
    torch.save({"weight": torch.zeros(3)}, tmp_path / "plain.pt")
    code, out, err = paring("eval", tmp_path / "plain.pt", "--data", f"mnist:{idx_folder}")
    assert (code, out) == (6, "")
    assert "does not say of which zoo network it is" in err


def test_opening_a_checkpoint_never_runs_a_python_file(paring, idx_folder, tmp_path):
    from paring.training.loop import save_checkpoint

    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef net(): pass\n")
    words = {"net": f"{tmp_path}/evil.py:net", "classes": [], "preparation": {}}
    save_checkpoint(tmp_path / "x.safetensors", {"w": torch.zeros(1)}, words)
    assert paring("eval", tmp_path / "x.safetensors", "--data", f"mnist:{idx_folder}")[:2] == (6, "")
    assert not (tmp_path / "ran").exists()
