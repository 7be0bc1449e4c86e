import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paring.errors import ArgumentError
from paring.layers import pack_signs, packed_dot, popcount


def naive_dot(a, b):
    total = 0
    for x, y in zip(a, b, strict=True):
        total += (1 if x >= 0 else -1) * (1 if y >= 0 else -1)
    return total


@given(st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_dot_through_popcount_is_the_dot_of_signs(n, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-2, 3, size=(2, n))
    dot = int(packed_dot(pack_signs(a), pack_signs(b), n))
    assert dot == naive_dot(a, b)
    assert dot % 2 == n % 2
    assert -n <= dot <= n


def test_bits_are_where_the_docstring_says():
    values = np.full(70, -1.0)
    values[[0, 3, 65]] = [1.0, 0.0, 2.0]  # zero counts as +1
    words = pack_signs(values)
    assert words.dtype == np.uint64
    assert words.tolist() == [0b1001, 0b10]


def test_packing_keeps_leading_axes_and_broadcasts():
    rng = np.random.default_rng(0)
    inputs, filters = rng.normal(size=(5, 1, 130)), rng.normal(size=(3, 130))
    signs = [np.where(v >= 0, 1, -1) for v in (inputs, filters)]
    np.testing.assert_array_equal(
        packed_dot(pack_signs(inputs), pack_signs(filters), 130), (signs[0] * signs[1]).sum(-1)
    )


def test_popcount_counts_ones():
    words = np.array([0, 1, 2**64 - 1, 0x8000_0000_0000_0001, 0x5555_5555_5555_5555], dtype=np.uint64)
    assert popcount(words).tolist() == [bin(int(word)).count("1") for word in words]


def test_the_unused_bits_are_zero_so_no_mask_is_needed():
    assert pack_signs(np.ones(3)).tolist() == [0b111]


def test_wrong_length_is_an_error():
    with pytest.raises(ArgumentError, match="length"):
        packed_dot(pack_signs(np.ones(10)), pack_signs(np.ones(100)), 100)
    with pytest.raises(ArgumentError, match="length"):
        packed_dot(pack_signs(np.ones(10)), pack_signs(np.ones(10)), 65)
