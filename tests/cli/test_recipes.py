import json
import re
import signal

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")


@pytest.fixture(scope="module")
def trained(tiny, idx_folder, tmp_path_factory):
    """A checkpoint of tiny.py's network."""
    from paring.cli import main

    out = tmp_path_factory.mktemp("trained") / "tiny.safetensors"
    words = ["train", f"{tiny}:tiny", "--data", f"mnist:{idx_folder}", "--epochs", 8, "--batch-size", 20, "--out", out]
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in [*words, "--threads", 1]])
    assert stopped.value.code == 0
    return out


@pytest.fixture
def command(tiny, idx_folder, trained, tmp_path):
    """Words that compress it; the file is tmp_path / tiny.pare."""
    words = ["compress", f"{tiny}:tiny", "--weights", trained, "--data", f"mnist:{idx_folder}", "--threads", 1]
    return [*words, "--out", tmp_path / "tiny.pare", "--recipe"]


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Latencies are measured, but not for a whole second."""
    from paring.cli.measure import _latency as _measure

    patient = _measure.alternate
    monkeypatch.setattr(_measure, "alternate", lambda programs, seconds: patient(programs, seconds=0.02))


def test_a_recipe_from_a_checkpoint_to_a_page(paring, command, idx_folder, tmp_path):
    page = tmp_path / "page.html"
    code, out, err = paring(*command, "int8", "--calibrate", 50, "--json", "--report", page)
    assert code == 0, err
    found, file = json.loads(out), tmp_path / "tiny.pare"
    assert found["bytes"] == file.stat().st_size
    assert found["ratio"] > 2.5
    assert found["recipe"] == "int8"
    assert found["paper_bytes"] is None
    assert [step["place"] for step in found["steps"]] == ["01-float", "02-quantize"]
    assert found["steps"][0]["stage"]["test_error"] == found["error_before"]
    assert found["same_class"] == found["images"] == 100
    assert re.search(r"02-quantize  weights \*=8, activations 8, .*calibrate 50", err)
    assert err.index("02-quantize  weights") < err.index("01-float: the network as it was given")
    assert "quantize" in page.read_text()
    code, out, _ = paring("eval", file, "--data", f"mnist:{idx_folder}", "--json")
    assert (code, json.loads(out)["error"]) == (0, found["error"])
    code, out, err = paring("report", file, "--run", tmp_path / "tiny.run", "--no-time")
    assert code == 0, err


def test_the_table_adds_up_to_the_file(paring, command, tmp_path):
    code, out, err = paring(*command, "hashed", "--keep", "4=25%", "--epochs", 1)
    assert code == 0, err
    rows = [line for line in out.splitlines() if re.match(r"(file|4\.weight) ", line)]
    assert "hashed" in rows[0]
    assert int(rows[1].split()[-1].replace(",", "")) == (tmp_path / "tiny.pare").stat().st_size


def test_a_network_without_weights_is_trained_first(paring, tiny, idx_folder, tmp_path):
    words = ["compress", f"{tiny}:tiny", "--data", f"mnist:{idx_folder}", "--threads", 1, "--effort", 0.1]
    out = tmp_path / "x.pare"
    code, text, err = paring(*words, "--recipe", "slim", "--macs", "70%", "-O", "score=l1", "--out", out, "--json")
    assert code == 0, err
    found = json.loads(text)
    assert [step["place"] for step in found["steps"]] == ["01-train", "02-prune-channels", "03-tune"]
    assert [step["stage"]["epochs"] for step in found["steps"]] == [3, 0, 2]
    assert found["steps"][1]["macs"] <= 0.7 * found["steps"][0]["macs"]
    assert "score l1" in err


def test_binary_networks_may_jump_where_a_sum_is_a_rounding_apart(paring, tmp_path, idx_folder, monkeypatch):
    net = tmp_path / "three.py"
    net.write_text(
        "from torch import nn\n\n\ndef three(num_classes=10):\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 5, 2), nn.ReLU(), nn.Conv2d(4, 8, 3, 2), nn.ReLU(), nn.Flatten(),\n"
        "                         nn.Linear(200, num_classes))\n"
    )
    words = ["compress", f"{net}:three", "--data", f"mnist:{idx_folder}", "--threads", 1, "--recipe", "xnor-net"]
    words += ["--effort", 0.2, "--json", "--out"]
    code, out, err = paring(*words, tmp_path / "a.pare")
    assert code == 0, err
    found = json.loads(out)
    assert found["same_class"] >= 99
    assert found["layers"][2]["bits"] == 1
    from paring import capture

    honest = capture.rebuild

    def altered(graph, *rest):  # a network that is right about nothing is refused all the same
        network = honest(graph, *rest)
        with torch.no_grad():
            network.get_parameter("5.weight").neg_()
        return network

    monkeypatch.setattr(capture, "rebuild", altered)
    code, out, err = paring(*words, tmp_path / "b.pare")
    assert (code, out) == (1, "")
    assert "engine and torch disagree about the file" in err


def test_interrupted_and_resumed_is_the_same_to_the_bit(paring, command, tmp_path, monkeypatch):
    from paring.training.loop import _fit as _loop

    words = [*command, "twn", "--layers", "4", "--epochs", 3]
    assert paring(*words)[0] == 0
    whole = (tmp_path / "tiny.pare").read_bytes()
    code, out, err = paring(*words)
    assert (code, out) == (2, "")
    assert "folder holds an earlier run" in err
    other, step, done = [*words, "--run", tmp_path / "again"], _loop._step, []

    def counted(*arguments):
        done.append(1)
        if len(done) == 11:
            signal.raise_signal(signal.SIGINT)
        return step(*arguments)

    monkeypatch.setattr(_loop, "_step", counted)
    code, out, err = paring(*other)
    assert (code, out) == (130, "")
    assert "--resume goes on" in err
    code, out, err = paring(*other, "--resume", "--epochs", 4)
    assert (code, out) == (6, "")
    assert "steps.03-tune.epochs was 3, is 4" in err
    assert paring(*other, "--resume")[0] == 0
    assert (tmp_path / "tiny.pare").read_bytes() == whole
    assert paring(*other, "--restart", "tune", "--epochs", 1)[0] == 0
    code, out, err = paring(*command[:-1], "--run", tmp_path / "again", "--resume")
    assert (code, out) == (6, "")
    assert "recipe was 'twn', is 'deep-compression'" in err
    assert paring(*command, "int8", "--run", tmp_path / "again", "--overwrite")[0] == 0
    assert not list((tmp_path / "again").glob("03-*"))


def test_an_option_that_is_not_the_recipe_s_is_refused(paring, command, tmp_path):
    for words, message in [
        (["int8", "-c", 3], "int8 does not take this option; found '--centroids'; expected --bits or --layers"),
        (["int8", "--epochs", -1], "invalid number of epochs; found -1"),
        (["int8", "--preset", "quick"], "found '--preset'"),
        (["int8", "--keep", "50%"], "found '--keep'"),
        (["int8", "-O", "speed=3"], "found '--option speed'"),
        (["int8", "-O", "rounding"], "cannot read an option"),
        (["int8", "--bits", 9], "invalid width of weights"),
        (["twn", "-O", "factor=many"], "option factor: option has another type; found 'many'; expected a number"),
        (["twn", "-O", "per_channel=1"], "option per_channel: option has another type"),
        (["slim", "-O", "rounds=2.5"], "option rounds: option has another type; found '2.5'; expected a whole number"),
        (["slim", "--keep", "50%"], "slim does not take this option; found '--keep'; expected --macs"),
        (["deep-compression", "-O", "rounds=many"], "option rounds: option has another type"),
        (["twn", "--layers", "fc9"], "pattern matches no layer"),
        (["twn", "--epochs", 1], "no layer is left to work on"),
        (["hashed", "-k", "4=25%", "--layers", "4"], "layers are named twice"),
        (["q-cnn", "-c", "4=8"], "option centroids: option has another type"),
        (["deep-compression", "--bits", 4], "invalid width of shared values; found 4"),
        (["deep-compression", "--epochs", 0], "deep-compression does not take this option; found '--epochs'"),
        (["deep-compression", "--device", "toaster"], "no such device here; found toaster"),
        (["int8", "--precision", "fp8"], "unknown precision"),
        (["int8", "--workers", "-1"], "invalid number of processes"),
        (["int8", "--workers", "0"], "plain pixels cannot be streamed"),
        (["int8", "--resume", "--overwrite"], "resumed or overwritten"),
        (["int8", "--device", "toaster"], "no such device here; found toaster"),
        (["xnor"], "no such recipe"),
    ]:
        code, out, err = paring(*command, *words)
        assert (code, out) == (2, ""), (words, err)
        assert message.replace("'", "") in err.replace("'", ""), (words, err)
        assert not list(tmp_path.glob("*.pare"))
        assert not list(tmp_path.glob("*.run"))


def test_the_help_names_every_recipe_and_what_it_does(paring):
    from paring.recipes import RECIPES

    code, out, _ = paring("compress", "--help")
    assert code == 0
    for name, recipe in RECIPES.items():
        assert re.search(rf"^ {name} +{re.escape(recipe.about)} *$", out, re.MULTILINE), name
    assert 'slim: exclude=[] score="taylor" rounds=1' in out
    assert all(len(line) <= 80 for line in out.splitlines())
