"""TWN against loops, a search for the best scale and the closed forms of its threshold."""

import doctest
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

from paring import methods, parametrize
from paring.errors import ArgumentError
from tests.methods.low_bit.cases import LAYERS, check_round_trip, name_of, network, train

WEIGHTS = arrays(np.float32, array_shapes(min_dims=1, max_dims=4, max_side=5), elements=st.integers(-8, 8).map(float))


def naive(weights, c):
    """Codes and alpha of one list of numbers, one number at a time."""
    delta = float(np.float32(c * (sum(abs(float(w)) for w in weights) / len(weights))))
    codes = [(1 if w > delta else -1 if w < -delta else 0) for w in map(float, weights)]
    above = [abs(float(w)) for w, t in zip(weights, codes, strict=True) if t]
    return codes, sum(above) / len(above) if above else 1.0


@given(WEIGHTS, st.sampled_from([0.0, 0.7, 0.75, 1.5]))
def test_one_scale_is_the_papers_formula(weight, c):
    codes, alpha = methods.low_bit.ternary_weight(torch.from_numpy(weight), c)
    expected, scale = naive(weight.ravel(), c)
    assert codes.ravel().tolist() == expected
    assert alpha.tolist() == [pytest.approx(scale, rel=1e-6)]


@pytest.mark.parametrize("axis", [0, 1])
def test_channels_are_layers_of_their_own(axis):
    weight = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    weight.select(axis, 1).zero_()
    codes, alpha = methods.low_bit.ternary_weight(weight, 0.75, axis)
    assert alpha.shape == (weight.shape[axis],)
    for channel in range(weight.shape[axis]):
        expected, scale = naive(weight.select(axis, channel).reshape(-1), 0.75)
        assert codes.select(axis, channel).reshape(-1).tolist() == expected
        assert float(alpha[channel]) == pytest.approx(scale, rel=1e-6)


def test_alpha_is_the_best_for_its_codes():
    weight = torch.randn(400, generator=torch.Generator().manual_seed(1)).double()
    codes, alpha = methods.low_bit.ternary_weight(weight)
    tried = np.linspace(0.5, 1.5, 2001) * float(alpha)
    errors = ((weight.numpy()[:, None] - tried * codes.numpy()[:, None]) ** 2).sum(0)
    assert abs(tried[errors.argmin()] - float(alpha)) < 1e-3 * float(alpha)


@pytest.mark.parametrize(
    ("c", "draw"),
    [
        (2 / 3, lambda g: 2 * torch.rand(200_000, generator=g, dtype=torch.float64) - 1),
        (0.75, lambda g: torch.randn(200_000, generator=g, dtype=torch.float64)),
    ],
)
def test_the_threshold_is_near_the_best_one(c, draw):
    """Of all codes |w| > t, each with its best alpha, the least error is found at t = c mean |w|."""
    weight = draw(torch.Generator().manual_seed(2))
    size = np.sort(weight.abs().numpy())[::-1]
    explained = np.cumsum(size) ** 2 / np.arange(1, len(size) + 1)  # sum w^2 - error, for the k largest
    best = size[explained.argmax()]
    assert best == pytest.approx(c * size.mean(), rel=0.03)
    codes, alpha = methods.low_bit.ternary_weight(weight, c)
    error = float(((weight - alpha * codes) ** 2).sum())
    assert error <= 1.001 * ((size**2).sum() - explained.max())


def test_gradient_is_that_of_the_ternary_weight():
    torch.manual_seed(0)
    net = nn.Linear(7, 4)
    methods.ternarize(net, {"weight": 0.75})
    x = torch.randn(9, 7)
    net(x).square().sum().backward()
    ternary = net.weight.detach().clone().requires_grad_()
    nn.functional.linear(x, ternary, net.bias.detach()).square().sum().backward()
    assert torch.equal(net.parametrizations.weight.original.grad, ternary.grad)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_through_training_checkpoint_and_file(kind, per_channel, tmp_path):
    net, name = network(kind), name_of(kind)
    before = net.get_submodule(name).weight.detach().clone()
    zeros = methods.ternarize(net, {name: 0.7}, per_channel=per_channel)
    assert 0 < zeros[f"{name}.weight"].after < zeros[f"{name}.weight"].before
    train(net)
    original = net.get_submodule(name).parametrizations.weight.original.detach()
    assert not torch.equal(original, before)
    form = check_round_trip(net, network(kind, 1), tmp_path / "net.pare", name)
    assert (form.bits, len(form.scales)) == (2, len(before) if per_channel else 1)
    rows = original.reshape(len(original), -1) if per_channel else original.reshape(1, -1)
    for row, scale, codes in zip(rows, form.scales, form.codes.reshape(rows.shape), strict=True):
        expected, alpha = naive(row, 0.7)
        assert codes.tolist() == expected
        assert scale == pytest.approx(alpha, rel=1e-6)


def test_a_layer_of_zeros_and_a_transposed_one():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(3, 4, 2), nn.Conv1d(3, 5, 2))
    nn.init.zeros_(net[0].weight)
    methods.ternarize(net, {"0": 0.75, "1.weight": 0.75, "2": 0.7}, per_channel=True)
    forms = parametrize.forms(net)
    assert not forms["0.weight"].codes.any()
    assert (forms["1.weight"].axis, len(forms["1.weight"].scales)) == (1, 4)
    for layer in (0, 1, 2):
        np.testing.assert_array_equal(forms[f"{layer}.weight"].dense(), net[layer].weight.detach().numpy())


def test_the_graph_of_a_conv1d_keeps_the_form():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(3, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(35, 2))
    methods.ternarize(net, {"*": 0.75})
    graph = methods.graph_with_forms(net, (3, 8))
    assert graph.weights["0.weight"].bits == 2
    np.testing.assert_array_equal(graph.weights["0.weight"].dense()[:, :, 0], net[0].weight.detach().numpy())


@pytest.mark.parametrize("factor", [-0.1, float("inf"), float("nan")])
def test_a_factor_that_cannot_be(factor):
    with pytest.raises(ArgumentError, match="threshold factor"):
        methods.ternarize(nn.Sequential(nn.Linear(2, 2)), {"0": factor})


def test_what_has_a_form_is_refused():
    net = nn.Sequential(nn.Linear(4, 4))
    methods.prune(net, {"0": 0.5})
    with pytest.raises(ArgumentError, match="already pruned"):
        methods.ternarize(net, {"0": 0.75})
    with pytest.raises(ArgumentError, match="matches no layer"):
        methods.ternarize(net, {"fc*": 0.75})


@pytest.mark.parametrize(("page", "least"), [("ternary.md", 8), ("binary.md", 13)])
def test_the_examples_of_the_pages(page, least):
    path = Path(__file__).parents[3] / "docs" / "methods" / page
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testfile(str(path), module_relative=False, optionflags=flags)
    assert tried >= least
    assert failed == 0
