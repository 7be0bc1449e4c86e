"""The rounded activation against exact fractions, its gradient against the paper's, and the operators of the graph."""

import copy
from fractions import Fraction

import numpy as np
import pytest
import torch

from paring.errors import ArgumentError
from paring.graph import QuantParams, dequantize, quantize
from paring.layers import ClippedQuantizer

F32 = np.float32


def exact(x, n):
    """``round(n clip(x, 0, 1)) / n`` in fractions; Python rounds a half to even."""
    return Fraction(round(n * min(max(Fraction(float(x)), Fraction(0)), Fraction(1))), n)


def hard_inputs(n):
    """Numbers from all over, and the floats next to every tie and every level."""
    rng = np.random.default_rng(0)
    points = [rng.normal(0.5, 0.6, 500), [0, -0.0, 1, 2, -3, 1e-30, 1e20, np.inf, -np.inf]]
    points += [(np.arange(n + 1) + half) / n for half in (0, 0.5)]
    x = np.concatenate(points).astype(F32)
    return np.concatenate([x, np.nextafter(x, F32(9)), np.nextafter(x, F32(-9))])


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 8])
def test_the_formula_in_exact_numbers(bits):
    n = 2**bits - 1
    x = hard_inputs(n)
    x = x[np.isfinite(x)]
    with torch.no_grad():
        y = ClippedQuantizer(bits)(torch.from_numpy(x)).numpy()
    for given, got in zip(x, y, strict=True):
        wanted = exact(given, n)
        if abs(Fraction(float(got)) - wanted) * n > Fraction(1, 2):  # another level: only beside a tie
            off = abs(n * Fraction(float(given)) % 1 - Fraction(1, 2))
            assert off <= Fraction(n, 2**22), (given, got)
        else:
            assert abs(got - F32(wanted)) <= np.spacing(F32(wanted))
    assert y.min() == 0
    assert y.max() == 1


def test_worked_numbers():
    # n = 3: 3 x = 0.3, 0.75, 1.5 (a tie, to even), 1.8, 3.3 cut off
    x = torch.tensor([-1.0, 0.1, 0.25, 0.5, 0.6, 1.1])
    assert ClippedQuantizer(2)(x).tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3, 2 / 3, 1])
    assert ClippedQuantizer(1)(torch.tensor([0.5, 0.51, 7.0])).tolist() == [0, 1, 1]
    assert ClippedQuantizer(2, high=6)(torch.tensor([0.9, 1.1, 5.1, 9.0])).tolist() == [0, 2, 6, 6]


@pytest.mark.parametrize(("bits", "high"), [(2, 1.0), (3, 1.0), (4, 6.0), (7, 1.0), (8, 1.0), (8, 0.3)])
def test_it_is_the_operators_bit_for_bit(bits, high):
    with np.errstate(over="ignore"):
        x = F32(high) * hard_inputs(2**bits - 1)
    codes = QuantParams(high / (2**bits - 1), 0, bits)
    with torch.no_grad():
        y = ClippedQuantizer(bits, high)(torch.from_numpy(x)).numpy()
    wanted = dequantize(quantize(x, codes), codes)
    np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize("high", [1.0, 2.5])
def test_gradient_is_one_inside_and_zero_outside(high):
    x = torch.tensor([-5.0, -1e-6, 0.0, 0.3, 0.5, 1.0, 1.5, 2.5, 2.5001, np.nan], requires_grad=True)
    grad = torch.arange(1.0, 11.0)
    layer = ClippedQuantizer(3, high)
    y = layer(x)
    y.backward(grad)
    inside = [0 <= v <= high for v in x.tolist()]
    assert x.grad.tolist() == [g if i else 0 for g, i in zip(grad.tolist(), inside, strict=True)]
    with torch.no_grad():
        assert torch.equal(layer(x).nan_to_num(9), y.detach().nan_to_num(9))
    assert y[-1].isnan()


def test_it_holds_no_state_and_can_be_copied():
    layer = copy.deepcopy(ClippedQuantizer(4))
    assert not layer.state_dict()
    assert "bits=4" in repr(layer)
    x = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert layer(x).shape == x.shape


@pytest.mark.parametrize(("bits", "high"), [(0, 1.0), (9, 1.0), (2.5, 1.0), (4, 0.0), (4, -1.0), (4, float("nan"))])
def test_what_cannot_be(bits, high):
    with pytest.raises(ArgumentError, match=r"width|scale"):
        ClippedQuantizer(bits, high)
