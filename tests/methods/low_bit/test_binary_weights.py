"""Binary-Weight-Networks against loops, a search for the best scale, and the paper's gradient written out."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from paring import methods, parametrize
from paring.errors import ArgumentError
from paring.layers import BinaryLinear
from tests.methods.low_bit.cases import LAYERS, check_round_trip, name_of, network, train


@pytest.mark.parametrize("kind", LAYERS)
def test_through_training_checkpoint_and_file(kind, tmp_path):
    net, name = network(kind), name_of(kind)
    assert list(methods.binarize_weights(net, {name: "paper"})) == [f"{name}.weight"]
    train(net, after=methods.low_bit.center_and_clip_weights)
    original = net.get_submodule(name).parametrizations.weight.original.detach().numpy()
    form = check_round_trip(net, network(kind, 1), tmp_path / "net.pare", name)
    assert (form.bits, len(form.scales)) == (1, len(original))
    for filter, codes, scale in zip(original, form.codes, form.scales, strict=True):
        assert codes.ravel().tolist() == [1 if w >= 0 else -1 for w in filter.ravel()]
        assert scale == pytest.approx(sum(abs(float(w)) for w in filter.ravel()) / filter.size, rel=1e-5)


def test_no_signs_and_no_scale_are_better():
    """All 2^6 sign vectors with each one's best scale."""
    torch.manual_seed(3)
    net = nn.Linear(6, 1, bias=False)
    w = net.weight.detach().double().numpy().ravel()
    methods.binarize_weights(net, {"weight": "paper"})
    own = ((w - net.weight.detach().double().numpy().ravel()) ** 2).sum()
    tried = [np.array(signs) for signs in itertools.product([-1, 1], repeat=6)]
    best = min(((w - max(0, w @ b / 6) * b) ** 2).sum() for b in tried)
    assert own == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("gradient", ["paper", "released"])
@pytest.mark.parametrize("shape", [(3, 4, 2, 2), (5, 7)])
def test_gradient_is_the_papers_formula(gradient, shape):
    torch.manual_seed(0)
    net = nn.Conv2d(4, 3, 2, bias=False) if len(shape) == 4 else nn.Linear(7, 5, bias=False)
    with torch.no_grad():
        net.weight.mul_(4)  # some beyond 1
        net.weight[0].fill_(1.0)  # and some at the edge
    w = net.weight.detach().clone()
    methods.binarize_weights(net, {"weight": gradient})
    pulled = torch.randn(shape)
    (net.weight * pulled).sum().backward()
    found = net.parametrizations.weight.original.grad
    n = w[0].numel()
    for index in np.ndindex(shape):
        alpha = float(w[index[0]].abs().mean())
        size = abs(float(w[index]))
        if gradient == "paper":
            factor = 1 / n + alpha * (size <= 1)
        else:
            factor = (1 / n + alpha * (size < 1)) * (1 - 1 / shape[1]) * n
        assert float(found[index]) == pytest.approx(float(pulled[index]) * factor, rel=1e-4, abs=1e-6)


def test_center_and_clip():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Conv2d(1, 2, 3), BinaryLinear(4, 2, inputs="sign", alpha=False))
    with torch.no_grad():
        net[0].weight.mul_(5)
        net[1].weight.mul_(9)
        net[2].weight.mul_(9)
    before = [layer.weight.detach().clone().numpy() for layer in net]
    methods.binarize_weights(net, {"0": "paper", "1": "paper"})
    assert methods.low_bit.center_and_clip_weights(net) == 3
    found = net[0].parametrizations.weight.original.detach().numpy()
    for o, i, y, x in np.ndindex(before[0].shape):
        mean = sum(float(before[0][o, k, y, x]) for k in range(3)) / 3
        assert found[o, i, y, x] == pytest.approx(min(1, max(-1, before[0][o, i, y, x] - mean)), abs=1e-6)
    one = net[1].parametrizations.weight.original.detach().numpy()  # centering would leave nothing
    np.testing.assert_array_equal(one, np.clip(before[1], -1, 1))
    np.testing.assert_array_equal(net[2].weight.detach().numpy(), np.clip(before[2], -1, 1))


def test_a_filter_of_zeros_takes_a_second_bit():
    net = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        net[0].weight[1] = 0
    methods.binarize_weights(net, {"0": "paper"})
    form = parametrize.forms(net)["0.weight"]
    assert form.bits == 2
    np.testing.assert_array_equal(form.dense(), net[0].weight.detach().numpy())


def test_what_is_refused():
    net = nn.Sequential(
        nn.Conv2d(2, 2, 3, groups=2), nn.BatchNorm2d(2), BinaryLinear(2, 2), nn.ConvTranspose2d(2, 2, 2)
    )
    with pytest.raises(ArgumentError, match="one input channel"):
        methods.binarize_weights(net, {"0": "released"})
    with pytest.raises(ArgumentError, match="unknown gradient"):
        methods.binarize_weights(net, {"0": "ours"})
    with pytest.raises(ArgumentError, match="binary by itself"):
        methods.binarize_weights(net, {"2": "paper"})
    for name in ("0.bias", "1.weight", "3.weight"):
        with pytest.raises(ArgumentError, match="output filters"):
            methods.binarize_weights(net, {name: "paper"})
    methods.binarize_weights(net, {"0": "paper"})
    with pytest.raises(ArgumentError, match="already binarize_weights"):
        methods.binarize_weights(net, {"0": "paper"})
