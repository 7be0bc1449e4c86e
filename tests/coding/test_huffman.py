"""Huffman codes: judged by hand-made codes, by entropy, and by exhaustive search."""

import heapq
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paring.coding import huffman
from paring.errors import FormatError


@pytest.fixture(params=["native", "reference"])
def engine(request, monkeypatch):
    if request.param == "reference":
        monkeypatch.setattr(huffman, "native", None)
    elif huffman.native is None:
        pytest.skip("native module is not built")
    return request.param


def test_golden_bytes(engine):
    # counts 4, 2, 1, 1: lengths 1, 2, 3, 3; codes 0, 10, 110, 111
    values = [0, 0, 0, 0, 1, 1, 2, 3]
    lengths = "00001000100001100011"
    codes = "00001010110111"
    text = lengths + codes
    text += "0" * (-len(text) % 8)
    assert huffman.encode(np.array(values), 4) == int(text, 2).to_bytes(len(text) // 8, "big")


def test_runs_of_unused_symbols_take_eleven_bits(engine):
    code = huffman.encode(np.array([130]), 131)
    text = "000001111110000011111100000000001000010"
    assert code == int(text + "0" * (-len(text) % 8), 2).to_bytes((len(text) + 7) // 8, "big")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=300), st.sampled_from([21, 64, 257, 5000]))
def test_round_trip_and_both_engines_agree(values, alphabet):
    values = np.array(values, np.int64) ** 2 % alphabet
    code = huffman.encode(values, alphabet)
    native = huffman.native
    try:
        huffman.native = None
        assert huffman.encode(values, alphabet) == code
        assert np.array_equal(huffman.decode(code, len(values), alphabet), values)
    finally:
        huffman.native = native
    assert np.array_equal(huffman.decode(code, len(values), alphabet), values)
    with pytest.raises(FormatError):
        huffman.decode(code + b"\0", len(values), alphabet)
    with pytest.raises(FormatError):
        huffman.decode(code[:-1], len(values), alphabet)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 60), st.sampled_from([2, 5, 40]))
def test_any_bytes_decode_alike_or_are_refused(data, count, alphabet):
    def outcome():
        try:
            return huffman.decode(data, count, alphabet).tolist()
        except FormatError:
            return None

    native, first = huffman.native, outcome()
    try:
        huffman.native = None
        assert outcome() == first
    finally:
        huffman.native = native


def cost(counts, lengths):
    return sum(c * int(n) for c, n in zip(counts, lengths, strict=True))


def naive_huffman_cost(counts):
    heap = [c for c in counts if c]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        total += pair
        heapq.heappush(heap, pair)
    return total


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=60))
def test_lengths_are_optimal(counts):
    if sum(c > 0 for c in counts) < 2:
        return
    lengths = huffman.code_lengths(np.array(counts))
    assert cost(counts, lengths) == naive_huffman_cost(counts)
    assert sum(2.0 ** -int(n) for n in lengths if n) == 1


def test_limited_lengths_are_the_best_of_all_limited_codes():
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts = sorted(int(c) for c in rng.integers(1, 50, 5) ** 2)
        best = min(
            cost(counts, lengths) for lengths in product((1, 2, 3), repeat=5) if sum(2.0**-n for n in lengths) <= 1
        )
        assert cost(counts, huffman._package_merge(counts, 3)) == best


def test_fibonacci_counts_stay_within_the_longest_code(engine):
    counts = [1, 1]
    while len(counts) < 30:
        counts.append(counts[-1] + counts[-2])
    lengths = huffman.code_lengths(np.array(counts))
    assert lengths.max() == huffman.MAX_LENGTH
    assert sum(2.0 ** -int(n) for n in lengths) == 1
