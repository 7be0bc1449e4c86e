import numpy as np
import pytest
import torch
from torch import nn

from paring.errors import ArgumentError
from paring.recipes import steps
from tests.recipes.run.problem import run, sets, trained


@pytest.fixture(scope="module")
def net():
    return trained()


def weight(done, layer):
    return done.graph.weights[f"{layer}.weight"].dense()


def own(net, layer):
    return net.get_parameter(f"{layer}.weight").detach().numpy()


def test_by_taylor_scores_of_the_calibration_images(net, tmp_path):
    done = run(tmp_path, [steps.prune(keep={"*": 0.3, "fc2": 0.5}, together=True, score="taylor", calibrate=32)], net)
    train = sets()[0]
    rows = np.unique(np.linspace(0, len(train) - 1, 32).astype(int))
    x = torch.from_numpy(np.concatenate([train.prepared(i, i + 1) for i in rows]).transpose(0, 3, 1, 2).copy())
    loss = nn.functional.cross_entropy(net(x), torch.from_numpy(train.labels[rows]))
    layers = ("conv1", "conv2", "fc1", "fc2")
    gradients = torch.autograd.grad(loss, [net.get_parameter(f"{layer}.weight") for layer in layers])
    scores = {n: (g.numpy() * own(net, n)).astype(np.float64) ** 2 for n, g in zip(layers, gradients, strict=True)}
    last = np.sort(scores["fc2"].ravel())[::-1][36 - 1]
    np.testing.assert_array_equal(weight(done, "fc2") != 0, scores["fc2"] >= last)
    pool = np.concatenate([scores[layer].ravel() for layer in layers[:3]])
    last = np.sort(pool)[::-1][round(0.3 * pool.size) - 1]
    same = sum(((weight(done, n) != 0) == (scores[n] >= last)).sum() for n in layers[:3])
    assert same >= pool.size - 2  # sums of float32 gradients may order two neighbors otherwise


def test_by_quality_and_in_a_pattern(net, tmp_path):
    listed = [steps.prune(quality={"fc1": 0.8}), steps.prune_n_m({"conv2": "2:4"})]
    done = run(tmp_path, listed, net)
    fc1 = own(net, "fc1")
    np.testing.assert_array_equal(weight(done, "fc1") != 0, np.abs(fc1) >= 0.8 * fc1.std())
    groups = (weight(done, "conv2") != 0).reshape(16, 2, 4, 9).sum(2)
    assert (groups <= 2).all()
    assert done.graph.weights["conv2.weight"].kind == "sparse"


@pytest.mark.parametrize("movement", [False, True])
def test_gradually_in_the_next_training_alone(net, tmp_path, movement):
    first = steps.prune_gradually({"fc1": 0.25}, end=8, every=2, movement=movement)
    listed = [first, steps.tune(epochs=2, batch=16), steps.tune(epochs=1, batch=16)]
    done = run(tmp_path, listed, net)
    kept = [step.stage.nonzeros for step in done.steps]
    whole = kept[0]
    assert kept[1] == whole  # nothing is pruned before the training
    assert kept[2] == kept[3] == whole - 9600 + 2400
    assert np.count_nonzero(weight(done, "fc1")) == 2400
    magnitudes = np.abs(own(net, "fc1")) >= np.sort(np.abs(own(net, "fc1")).ravel())[-2400]
    share = (magnitudes == (weight(done, "fc1") != 0)).mean()
    assert share < 1 if movement else share > 0.9
    again = run(tmp_path, listed, net, resume=True)
    np.testing.assert_array_equal(weight(again, "fc1"), weight(done, "fc1"))


def test_signs_and_few_bits_as_steps(net, tmp_path):
    done = run(tmp_path / "a", [steps.binary_connect({"fc1": 1.0}), steps.tune(epochs=1, batch=16)], net)
    assert set(np.unique(weight(done, "fc1"))) == {-1.0, 1.0}
    assert float(done.network.fc1.parametrizations.weight.original.detach().abs().max()) <= 1.0
    done = run(tmp_path / "b", [steps.dorefa({"*": 2}), steps.tune(epochs=1, batch=16)], net)
    for layer in ("conv2", "fc1"):
        assert len(np.unique(weight(done, layer))) <= 4
    assert len(np.unique(weight(done, "conv1"))) == 72


def test_effort_stretches_what_counts_steps(net, tmp_path):
    step = steps.prune_gradually({"fc1": 0.25}, begin=2, end=8)
    assert {k: step.scaled(0.5).options[k] for k in ("begin", "end", "every")} == {"begin": 1, "end": 4, "every": 10}
    aware = steps.quantize(weights=4, aware=True, norm_delay=30)
    assert aware.scaled(2).options["norm_delay"] == 60
    assert steps.quantize(weights=4).scaled(2).options == steps.quantize(weights=4).options
    tune = steps.tune(epochs=3, warmup=10)
    assert {k: tune.scaled(0.4).options[k] for k in ("epochs", "warmup")} == {"epochs": 1, "warmup": 4}


def test_integers_without_an_image(net, tmp_path):
    """Ranges from batch norms: the answers hardly depend on which images there are."""
    done = run(tmp_path / "a", "int8", net, calibrate=0)
    other = run(tmp_path / "b", "int8", net, calibrate=0, data=(sets()[1], sets()[1]))
    for name, form in done.graph.weights.items():
        np.testing.assert_array_equal(form.dense(), other.graph.weights[name].dense())
    assert done.graph.weights["conv2.weight"].kind == "integer"
    assert done.record.final_error <= done.record.baseline_error + 0.05


def test_mistakes(net):
    with pytest.raises(ArgumentError, match="unknown score; found 'size'; expected magnitude or taylor"):
        steps.prune(0.5, score="size")
    with pytest.raises(ArgumentError, match="does not take this option; found by"):
        steps.prune(0.5, by="luck")
    with pytest.raises(ArgumentError, match="two amounts were given; found keep= and quality="):
        steps.prune(keep=0.5, quality=1.0)
    with pytest.raises(ArgumentError, match="keep= and amount= say the same"):
        steps.prune(keep=0.5, amount=0.5)
    with pytest.raises(ArgumentError, match=r"fc1: invalid fraction of weights to keep; found 'half'"):
        steps.prune({"fc1": "half"})
    with pytest.raises(ArgumentError, match="no number of centroids was given"):
        steps.share()
    with pytest.raises(ArgumentError, match="prune_gradually needs this option; expected end="):
        steps.prune_gradually(0.5)
    with pytest.raises(ArgumentError, match="invalid bits of share; found 'few'; expected int"):
        steps.share(16, bits="few")
    with pytest.raises(AttributeError, match="unknown method; found 'prun'; expected prune"):
        steps.prun  # noqa: B018


def test_one_value_a_mapping_and_patterns_say_the_same():
    assert steps.share(16).options == steps.share(centroids=16).options == steps.share({"*": 16}).options
    assert steps.share(["fc*"], centroids=8).options["centroids"] == {"fc*": 8}
    assert steps.prune(amount={"fc*": 0.8}).options["keep"] == {"fc*": 0.2}
    assert steps.ternarize(["fc1"]).options["factor"] == {"fc1": 0.75}
    assert steps.quantize(weights=4).options["weights"] == steps.quantize(4).options["weights"] == {"*": 4}
