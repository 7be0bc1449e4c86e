"""Deep Compression's coding: the paper's own figure, a naive loop, and the paper's tables."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paring.coding import relative
from paring.errors import FormatError


def naive_split(values, index_bits):
    gaps, codes, skipped = [], [], 0
    last = max((i for i, v in enumerate(values) if v), default=-1)
    for value in values[: last + 1]:
        if value or skipped == 2**index_bits - 1:
            gaps.append(skipped)
            codes.append(value)
            skipped = 0
        else:
            skipped += 1
    return gaps, codes


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(0, 200))
def test_split_is_the_naive_loop(data, index_bits, size):
    mask = data.draw(arrays(np.bool_, size))
    sparse = data.draw(arrays(np.bool_, size)) & data.draw(arrays(np.bool_, size))
    values = data.draw(arrays(np.int64, size, elements=st.integers(0, 6))) * mask * sparse
    gaps, codes = relative.split(values, index_bits)
    assert (gaps.tolist(), codes.tolist()) == naive_split(values.tolist(), index_bits)
    code = relative.encode(values, 7, index_bits)
    assert np.array_equal(relative.decode(code, values.shape, 7), values)
    for wrong in (code + b"\0", code[:-1]):
        with pytest.raises(FormatError):
            relative.decode(wrong, values.shape, 7)


def test_figure_2_of_the_paper():
    # weights 3.4 at 1, 0.9 at 4, 1.7 at 15; three bits reach eight places, so a filler zero stands at 12
    values = np.zeros(16, int)
    values[[1, 4, 15]] = 3, 1, 2
    gaps, codes = relative.split(values, 3)
    assert codes.tolist() == [3, 1, 0, 2]
    assert (np.cumsum(gaps + 1) - 1).tolist() == [1, 4, 12, 15]
    assert (gaps + 1).tolist()[1:] == [3, 8, 3]


def bernoulli_layer(size, kept, codes, seed):
    rng = np.random.default_rng(seed)
    values = np.zeros(size, int)
    places = rng.choice(size, round(kept * size), replace=False)
    values[places] = rng.integers(1, codes + 1, len(places))
    return values


@pytest.mark.parametrize(
    ("size", "kept", "bits", "printed"),
    [
        (235_200, 0.08, 6, 3.1),  # LeNet-300-100, table 2
        (30_000, 0.09, 6, 3.8),
        (1_000, 0.26, 6, 15.7),
        (500, 0.66, 8, 78.5),  # LeNet-5, table 3
        (25_000, 0.12, 8, 6.0),
        (400_000, 0.08, 5, 2.7),
        (5_000, 0.19, 5, 6.9),
    ],
)
def test_sizes_before_huffman_are_those_the_paper_prints(size, kept, bits, printed):
    # Positions are the paper's own and unknown; at random ones the share of fillers is much the same.
    line = relative.layer_size(bernoulli_layer(size, kept, 2**bits, 0), 2**bits + 1)
    assert (line.weight_bits, line.index_bits) == (bits, 5)
    assert 100 * line.size == pytest.approx(printed, rel=0.09)


def test_the_total_is_the_sum():
    layers = [relative.layer_size(bernoulli_layer(n, 0.1, 32, n), 33) for n in (500, 4000)]
    total = relative.total_size(layers)
    assert total.size * total.weights == pytest.approx(sum(layer.size * layer.weights for layer in layers))
    assert total.size_huffman * total.weights == pytest.approx(sum(n.size_huffman * n.weights for n in layers))


def test_mean_lengths_are_what_the_code_takes():
    values = bernoulli_layer(20_000, 0.1, 30, 1)
    line = relative.layer_size(values, 31)
    table_bits = 8 * 3 + 5 * 32 + 5 * 31 + 6 * 2  # head, lengths of gaps, of codes with up to two runs, rounding
    bits = line.entries * (line.weight_bits_huffman + line.index_bits_huffman)
    assert 0 <= 8 * len(relative.encode(values, 31)) - bits <= table_bits + 16
