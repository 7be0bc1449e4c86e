"""Streaming histograms and the ranges read off them, against exact computations on all the values."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paring.errors import ArgumentError, DataError
from paring.methods.integer import OBSERVERS, Histogram, affine, weight_scales


def seen(*batches, bins=4096):
    histogram = Histogram(bins)
    for batch in batches:
        histogram.update(torch.as_tensor(np.asarray(batch, np.float32)))
    return histogram


@given(
    st.lists(
        st.lists(st.integers(-(10**6), 10**6).map(lambda n: n / 64), min_size=1, max_size=20), min_size=1, max_size=6
    ),
    st.integers(2, 64),
)
@settings(deadline=None, max_examples=60)
def test_counts_do_not_depend_on_batches_and_are_exact(batches, bins):
    one, other = seen(*batches, bins=bins), seen(*batches[::-1], bins=bins)
    values = np.concatenate([np.asarray(b, np.float32) for b in batches]).astype(np.float64)
    assert len(one.counts) <= bins
    assert (one.low, one.high) == (values.min(), values.max())
    assert one.counts.sum() == len(values)
    for value in values:  # the judge counts each bin by hand
        i = int(np.floor(value / one.width))
        inside = (values >= i * one.width) & (values < (i + 1) * one.width)
        assert one.counts[i - one.first] == inside.sum()
    assert (one.width, one.first) == (other.width, other.first)
    np.testing.assert_array_equal(one.counts, other.counts)


def test_memory_is_bounded_whatever_comes():
    histogram = seen(bins=128)
    for exponent in range(-30, 30):
        histogram.update(torch.linspace(-(2.0**exponent), 1.7**exponent, 100))
        assert len(histogram.counts) <= 128
    assert histogram.counts.sum() == 6000


def test_values_that_are_not_numbers_are_refused():
    with pytest.raises(DataError, match="finite"):
        seen([1.0, np.inf])


def test_percentile_is_the_quantile():
    values = np.random.default_rng(0).normal(0, 1, 20000)
    histogram = seen(*np.split(values, 10))
    low, high = OBSERVERS["percentile"](histogram, 8, 0.99)
    np.testing.assert_allclose(
        (low, high), np.quantile(values.astype(np.float32), [0.01, 0.99]), atol=2 * histogram.width
    )
    with pytest.raises(ArgumentError):
        OBSERVERS["percentile"](histogram, 8, 0.3)


def exact_error(values, low, high, bits):
    scale, zero = affine(low, high, bits)
    codes = np.clip(np.rint(values / scale) + zero, 0, 2**bits - 1)
    return np.mean(((codes - zero) * scale - values) ** 2)


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("kind", ["normal", "relu", "outlier"])
def test_mse_is_near_the_best_range_of_a_brute_force_search(bits, kind):
    rng = np.random.default_rng(1)
    values = {
        "normal": rng.normal(0.5, 1, 5000),
        "relu": np.maximum(rng.normal(0, 1, 5000), 0),
        "outlier": np.append(rng.normal(0, 1, 5000), 60.0),
    }[kind]
    low, high = OBSERVERS["mse"](seen(values), bits)
    grid = [
        exact_error(values, f * values.min(), g * values.max(), bits)
        for f in np.linspace(0.05, 1, 40)
        for g in np.linspace(0.02, 1, 50)
    ]
    assert exact_error(values, low, high, bits) <= 1.06 * min(grid) + 1e-12


def test_entropy_cuts_an_outlier_and_keeps_a_flat_range():
    rng = np.random.default_rng(2)
    flat = rng.uniform(0, 4, 20000)
    low, high = OBSERVERS["entropy"](seen(flat), 8)
    assert (low, high) == (0, pytest.approx(flat.max(), rel=0.05))
    _, high = OBSERVERS["entropy"](seen(np.append(rng.normal(0, 1, 50000), 200.0)), 8)
    assert high < 100


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.integers(2, 8))
def test_affine_codes_hold_zero_exactly_and_reach_both_ends(a, b, bits):
    scale, zero = affine(min(a, b), max(a, b), bits)
    assert scale.dtype == np.float32
    assert 0 <= zero < 2**bits
    low, high = min(a, b, 0), max(a, b, 0)
    if high - low > 1e-6:
        assert (0 - zero) * float(scale) <= low + 0.51 * scale
        assert (2**bits - 1 - zero) * float(scale) >= high - 0.51 * scale


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weight_scales_against_a_fine_search(bits):
    rng = np.random.default_rng(3)
    weight = (rng.standard_t(4, (6, 4, 3, 3)) * rng.uniform(0.1, 2, (6, 1, 1, 1))).astype(np.float32)
    top = 2 ** (bits - 1) - 1
    largest = weight_scales(weight, bits, how="max")
    np.testing.assert_allclose(largest, np.abs(weight).max((1, 2, 3)) / top, rtol=1e-6)

    def error(row, scale):
        return ((np.clip(np.rint(row / scale), -top, top) * scale - row) ** 2).sum()

    for row, scale, most in zip(weight, weight_scales(weight, bits, how="mse"), largest, strict=True):
        best = min(error(row, most * f) for f in np.linspace(0.05, 1, 2000))
        assert error(row, scale) <= 1.06 * best + 1e-12
    assert weight_scales(weight, bits, None).shape == (1,)
    np.testing.assert_array_equal(weight_scales(np.zeros((2, 3)), bits), [1, 1])
