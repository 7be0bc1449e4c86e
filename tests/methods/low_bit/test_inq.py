import copy
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

from paring import methods, parametrize
from paring.capture import capture
from paring.container import Contents, read, write
from paring.errors import ArgumentError
from paring.forms import Codebook, Dense, Sparse

WEIGHTS = arrays(np.float32, array_shapes(max_dims=4, max_side=5), elements=st.floats(-4, 4, width=32))

LAYERS = {
    "plain": lambda: nn.Conv2d(4, 6, 3),
    "grouped": lambda: nn.Conv2d(4, 8, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(6, 6, 3, groups=6),
    "dilated": lambda: nn.Conv2d(4, 6, 3, dilation=2),
    "1x1": lambda: nn.Conv2d(4, 6, 1),
    "fc": lambda: nn.Linear(9, 7),
    "conv1d": lambda: nn.Conv1d(4, 6, 3),
}


def naive_level(w, n1, n2):
    """Equation 4 in fractions: go through the levels from below; beyond the last, the last."""
    magnitude, level = abs(Fraction(float(w))), Fraction(0)
    for p in range(n2, n1 + 1):
        below, power = level if p == n2 else Fraction(2) ** (p - 1), Fraction(2) ** p
        if (below + power) / 2 <= magnitude < Fraction(3, 2) * power:
            return math.copysign(float(power), w)
        if p == n1 and magnitude >= Fraction(3, 2) * power:
            return math.copysign(float(power), w)
    return 0.0


def test_worked_number():
    """max |W| = 1 and 5 bits: 2^0 .. 2^-7, eight magnitudes, two signs and zero."""
    assert methods.low_bit.power_exponents(1.0, 5) == (0, -7)
    levels = methods.low_bit.power_levels(0, -7)
    assert levels.dtype == np.float32
    assert (
        sorted(levels.tolist()) == levels.tolist() == sorted([0.0] + [s * 2.0**-p for s in (1, -1) for p in range(8)])
    )
    weight = np.array([1.0, -0.75, 0.7499, 0.375, 0.37499, 2**-8, 2**-8 - 1e-9, -0.0, 5.0, -1.4999])
    assert methods.low_bit.nearest_powers(weight, 0, -7).tolist() == [1, -1, 0.5, 0.5, 0.25, 2**-7, 0, 0, 1, -1]


@given(st.floats(1e-6, 1e6), st.integers(2, 8))
def test_exponents_are_the_formulas(largest, bits):
    n1, n2 = methods.low_bit.power_exponents(largest, bits)
    # 2^n1 <= 4 s / 3 < 2^(n1 + 1), in fractions, no logarithm
    assert Fraction(2) ** n1 <= Fraction(4, 3) * Fraction(largest) < Fraction(2) ** (n1 + 1)
    assert n2 == n1 + 1 - 2 ** (bits - 1) / 2
    assert len(methods.low_bit.power_levels(n1, n2)) == 2 ** (bits - 1) + 1


@given(WEIGHTS, st.integers(2, 5))
def test_rounding_is_equation_4(weight, bits):
    n1, n2 = methods.low_bit.power_exponents(max(0.3, float(np.abs(weight).max())), bits)
    wanted = np.array([naive_level(w, n1, n2) for w in weight.flat], np.float32).reshape(weight.shape)
    got = methods.low_bit.nearest_powers(weight, n1, n2)
    np.testing.assert_array_equal(got, wanted)
    assert got.dtype == np.float32


def naive_largest(weight, frozen, count):
    """What is frozen, and then the largest of the rest, first come first served."""
    flat = np.abs(weight).ravel()
    order = sorted(range(flat.size), key=lambda i: (not frozen.flat[i], -float(flat[i]), i))
    mask = np.zeros(flat.size, bool)
    mask[order[:count]] = True
    return mask.reshape(weight.shape)


@pytest.mark.parametrize("kind", LAYERS)
def test_portions_on_every_kind_of_layer(kind, tmp_path):
    torch.manual_seed(0)
    layer = LAYERS[kind]()
    net = nn.Sequential(layer)
    channels = layer.in_features if kind == "fc" else layer.in_channels
    x = torch.randn(5, channels, *[7] * (layer.weight.ndim - 2))
    optimizer, frozen, levels = None, np.zeros(layer.weight.shape, bool), None
    n1, n2 = methods.low_bit.power_exponents(float(layer.weight.detach().abs().max()), 4)
    for portion in (0.5, 0.75, 0.875, 1.0):
        before = layer.weight.detach().numpy().copy()
        count = round(portion * before.size)
        assert methods.inq(net, {"0": 4}, portion=portion).removed == count
        wanted = naive_largest(before, frozen, count)
        form = layer.parametrizations.weight[0]
        assert (form.n1, form.n2) == (n1, n2)  # chosen once, whatever training did since
        assert form.portion == count / before.size
        np.testing.assert_array_equal(form.frozen.numpy(), wanted)
        now = layer.weight.detach().numpy()
        np.testing.assert_array_equal(now[~wanted], before[~wanted])
        new = wanted & ~frozen
        np.testing.assert_array_equal(now[new], [naive_level(w, n1, n2) for w in before[new]])
        frozen, levels = wanted, now[wanted]
        exported = parametrize.forms(net)["0.weight"]
        assert isinstance(exported, Codebook if portion == 1 else Dense)
        np.testing.assert_array_equal(exported.dense(), now)
        # one optimizer lives through all of it, with momentum and decay
        optimizer = optimizer or torch.optim.SGD(net.parameters(), 0.05, 0.9, weight_decay=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
        after = layer.weight.detach().numpy()
        np.testing.assert_array_equal(after[frozen], levels)
        assert portion == 1 or not np.array_equal(after[~frozen], now[~frozen])
    form = parametrize.forms(net)["0.weight"]
    assert form.bits == 16  # powers of two are exact in half precision
    assert set(form.centroids.tolist()) <= set(methods.low_bit.power_levels(n1, n2).tolist())
    if kind in ("depthwise", "fc"):  # test_every_method.py writes the others
        graph = capture(net, tuple(x.shape[1:])).with_weights(parametrize.forms(net))
        write(tmp_path / "net.pare", Contents(graph))
        there = read(tmp_path / "net.pare").graph.weights["0.weight"]
        assert there.equals(form)
        np.testing.assert_array_equal(there.dense(), layer.weight.detach().numpy())


def test_gradient_reaches_the_free_part_alone():
    torch.manual_seed(0)
    net, x = nn.Linear(6, 5), torch.randn(4, 6)
    methods.inq(net, {"weight": 5}, portion=0.6)
    form = net.parametrizations.weight[0]
    (net(x) ** 3).sum().backward()
    plain = net.weight.detach().clone().requires_grad_()
    (nn.functional.linear(x, plain, net.bias) ** 3).sum().backward()
    assert torch.equal(net.parametrizations.weight.original.grad, plain.grad * ~form.frozen)


def test_pruned_weights_stay_zero_and_count_in_no_portion():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 10))
    methods.prune(net, {"0": 0.3})
    zero = net[0].weight.detach() == 0
    assert methods.inq(net, {"0": 5}, portion=0.5).removed == 140 + 30
    net(torch.randn(8, 20)).square().sum().backward()
    assert not net[0].parametrizations.weight.original.grad[zero].any()
    form = parametrize.forms(net)["0.weight"]
    assert isinstance(form, Sparse)
    assert form.nonzeros == 60
    methods.inq(net, {"0": 5}, portion=1.0)
    assert not net[0].weight[zero].any()
    assert isinstance(parametrize.forms(net)["0.weight"], Codebook)


@pytest.mark.parametrize("portion", [0.5, 1.0])
def test_through_a_checkpoint(portion):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    fresh = copy.deepcopy(net)
    for p in fresh.parameters():
        nn.init.zeros_(p)
    methods.inq(net, {"*": 3}, portion=portion)
    parametrize.rebuild(fresh, parametrize.describe(net))
    fresh.load_state_dict(net.state_dict())
    parametrize.refresh(fresh)
    assert parametrize.describe(fresh) == parametrize.describe(net)
    x = torch.randn(3, 2, 4, 4)
    assert torch.equal(fresh(x), net(x))
    assert methods.inq(fresh, {"*": 3}, portion=1.0).rows == methods.inq(net, {"*": 3}, portion=1.0).rows
    assert torch.equal(fresh(x), net(x))


def test_powers_that_half_precision_has_not_are_kept_in_single():
    net = nn.Sequential(nn.Linear(8, 8))
    with torch.no_grad():
        net[0].weight.copy_(2.0 ** -torch.arange(64.0).reshape(8, 8))
    methods.inq(net, {"0": 8}, portion=1.0)
    form = parametrize.forms(net)["0.weight"]
    assert form.bits == 32
    np.testing.assert_array_equal(form.dense(), net[0].weight.detach().numpy())
    assert form.nonzeros == 64


def test_what_cannot_be():
    def net():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

    for targets, portion, match in (
        ({"0": 1}, 0.5, "width"),
        ({"0": 9}, 0.5, "width"),
        ({"0": 5}, 1.5, "portion"),
        ({"0": 5}, float("nan"), "portion"),
        ({"nine": 5}, 0.5, "matches no layer"),
    ):
        with pytest.raises(ArgumentError, match=match):
            methods.inq(net(), targets, portion=portion)
    begun = net()
    methods.inq(begun, {"0": 5}, portion=0.5)
    methods.inq(begun, {"0": 5}, portion=0.5)  # nothing left to do is no error
    with pytest.raises(ArgumentError, match="more is frozen already"):
        methods.inq(begun, {"0": 5}, portion=0.25)
    with pytest.raises(ArgumentError, match="another width"):
        methods.inq(begun, {"0": 4}, portion=0.75)
    shared = net()
    methods.share(shared, {"0": 2})
    with pytest.raises(ArgumentError, match="already shared"):
        methods.inq(shared, {"*": 5}, portion=0.5)
    assert parametrize.describe(shared).keys() == {"0.weight"}  # the other one was not begun
    tied = net()
    tied[1].weight = tied[0].weight
    with pytest.raises(ArgumentError, match="share this parameter"):
        methods.inq(tied, {"0": 5}, portion=0.5)
    for spoilt, match in ((0.0, "every weight is zero"), (math.nan, "not a finite"), (math.inf, "not a finite")):
        broken = net()
        nn.init.constant_(broken[0].weight, spoilt)
        with pytest.raises(ArgumentError, match=match):
            methods.inq(broken, {"0": 5}, portion=0.5)
    with pytest.raises(ArgumentError, match="largest"):
        methods.low_bit.power_exponents(0.0, 5)
    with pytest.raises(ArgumentError, match="finite"):
        methods.low_bit.nearest_powers(np.array([np.nan]), 0, -1)
