import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import paring
from paring import container, recipes
from paring.errors import ArgumentError, CheckpointError, TrainingError
from paring.forms import Codebook, Dense, Sparse
from paring.record import Record
from tests.recipes.small_problem import Small, pictures, sets, settings


def compress(folder, data=None, **changes):
    given = {name: changes.pop(name) for name in list(changes) if name in ("until", "restart", "seed", "coding", "log")}
    given.setdefault("log", lambda line: None)
    return recipes.deep_compression(
        Small, data or sets(), folder, settings=settings(**changes), progress=False, threads=1, **given
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, compress(folder)


def test_the_file_answers_as_the_record_says(finished):
    folder, record = finished
    path = folder / record.file
    assert record.file_bytes == path.stat().st_size
    test = sets()[1]
    model = paring.load(path)
    scores = np.concatenate([np.atleast_2d(model(image)) for image in test.images])
    assert np.mean(scores.argmax(1) != test.labels) == pytest.approx(record.final_error)
    assert record.final_error < 0.2


def test_targets_are_met_and_the_record_adds_up(finished):
    folder, record = finished
    weights = container.read(folder / record.file).graph.weights
    assert all(isinstance(form, Codebook) and form.bits == 16 for form in weights.values())
    kept = {name: np.count_nonzero(form.dense()) for name, form in weights.items()}
    assert kept["conv1.weight"] <= round(0.5 * 54)
    assert kept["fc1.weight"] + kept["fc2.weight"] <= round(0.2 * 3060)
    assert all(len(form.centroids) <= (3 if "bias" in name else 4) for name, form in weights.items())
    assert {layer.name: layer.kept for layer in record.layers} == kept
    rows = {row.name: row.size for row in container.inspect(folder / record.file).rows}
    assert {layer.name: layer.bytes for layer in record.layers} == {name: rows[name] for name in weights}
    assert record.float_bytes == 4 * sum(layer.weights for layer in record.layers)
    assert [stage.name for stage in record.stages] == list(recipes.STAGES)
    assert record.stages[-1].nonzeros == sum(kept[n] for n in kept if "bias" not in n)
    assert Record.load(folder) == record


def test_the_baseline_is_the_float_network(finished):
    folder, record = finished
    arrays = np.load(folder / record.baseline)
    net = Small().eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(torch.from_numpy(arrays[name]))
    test = sets()[1]
    images = torch.from_numpy(np.ascontiguousarray(test.prepared().transpose(0, 3, 1, 2)))
    assert np.mean(net(images).argmax(1).numpy() != test.labels) == pytest.approx(record.baseline_error)


def test_a_second_call_does_nothing_again(finished):
    folder, record = finished
    before = (folder / record.file).read_bytes()
    lines = []
    again = compress(folder, log=lines.append)
    assert [line for line in lines if "done before" in line] == lines[: len(recipes.STAGES)]
    assert (folder / record.file).read_bytes() == before
    assert again.stages == record.stages


def test_same_seed_same_file_other_seed_other_file(finished, tmp_path):
    folder, record = finished
    assert (tmp_path / compress(tmp_path / "a").file).name == record.file
    same, other = (tmp_path / "a" / record.file).read_bytes(), compress(tmp_path / "b", seed=1)
    assert same == (folder / record.file).read_bytes()
    assert same != (tmp_path / "b" / other.file).read_bytes()


def test_plain_pruning_and_plain_sharing(tmp_path):
    pruned = compress(tmp_path / "p", centroids=0, centroid_layers={}, bits=32, drop_idle=False)
    forms = container.read(tmp_path / "p" / pruned.file).graph.weights
    assert isinstance(forms["fc1.weight"], Sparse)
    assert isinstance(forms["fc1.bias"], Dense)
    assert pruned.layers[0].kept == 27
    assert [stage.name for stage in pruned.stages] == ["train", "prune", "retrain"]
    shared = compress(tmp_path / "s", keep=1.0, keep_layers={}, centroid_layers={}, bits=32)
    forms = container.read(tmp_path / "s" / shared.file).graph.weights
    assert isinstance(forms["fc1.weight"], Codebook)
    assert forms["fc1.weight"].nonzeros == 3000
    assert [stage.name for stage in shared.stages] == ["train", "share", "tune"]


def test_until_and_restart(tmp_path):
    record = compress(tmp_path, until="prune")
    assert record.file_bytes is None
    assert sorted(p.name for p in tmp_path.glob("*.safetensors")) == ["1-train.safetensors", "2-prune.safetensors"]
    first = compress(tmp_path)
    with pytest.raises(CheckpointError, match=r"4-share.*centroids was 4, is 2.*restart from 'share'"):
        compress(tmp_path, centroids=2)
    second = compress(tmp_path, centroids=2, restart="share")
    assert second.stages[:3] == first.stages[:3]
    assert {layer.centroids for layer in second.layers if "weight" in layer.name} == {2}


def test_a_checkpoint_of_other_data_or_another_network_is_refused(tmp_path):
    compress(tmp_path, until="train")
    with pytest.raises(CheckpointError, match="data was"):
        compress(tmp_path, data=(pictures("train", 192, 7), sets()[1]))
    with pytest.raises(CheckpointError, match="seed was 0, is 5"):
        compress(tmp_path, seed=5)

    class Other(Small):
        def __init__(self):
            super().__init__()
            self.fc1 = torch.nn.Linear(150, 21)
            self.fc2 = torch.nn.Linear(21, 3)

    with pytest.raises(CheckpointError, match=r"fc1\.bias was \[20\], is \[21\]"):
        recipes.deep_compression(Other, sets(), tmp_path, settings=settings(), threads=1, log=lambda line: None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keep": 1.2}, "1.2"),
        ({"keep": 0.0}, "above 0"),
        ({"keep_layers": {"conv1": -0.1}}, "conv1"),
        ({"keep_layers": {"conv7": 0.1}}, "conv1"),
        ({"centroids": -1}, "centroids"),
        ({"centroid_layers": {"fc1": 0}}, "fc1"),
        ({"centroid_layers": {"fx1": 4}}, "fc1"),
        ({"rounds": 0}, "rounds"),
        ({"until": "sleep"}, "tune"),
    ],
)
def test_targets_that_cannot_be_are_refused_before_training(change, words, tmp_path):
    with pytest.raises(ArgumentError, match=words):
        compress(tmp_path / "run", **change)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_network_and_data_that_do_not_fit(tmp_path):
    train, test = sets()
    wrong = [replace(part, classes=("a", "b", "c", "d")) for part in (train, test)]
    with pytest.raises(ArgumentError, match="classes"):
        compress(tmp_path, data=tuple(wrong))
    with pytest.raises(ArgumentError, match="cannot take these images"):
        recipes.deep_compression("lenet_300_100", sets(), tmp_path, settings="quick")


def test_divergence_keeps_the_last_checkpoint(tmp_path):
    compress(tmp_path, until="train")
    good = (tmp_path / "1-train.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="prune, epoch"):
        compress(tmp_path, prune={"optimizer": "sgd", "lr": 1e30})
    assert (tmp_path / "1-train.safetensors").read_bytes() == good


def test_targets_as_users_write_them():
    assert recipes.keep_targets(["8%", "fc1=2.5%", "conv*=0.3"]) == (0.08, {"fc1": 0.025, "conv*": 0.3})
    assert recipes.centroid_targets(["conv*=256", "32"]) == (32, {"conv*": 256})
    for words in (["120%"], ["fc1=-1"], ["fc1=many"], ["fc1="]):
        with pytest.raises(ArgumentError):
            recipes.keep_targets(words)
    for words in (["0"], ["fc1=3.5"], ["fc1=x"]):
        with pytest.raises(ArgumentError):
            recipes.centroid_targets(words)
    with pytest.raises(ArgumentError, match="small-lenet-5"):
        recipes.preset("small-lenet5")
    with pytest.raises(ArgumentError, match="lr"):
        recipes.preset("quick").changed(train={"rat": 1})


def test_presets_survive_json():
    for settings_ in recipes.PRESETS.values():
        json.dumps(settings_.to_json(), allow_nan=False)


# A parent that forks children without importing torch again; each child runs the recipe and may be killed.
_KILLED = """
import os, random, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_deep_compression import compress
import torch
torch.set_num_threads(1)
folder, way = Path(sys.argv[2]), sys.argv[3]
compress(folder.with_name("warm"))  # torch loads much of itself at the first step; once is enough

def child():
    import paring.training._checkpoint as checkpoint
    from paring.recipes import _folder
    replace, saves = os.replace, 0
    def counted(a, b):
        nonlocal saves
        saves += 1
        if way == "between" and saves == 3 + kills % 3:
            os.kill(os.getpid(), signal.SIGKILL)      # written, not yet in place
        replace(a, b)
        if way == "after" and saves == 3 + kills % 3:
            os.kill(os.getpid(), signal.SIGKILL)
    if way in ("between", "after"):
        os.replace = counted
    from tests.recipes.small_problem import Small, sets, settings
    from paring.recipes import deep_compression
    deep_compression(Small, sets(), folder, settings=settings(), threads=1, progress=False, say=lambda line: None,
                     checkpoint_steps=5, checkpoint_seconds=0)
    os._exit(0)

kills, stages, clock = 0, set(), random.Random(0)
while True:
    clock.random()
    pid = os.fork()
    if pid == 0:
        if way == "any time":  # of processor time, so that a busy machine changes nothing; SIGPROF ends the process
            signal.setitimer(signal.ITIMER_PROF, clock.uniform(0.02, 0.1) + 0.004 * kills)
        try:
            child()
        finally:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        break
    kills += 1
    done = len(list(folder.glob("?-*.safetensors")))
    stages.add(("train", "prune", "retrain", "share", "tune", "write")[done])
    assert kills < 300, stages  # it gets there; on a busy machine the same work takes more processor time
print(kills, *sorted(stages))
"""


@pytest.mark.parametrize("way", ["after", "between", "any time"])
def test_killed_over_and_over_the_file_is_the_same(finished, tmp_path, way):
    folder, record = finished
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, here, str(tmp_path), way], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kills, *stages = done.stdout.split()
    assert int(kills) >= 3
    if way == "after":
        assert {"train", "prune", "tune"} <= set(stages)
    assert (tmp_path / record.file).read_bytes() == (folder / record.file).read_bytes()
    for name in [f"{i + 1}-{stage}.safetensors" for i, stage in enumerate(recipes.STAGES)]:
        ours, theirs = (paring_tensors(path / name) for path in (tmp_path, folder))
        assert ours == theirs, name


def paring_tensors(path):
    from paring.training.loop import load_checkpoint

    return {name: tensor.numpy().tobytes() for name, tensor in load_checkpoint(path)[0].items()}
