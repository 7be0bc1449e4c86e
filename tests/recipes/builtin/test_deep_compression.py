import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import paring
from paring import container, recipes
from paring.errors import ArgumentError, CheckpointError, TrainingError
from paring.forms import Codebook, Dense, Sparse
from paring.recipes.builtin._deep_compression_presets import PRESETS
from paring.record import Record
from tests.recipes.small_problem import Small, options, pictures, sets

STEPS = ["train", "prune", "drop-idle", "retrain", "share", "tune"]


def compress(folder, data=None, network=Small, **changes):
    ours = ("restart", "seed", "coding", "log", "resume", "overwrite", "training")
    given = {name: changes.pop(name) for name in list(changes) if name in ours}
    given = {"log": lambda line: None, "progress": False, "threads": 1, **given}
    return recipes.compress(network, data or sets(), folder, "deep-compression", **given, **options(**changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, compress(folder).record


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
    paper = {row.name: row.size for row in container.inspect(folder / "Small.paper.pare").rows}
    assert {layer.name: layer.paper_bytes for layer in record.layers} == {name: paper[name] for name in weights}
    assert record.paper_bytes == (folder / "Small.paper.pare").stat().st_size
    assert record.float_bytes == 4 * sum(layer.weights for layer in record.layers)
    assert [stage.name for stage in record.stages] == STEPS
    assert record.stages[-1].nonzeros == sum(kept[n] for n in kept if "bias" not in n)
    assert (record.recipe, record.preset) == ("deep-compression", "quick")
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


def test_same_seed_same_file_other_seed_other_file(finished, tmp_path):
    folder, record = finished
    before, lines = (folder / record.file).read_bytes(), []
    assert compress(folder, resume=True, log=lines.append).record.stages == record.stages
    assert sum("done before" in line for line in lines) == len(STEPS)
    assert (folder / record.file).read_bytes() == before
    compress(tmp_path / "a")
    compress(tmp_path / "b", seed=1)
    assert (tmp_path / "a" / record.file).read_bytes() == before
    assert (tmp_path / "b" / record.file).read_bytes() != before


def test_plain_pruning_and_plain_sharing(tmp_path):
    pruned = compress(tmp_path / "p", centroids=0, bits=32, drop_idle=False).record
    forms = container.read(tmp_path / "p" / pruned.file).graph.weights
    assert isinstance(forms["fc1.weight"], Sparse)
    assert isinstance(forms["fc1.bias"], Dense)
    assert pruned.layers[0].kept == 27
    assert [stage.name for stage in pruned.stages] == ["train", "prune", "retrain"]
    shared = compress(tmp_path / "s", keep=1.0, centroids=4, bits=32).record
    forms = container.read(tmp_path / "s" / shared.file).graph.weights
    assert isinstance(forms["fc1.weight"], Codebook)
    assert isinstance(forms["fc1.bias"], Dense)
    assert forms["fc1.weight"].nonzeros == 3000
    assert [stage.name for stage in shared.stages] == ["train", "share", "tune"]


def test_a_later_step_is_done_again_otherwise(tmp_path):
    first = compress(tmp_path)
    with pytest.raises(CheckpointError, match=r"steps.05-share.centroids.\* was 4, is 2"):
        compress(tmp_path, centroids={"*": 2}, resume=True)
    second = compress(tmp_path, centroids={"*": 2}, restart="share")
    assert second.record.stages[:4] == first.record.stages[:4]
    assert {layer.centroids for layer in second.record.layers if "weight" in layer.name} == {2}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keep": 1.2}, "1.2"),
        ({"keep": 0.0}, "above 0"),
        ({"keep": {"conv1": -0.1}}, "conv1"),
        ({"keep": {"conv7": 0.1}}, "conv1"),
        ({"keep": "many"}, "option keep: option has another type; found 'many'; expected a number or patterns"),
        ({"centroids": -1}, "centroids"),
        ({"centroids": 2.5}, "option centroids: option has another type"),
        ({"centroids": {"fc1": 0}}, "fc1"),
        ({"centroids": {"fx1": 4}}, "fc1"),
        ({"rounds": 0}, "rounds"),
        ({"preset": "small-lenet5"}, "small-lenet-5"),
        ({"prune": {"rat": 1}}, "unknown setting; found 'rat'; expected .*lr"),
        ({"restart": "sleep"}, "tune"),
        ({"keeps": 0.5}, "Did you mean keep"),
    ],
)
def test_what_cannot_be_is_refused_before_training(change, words, tmp_path):
    with pytest.raises(ArgumentError, match=words):
        compress(tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()


def test_network_and_data_that_do_not_fit(tmp_path):
    train, test = sets()
    wrong = [replace(part, classes=("a", "b", "c", "d")) for part in (train, test)]
    with pytest.raises(ArgumentError, match="classes"):
        compress(tmp_path, data=tuple(wrong))
    with pytest.raises(ArgumentError, match="cannot take these images"):
        recipes.compress("lenet_300_100", sets(), tmp_path, "deep-compression", preset="quick")


def test_another_data_set_is_refused_and_overwritten_on_demand(tmp_path):
    quick = {"keep": 1.0, "centroids": 0, "train": {"epochs": 1, "batch": 16}}
    compress(tmp_path, **quick)
    other = (pictures("train", 192, 7), sets()[1])
    with pytest.raises(ArgumentError, match="overwrite=True, --overwrite"):
        compress(tmp_path, other, **quick)
    with pytest.raises(CheckpointError, match=r"data\.train was"):
        compress(tmp_path, other, resume=True, **quick)
    compress(tmp_path, other, overwrite=True, **quick)


def test_divergence_is_told_with_the_step(tmp_path):
    with pytest.raises(TrainingError, match="02-prune, "):
        compress(tmp_path, prune={"optimizer": "sgd", "lr": 1e30, "epochs": 1, "batch": 16})
    assert list((tmp_path / "01-train").glob("step-*.safetensors"))


def test_every_preset_makes_steps_for_its_network():
    from paring.capture import outline
    from paring.recipes import RecipeContext
    from paring.training.input import Images
    from paring.zoo import create

    for name in PRESETS:
        network = create("lenet_300_100" if "300" in name else "lenet_5_caffe")
        train = pictures("train", 20, 0)
        train = replace(
            train,
            images=np.zeros((20, 28, 28, 1), np.uint8),
            preparation=replace(train.preparation, height=28, width=28),
        )
        images = Images(train)
        context = RecipeContext("net", network, outline(network, images.shape), images)
        made = recipes.find("deep-compression").steps(context, {"preset": name})
        assert [step.name for step in made if step.name != "drop-idle"] == [n for n in STEPS if n != "drop-idle"]
        json.dumps([dict(step.options) for step in made], allow_nan=False)
