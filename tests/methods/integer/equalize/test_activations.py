"""Equalization by activations: the function stays, channels that meet share a factor, fewer levels are lost."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paring.capture import capture, rebuild
from paring.graph import Node
from paring.methods.integer import quantize
from paring.methods.integer.equalize import equalize_activations
from paring.methods.integer.equalize._activations import _noise, _Reader
from tests.methods.integer.test_quantize import everything, graph_of, images_for, layer


def layers_of(graph, bits=8):
    return {node.name: bits for node in graph.nodes if node.op in ("conv2d", "linear")}


def factors(before, after, layer):
    """What each output channel of a layer was multiplied by."""
    one, two = (graph.weights[f"{layer}.bias"].dense() for graph in (before, after))
    return two / one


class Residual(nn.Module):
    """A stream with two additions, a padded shortcut, ReLU6, a depthwise layer, a concatenation and a shuffle."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.wide = nn.Conv2d(8, 16, 1)
        self.deep = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.narrow = nn.Conv2d(16, 8, 1)
        self.more = nn.Conv2d(8, 12, 3, padding=1)
        self.side = nn.Conv2d(12, 4, 1)
        self.mixed = nn.Conv2d(16, 6, 3, groups=2)
        self.fc = nn.Linear(6 * 36, 5)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.narrow(F.relu6(self.deep(F.relu6(self.wide(x)))))
        x = F.relu(F.pad(x, (0, 0, 0, 0, 2, 2)) + self.more(x))
        x = torch.cat([x, self.side(x)], 1).unflatten(1, (2, 8)).transpose(1, 2).flatten(1, 2)
        return self.fc(F.relu(self.mixed(x)).flatten(1))


def spread_out(seed=0):
    """Its graph with channels of very different reach."""
    torch.manual_seed(seed)
    net = Residual()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if not name.startswith("fc"):
                shape = (-1, *[1] * (parameter.ndim - 1))
                parameter.mul_(torch.logspace(-1.5, 0.5, len(parameter))[torch.randperm(len(parameter))].view(shape))
    return capture(net.eval(), (3, 8, 8))


@pytest.mark.parametrize("seed", range(3))
def test_answers_stay_within_the_range_that_was_seen(seed):
    graph = spread_out(seed)
    images = torch.randn(16, 3, 8, 8)
    done = equalize_activations(graph, images, layers_of(graph))
    assert set(done.layers) == {"wide", "deep", "narrow", "more", "side", "mixed", "fc"}
    with torch.no_grad():
        wanted, found = rebuild(graph)(images), rebuild(done.graph)(images)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert any(len(set(np.round(factors(graph, done.graph, name), 3))) > 3 for name in ("stem", "wide", "more"))


def test_what_adds_up_shares_its_factors_and_answers_have_none():
    graph = spread_out()
    done = equalize_activations(graph, torch.randn(16, 3, 8, 8), layers_of(graph))
    stem = factors(graph, done.graph, "stem")
    np.testing.assert_allclose(factors(graph, done.graph, "narrow"), stem, rtol=1e-5)
    np.testing.assert_allclose(factors(graph, done.graph, "more")[2:10], stem, rtol=1e-5)
    np.testing.assert_allclose(factors(graph, done.graph, "fc"), 1)
    assert stem.min() >= 1 - 1e-6


def test_a_bound_stays_and_no_channel_grows_into_it():
    graph = spread_out()
    images = torch.randn(16, 3, 8, 8)
    done = equalize_activations(graph, images, layers_of(graph), margin=1.5)
    grown = factors(graph, done.graph, "wide")
    seen = dict(rebuild(graph).steps(images))
    name = next(n.name for n in graph.nodes if n.op == "clip")
    reach = seen[name].detach().amax((0, 2, 3)).numpy()
    assert grown.max() > 2
    assert (grown >= 1 - 1e-6).all()
    assert (grown[grown > 1.001] * reach[grown > 1.001] * 1.5 <= 6.001).all()


def test_shared_weights_floats_and_tables_are_left_alone():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            self.last = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return self.last(F.hardswish(self.conv(F.relu(self.conv(x)))))

    graph = capture(Twice().eval(), (4, 6, 6))
    images = torch.randn(4, 4, 6, 6)
    assert equalize_activations(graph, images, layers_of(graph)).layers == []
    graph = spread_out()
    chosen = {name: 8 for name in layers_of(graph) if name not in ("wide", "deep")}
    done = equalize_activations(graph, torch.randn(4, 3, 8, 8), chosen)
    np.testing.assert_allclose(factors(graph, done.graph, "stem"), 1)
    np.testing.assert_allclose(factors(graph, done.graph, "deep"), 1)


def test_the_estimate_of_noise_number_by_number():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 4, 3, 3))  # two groups: 8 inputs
    node, _ = layer(rng, "conv", "x", 6, 4, groups=2)
    reach, power, t = rng.uniform(1, 5, 8), rng.uniform(0.1, 1, 8), rng.uniform(1, 3, 8)
    rows = weight.reshape(6, 4, 9)
    features = np.array([[0, 1, 2, 3]] * 3 + [[4, 5, 6, 7]] * 3)
    reader = _Reader(node, np.arange(8), np.abs(rows).max(2), (rows**2).sum(2), features, 9, 127)
    step = (reach * t).max() / 255
    noise = signal = 0.0
    for i in range(6):
        inputs = range(4) if i < 3 else range(4, 8)
        row = max(abs(weight[i, j % 4, y, x]) / t[j] for j in inputs for y in range(3) for x in range(3)) / 127
        for j in inputs:
            for y in range(3):
                for x in range(3):
                    noise += weight[i, j % 4, y, x] ** 2 * step**2 / t[j] ** 2 + row**2 * t[j] ** 2 * power[j]
                    signal += weight[i, j % 4, y, x] ** 2 * power[j]
    assert _noise(reader, t, {"x": reach}, {"x": power}, 255) == pytest.approx(noise / signal)


def test_uneven_channels_lose_less():
    graph = spread_out(1)
    images, others = torch.randn(32, 3, 8, 8), torch.randn(32, 3, 8, 8)

    def error(how):
        made = quantize(graph, images, equalized=how)
        with torch.no_grad():
            return (rebuild(made.graph)(others) - rebuild(graph)(others)).norm()

    assert error("activations") < 0.8 * error(False)
    assert error(None) == error("activations")


def test_every_operator_is_followed_or_pinned():
    for seed in range(3):
        graph = everything(seed)
        images = images_for(graph, 12, seed)
        done = equalize_activations(graph, images, layers_of(graph))
        with torch.no_grad():
            wanted, found = rebuild(graph)(images), rebuild(done.graph)(images)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_dead_channels_stay():
    rng = np.random.default_rng(0)
    one, first = layer(rng, "one", "x", 4, 6)
    first["one.weight"][1], first["one.bias"][1] = 0, 0
    two, second = layer(rng, "two", "relu", 3, 4)
    graph = graph_of([one, Node("relu", "relu", ("one",)), two], first | second)
    done = equalize_activations(graph, images_for(graph), layers_of(graph))
    assert all(np.isfinite(form.dense()).all() for form in done.graph.weights.values())
    np.testing.assert_array_equal(done.graph.weights["two.weight"].dense()[:, 1], second["two.weight"][:, 1])
