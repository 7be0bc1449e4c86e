import json
import signal

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
    assert list(tmp_path.iterdir()) == [tmp_path / "net.safetensors"]
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
    assert (code, out) == (6, "")
    assert "checkpoint knows other classes than the data; found 12 classes" in err


def test_interrupted_and_resumed_is_the_same_to_the_bit(paring, command, tmp_path, monkeypatch):
    from paring.training import _loop

    assert paring(*command)[0] == 0
    whole = (tmp_path / "net.safetensors").read_bytes()
    (tmp_path / "net.safetensors").unlink()
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
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors.partial"]
    code, out, err = paring(*command, "--resume", "--rate", 0.5)
    assert (code, out) == (6, "")
    assert "interrupted run had other settings; found rate was 0.001, is 0.5" in err.replace("\n", " ")
    code, _, err = paring(*command, "--resume")
    assert (code, err) == (0, "")
    assert len(done) == 6 * 15
    assert (tmp_path / "net.safetensors").read_bytes() == whole
    assert not (tmp_path / "net.safetensors.partial").exists()


def test_mistakes(paring, command, tiny, idx_folder, tmp_path):
    for change, code, message in [
        ({3: f"mnist:{tmp_path}/none"}, 3, "none: folder does not exist"),
        ({1: "lenet5"}, 2, "no such network in the zoo"),
        ({1: tmp_path / "net.pare"}, 2, "a .pare file is no network to train"),
        ({1: tiny}, 2, "a Python file without a function"),
        ({5: 0}, 2, "--epochs: impossible number of epochs"),
        ({7: 301}, 2, "batch size cannot be"),
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
        (["--optimiser", "sgd", "--rate", 1e30], 8, "the loss is not a number"),
        (["--rate", -1], 2, "learning rate cannot be"),
        (["--optimiser", "lion"], 2, "unknown optimiser"),
        (["--schedule", "cosin"], 2, "unknown learning-rate schedule"),
        (["--smoothing", 2], 2, "impossible label smoothing"),
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
    from paring.training import save_checkpoint

    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef net(): pass\n")
    words = {"net": f"{tmp_path}/evil.py:net", "classes": [], "preparation": {}}
    save_checkpoint(tmp_path / "x.safetensors", {"w": torch.zeros(1)}, words)
    assert paring("eval", tmp_path / "x.safetensors", "--data", f"mnist:{idx_folder}")[:2] == (6, "")
    assert not (tmp_path / "ran").exists()
