import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from paring import container, recipes, runtime, zoo
from paring.capture import outline
from paring.errors import ArgumentError, CheckpointError
from paring.image import Preparation
from paring.recipes import RECIPES, steps
from paring.recipes.run import RecipeContext
from paring.record import Record
from paring.report import gather
from paring.training.input import Images
from tests import PYTHONPATH
from tests.recipes.run.problem import Net, run, sets, steps_of_all_kinds, trained
from tests.recipes.small_problem import pictures

HERE = Path(__file__).resolve().parent
#: Form of fc1's weight in the file by recipe; of tucker and q-cnn see below.
FORMS = {
    "int8": "integer",
    "slim": "dense",
    "hashed": "hashed",
    "twn": "integer",
    "bwn": "integer",
    "inq": "codebook",
}


SHORT = {"keep": 0.6, "centroids": 8, **{name: {"epochs": 1, "batch": 16} for name in ("prune", "retrain", "tune")}}


@pytest.fixture(scope="module")
def net():
    return trained()


def same_graph(a, b):
    assert [node.name for node in a.nodes] == [node.name for node in b.nodes]
    assert set(a.weights) == set(b.weights)
    for name, form in a.weights.items():
        assert form.kind == b.weights[name].kind, name
        np.testing.assert_array_equal(form.dense(), b.weights[name].dense())


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_ends_in_a_file_that_does_what_the_network_does(name, net, tmp_path):
    before, said = {n: t.clone() for n, t in net.state_dict().items()}, []
    options = {"epochs": 1} if "epochs" in RECIPES[name].options and RECIPES[name].options["epochs"].default else {}
    options |= SHORT if name == "deep-compression" else {}
    done = run(tmp_path, name, net, log=said.append, **options)
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())

    file = tmp_path / "Net.pare"
    contents = container.read(file)
    same_graph(contents.graph, done.graph)
    test = sets()[1]
    images = test.prepared()
    with torch.no_grad():
        mine = done.network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    theirs = runtime.load(file)(images)
    np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-4)

    record = Record.load(tmp_path)
    assert record == done.record
    assert record.recipe == name
    assert record.file_bytes == file.stat().st_size
    assert record.final_error == np.mean(theirs.argmax(1) != test.labels)
    assert record.float_bytes == 4 * sum(p.numel() for p in net.parameters())
    layers = {layer.name: layer for layer in record.layers}
    if name == "q-cnn":
        assert contents.graph.weights["conv2.weight"].kind == "product"
        assert contents.graph.weights["fc1.weight"].kind == "dense"
    if name in FORMS:
        assert contents.graph.weights["fc1.weight"].kind == FORMS[name]
    assert sum(layer.bytes for layer in layers.values()) < record.file_bytes
    report = gather(file, run=tmp_path)
    assert [stage.name for stage in report.stages] == [stage.name for stage in record.stages]

    plan = said[: said.index(next(line for line in said if line.startswith("01-")))]
    assert len(plan) == 1 + len(record.stages)
    assert [line.split()[0] for line in plan[1:]] == list(record.settings)


def test_what_the_recipes_come_to(net, tmp_path):
    """Sizes that follow from arithmetic, not from the code under test."""
    slim = run(tmp_path / "a", "slim", net, macs=0.6, epochs=0)
    whole = 8 * 9 * 144 + 16 * 72 * 100 + 24 * 400 + 72
    assert slim.steps[0].macs == whole
    assert slim.steps[1].macs <= 0.6 * whole
    binary = run(tmp_path / "b", "xnor-net", net, epochs=0)
    for layer in ("conv2", "fc1"):
        weight = net.get_parameter(f"{layer}.weight").detach().numpy()
        np.testing.assert_array_equal(
            binary.graph.weights[f"{layer}.layer.weight"].dense(), np.where(weight >= 0, 1, -1)
        )
    assert binary.graph.weights["conv1.weight"].kind == binary.graph.weights["fc2.weight"].kind == "dense"
    hashed = run(tmp_path / "c", "hashed", net, keep={"fc1": 0.1}, epochs=0)
    assert len(np.unique(np.abs(hashed.graph.weights["fc1.weight"].dense()))) <= 960
    four = run(tmp_path / "d", "int8", net, bits=4)
    assert {n: f.bits for n, f in four.graph.weights.items() if f.kind == "integer"} == {
        "conv1.weight": 8,
        "conv2.weight": 4,
        "fc1.weight": 4,
        "fc2.weight": 8,
    }
    chains = run(tmp_path / "e", "tucker", net, layers={"fc1": 0.5}, epochs=0)
    shapes = [chains.graph.weights[f"fc1.{part}.weight"].shape for part in (0, 1)]
    rank = shapes[0][0]
    assert shapes == [(rank, 400), (24, rank)]
    assert 424 * rank <= 0.5 * 24 * 400 < 424 * (rank + 1)


def test_int8_with_epochs_trains_the_integers_that_the_engine_computes(net, tmp_path):
    plain = run(tmp_path / "a", "int8", net, bits=2, activations=3)
    trained = run(tmp_path / "b", "int8", net, bits=2, activations=3, epochs=2)
    assert [stage.name for stage in trained.record.stages] == ["float", "quantize", "tune"]
    ops = [[node.op for node in made.graph.nodes] for made in (plain, trained)]
    assert ops[0] == ops[1]
    assert "integer_conv2d" in ops[0]
    codes = [made.graph.weights["conv2.weight"] for made in (plain, trained)]
    assert codes[0].bits == codes[1].bits == 2
    assert not np.array_equal(codes[0].dense(), codes[1].dense())
    images = sets()[1].prepared()
    with torch.no_grad():
        mine = trained.network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(runtime.load(tmp_path / "b" / "Net.pare")(images), mine, rtol=1e-6, atol=1e-6)
    mixed = run(tmp_path / "c", "int8", net, bits=2, epochs=1, float_outputs=1)
    assert sum(node.op in ("conv2d", "linear") for node in mixed.graph.nodes) == 2  # one, and the one that answers
    with torch.no_grad():
        mine = mixed.network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(runtime.load(tmp_path / "c" / "Net.pare")(images), mine, rtol=1e-5, atol=1e-5)
    again = run(tmp_path / "b", "int8", net, bits=2, activations=3, epochs=2, resume=True)
    same_graph(again.graph, trained.graph)


def test_slim_takes_branches_first_and_counts_them_towards_the_macs(tmp_path):
    torch.manual_seed(0)
    block = zoo.create("resnet20", num_classes=3)
    gray, colors = sets(), Preparation(12, 12, 3, (0.5,) * 3, (0.5,) * 3)
    color = [replace(one, images=np.repeat(one.images, 3, -1), preparation=colors) for one in gray]
    done = run(tmp_path, "slim", block, color, branches=2, macs=0.6, epochs=1, optimizer="sgd", calibrate=32)
    assert [stage.name for stage in done.record.stages] == ["float", "prune-branches", "prune-channels", "tune"]
    additions = [node for node in done.graph.nodes if node.op == "add"]
    assert len(additions) == 7
    macs = [one.macs for one in done.steps]
    assert macs[1] < macs[0]
    assert macs[2] <= int(0.6 * macs[0])
    tuning = done.record.settings["04-tune"]
    assert (tuning["optimizer"], tuning["lr"]) == ("sgd", 0.05)


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(tmp_path):
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, HERE / "kill_worker.py", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    killed, whole = ((tmp_path / place / "Net.pare").read_bytes() for place in ("killed", "whole"))
    assert killed == whole
    records = [Record.load(tmp_path / place) for place in ("killed", "whole")]
    for one, other in zip(records[0].stages, records[1].stages, strict=True):
        assert (one.name, one.note, one.test_error) == (other.name, other.note, other.test_error)
    assert not list((tmp_path / "killed").rglob("*.part"))


def test_a_folder_of_something_else_is_refused(tmp_path, net):
    other_run = run(tmp_path, "twn", net, epochs=1)
    first = run(tmp_path, "bwn", net, epochs=1, overwrite=True)
    assert first.record.file_bytes != other_run.record.file_bytes
    assert sorted(path.name for path in tmp_path.glob("0*")) == ["03-tune"]
    with pytest.raises(ArgumentError, match="folder holds an earlier run"):
        run(tmp_path, "bwn", net, epochs=1)

    def refused(words, recipe="bwn", network=net, data=None, **options):
        with pytest.raises(CheckpointError, match=words):
            run(tmp_path, recipe, network, data, resume=True, **{"epochs": 1, **options})

    refused(r"steps\.03-tune\.epochs was 1, is 2", epochs=2)
    refused("seed was 0, is 1", seed=1)
    refused("recipe was 'bwn', is 'twn'", "twn")
    refused("data.train was", data=(pictures("train", 96, 5), sets()[1]))
    other = trained()
    other.fc2.bias.data[0] += 1
    refused("network.weights was", network=other)
    assert json.loads((tmp_path / "recipe.json").read_text())["seed"] == 0
    again = run(tmp_path, "bwn", net, epochs=1, resume=True)
    same_graph(again.graph, first.graph)
    assert again.record.stages == first.record.stages


def test_a_later_step_can_be_done_again_otherwise(tmp_path, net):
    def listed(epochs, factor=0.75):
        last = steps.tune(epochs=epochs, batch=16)
        return [steps.ternarize({"fc1": factor}), steps.tune(epochs=1, batch=16), steps.ternarize({"conv2": 0.7}), last]

    first = run(tmp_path, listed(1), net)
    again = run(tmp_path, listed(2), net, restart="tune-2")
    assert [stage.epochs for stage in again.record.stages] == [0, 0, 1, 0, 2]
    assert again.record.stages[:4] == first.record.stages[:4]
    fresh = run(tmp_path.with_name("fresh"), listed(2), net)
    same_graph(again.graph, fresh.graph)
    with pytest.raises(CheckpointError, match=r"02-ternarize\.factor\.fc1 was 0.75, is 0.5"):
        run(tmp_path, listed(2, 0.5), net, restart="5")
    with pytest.raises(ArgumentError, match=r"no such step.*tune-2"):
        run(tmp_path, listed(2), net, restart="polish")


def test_a_list_of_ones_own(tmp_path):
    listed = [
        steps.prune({"*": 0.4, "conv1": 0.5}, together=True),
        steps.tune(epochs=2, batch=16),
        steps.share({"*": 8}),
    ]
    done = run(tmp_path, listed, effort=0.5)
    assert [stage.name for stage in done.record.stages] == ["train", "prune", "tune", "share"]
    assert [stage.epochs for stage in done.record.stages] == [1, 0, 1, 0]
    conv1, fc1 = (done.graph.weights[f"{name}.weight"].dense() for name in ("conv1", "fc1"))
    assert np.count_nonzero(conv1) == 36
    assert 2 <= len(np.unique(fc1[fc1 != 0])) <= 8
    rest = sum(np.count_nonzero(done.graph.weights[f"{name}.weight"].dense()) for name in ("conv2", "fc1", "fc2"))
    assert rest == round(0.4 * (1152 + 9600 + 72))
    assert done.record.stages[-1].nonzeros == 36 + rest


def test_mistakes_are_found_before_anything_is_done(tmp_path, net):
    def refused(words, recipe, **options):
        with pytest.raises(ArgumentError, match=words):
            run(tmp_path / "run", recipe, net, **options)
        assert not (tmp_path / "run").exists()

    refused("no such recipe; found 'xnor'; expected xnor-net", "xnor")
    refused("recipe int8 does not take this option; found speed; expected bits, layers, calibrate", "int8", speed=3)
    refused("pattern matches no layer; found 'fc9'; expected fc", "twn", layers=["fc9"])
    refused("invalid width of weights; found 9", "int8", bits=9)
    refused("invalid share of MACs to keep", "slim", macs=0)
    refused("invalid width of activations; found 1", "int8", activations=1)
    refused("number of rounds", "slim", rounds=0)
    refused("rounds go with a share of MACs; found rounds=2 and layers", "slim", rounds=2, layers="conv*")
    refused("number of branches", "slim", branches=-1)
    refused("invalid optimizer; found 'lion'; expected adam or sgd", "slim", optimizer="lion")
    refused("no such coding", "int8", coding="zip")
    refused("invalid effort", "int8", effort=0)
    refused("takes no options", steps_of_all_kinds(), bits=3)
    refused("not a list of steps", ["tune"])
    refused("option bits: option has another type; found 'four'; expected a whole number", "int8", bits="four")
    refused("option factor: option has another type; found True; expected a number", "twn", factor=True)
    refused("option layers: option has another type", "twn", layers=[3])
    refused("unknown precision", "int8", precision="fp8")
    refused("resumed or overwritten", "int8", resume=True, overwrite=True)
    with pytest.raises(ArgumentError, match="epochs: invalid setting; found 0"):
        steps.tune(epochs=0)
    with pytest.raises(ArgumentError, match="unknown setting"):
        steps.tune(epochs=1, speed=3)


def test_the_page_names_every_recipe_and_its_code_runs(tmp_path, net):
    page = (HERE.parents[2] / "docs" / "recipes" / "README.md").read_text()
    rows = re.findall(r"^\| \[?`([a-z0-9-]+)`", page, re.MULTILINE)
    assert sorted(rows) == sorted(RECIPES)
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(next(block for block in blocks if "_noisy" in block), names)
    done = run(tmp_path, [names["step"]], net)
    np.testing.assert_allclose(
        done.graph.weights["fc1.weight"].dense(), 1.01 * net.fc1.weight.detach().numpy(), rtol=1e-6
    )
    listed = next(block for block in blocks if "mine = " in block)
    exec(listed.partition("\ncompress(")[0], names)
    assert [step.name for step in names["mine"]] == ["prune-channels", "tune", "quantize"]
    for name in ("train", "tune", "prune_in_rounds", "drop_idle"):
        assert f"`{name}`" in page
        assert callable(getattr(steps, name))


def test_the_ends_are_spared_where_that_makes_sense():
    """A convolution that comes first and the last layer; a fully connected first layer holds most of the weights."""

    def looked_at(network):
        images = Images(sets()[0])
        return RecipeContext("net", network, outline(network, images.shape), images)

    subject = looked_at(Net())
    assert subject.layers == ["conv1", "conv2", "fc1", "fc2"]
    assert subject.macs == 8 * 9 * 144 + 16 * 72 * 100 + 24 * 400 + 72
    assert list(subject.targets(None, 1, exclude_ends=True)) == ["conv2", "fc1"]
    assert subject.targets("fc*", 1, exclude_ends=True) == {"fc*": 1}
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 20), torch.nn.ReLU(), torch.nn.Linear(20, 3))
    assert list(looked_at(flat).targets(None, 1, exclude_ends=True)) == ["1"]
    single = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 3))
    with pytest.raises(ArgumentError, match="no layer is left to work on"):
        looked_at(single).targets(None, 1, exclude_ends=True)
    assert recipes.find("twn").options["factor"].default == 0.75
    assert subject.convolutional
    assert not looked_at(flat).convolutional
