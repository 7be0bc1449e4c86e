"""The native coders and those in Python write and read the same bytes; and the tables are what the document says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paring.coding import adaptive, reference
from paring.coding._native import native
from paring.coding.reference import _logistic as logistic
from paring.coding.reference._arithmetic import ArithmeticDecoder, ArithmeticEncoder
from paring.errors import FormatError

pytestmark = pytest.mark.skipif(native is None, reason="native module is not built")


def with_both(work):
    """What ``work`` gives with the native and with the reference coder, which must be the same."""
    results = []
    try:
        for engine in (native, None):
            adaptive.native = engine
            results.append(work())
    finally:
        adaptive.native = native
    assert results[0] == results[1]
    return results[0]


def symbols(rng, shape, alphabet, density):
    return (rng.geometric(0.25, shape) % alphabet) * (rng.random(shape) < density)


@pytest.mark.parametrize(
    "shape", [(), (9,), (1, 1), (7, 18), (12, 16), (4, 3, 3, 3), (3, 2, 5), (2, 1, 5, 5), (3, 8, 1, 1)]
)
@pytest.mark.parametrize("alphabet", [1, 2, 3, 9, 40, 700, 65536])
def test_symbols(shape, alphabet):
    rng = np.random.default_rng(alphabet)
    for negatives in {0, (alphabet - 1) // 2, alphabet - 1}:
        values = symbols(rng, shape, alphabet, 0.6)
        code = with_both(lambda values=values, negatives=negatives: adaptive.encode(values, alphabet, negatives))
        back = with_both(
            lambda code=code, negatives=negatives: adaptive.decode(code, shape, alphabet, negatives).tolist()
        )
        assert back == values.tolist()


def test_one_code_of_everything():
    """What one array taught serves the next, alike in both: links between layers, images, labels, text and numbers."""
    rng = np.random.default_rng(5)
    image = (rng.random((20, 64)) < np.outer(rng.random(20), np.hanning(64))) * rng.integers(1, 7, (20, 64))
    arrays = [
        (image, 7, 3),
        (symbols(rng, (6, 20), 12, 0.3), 12, 5),
        (rng.integers(0, 200, (30, 40)) // 20 * 20, 256, 0),  # labels
        (rng.integers(0, 251, (10, 30)), 251, 100),  # stored
        (symbols(rng, (8, 6, 3, 3), 31, 0.9), 31, 14),
        (np.zeros((5, 5), int), 2, 0),
    ]
    numbers = [rng.normal(size=60).astype(np.float16), np.ones(9, np.float32), rng.normal(size=20).astype(np.float32),
               rng.integers(0, 1 << 32, 40, dtype=np.uint64).astype(np.uint32).view(np.float32)]  # fmt: skip

    def write():
        encoder = adaptive.Encoder()
        encoder.teach(b"features.0.conv")
        encoder.text(b"features.1.conv\0\xff")
        ends = [encoder.position]
        for values, alphabet, negatives in arrays:
            encoder.symbols(values, alphabet, negatives)
            ends.append(encoder.position)
        for values in numbers:
            encoder.numbers(values)
        return encoder.finish(), ends

    def reread():
        decoder = adaptive.Decoder(code)
        decoder.teach(b"features.0.conv")
        assert decoder.text(17) == b"features.1.conv\0\xff"
        found = [decoder.position]
        for values, alphabet, negatives in arrays:
            assert np.array_equal(decoder.symbols(values.shape, alphabet, negatives), values)
            found.append(decoder.position)
        for values in numbers:
            assert decoder.numbers(values.shape, values.dtype).tobytes() == values.tobytes()
        decoder.finish()
        return found

    code, ends = with_both(write)
    assert with_both(reread) == ends


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=30), st.sampled_from([(5,), (3, 4), (2, 2, 3, 3)]), st.sampled_from([2, 6, 300]))
def test_hostile_bytes_have_one_outcome(data, shape, alphabet):
    def outcome():
        try:
            return adaptive.decode(data, shape, alphabet).tolist()
        except FormatError as error:
            return str(error)

    with_both(outcome)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 65535)), max_size=200))
def test_the_arithmetic_coder_takes_what_the_probabilities_say(decisions):
    encoder = ArithmeticEncoder()
    bits = 0.0
    for bit, one in decisions:
        encoder.code(bit, one)
        bits -= math.log2((one if bit else 65536 - one) / 65536)
    code = encoder.finish()
    assert 8 * len(code) <= bits + 16 + 8 + 0.01
    decoder = ArithmeticDecoder(code)
    assert [decoder.code(0, one) for _, one in decisions] == [bit for bit, _ in decisions]
    decoder.finish()


def test_tables_are_the_functions_they_stand_for():
    for x in range(-logistic.LIMIT, logistic.LIMIT + 1):
        assert abs(logistic.squash(x) - 65536 / (1 + math.exp(-x / 256))) <= 1.01
    for p in range(64, 65472, 97):
        exact = 256 * math.log((p | 15) / (65536 - (p | 15)))
        assert abs(logistic.stretch(p) - exact) <= 1 + 16 * 256 / min(p, 65536 - p)
    for total, samples in [(0, 0), (0, 10), (5, 10), (10, 10), (700, 10), (123_456, 1_000_000)]:
        mean = (2 * total + 1) / (2 * samples + 2)
        assert abs(logistic.level(total, samples) - min(31, max(0, 20 + 2 * math.log2(mean)))) <= 1.2
    assert logistic.share(3, 7, 32768, 1) == pytest.approx((3 + 0.5) / 8 * 65536, abs=2)


def test_sizes_are_near_the_entropy():
    """On symbols without any structure nothing can beat the entropy; 1.5 % and 40 bytes are what learning costs."""
    rng = np.random.default_rng(3)
    for density, alphabet in ((0.08, 2), (0.3, 9), (0.9, 33)):
        values = rng.integers(1, alphabet, (300, 400)) * (rng.random((300, 400)) < density)
        shares = np.bincount(values.ravel()) / values.size
        entropy = -(shares[shares > 0] * np.log2(shares[shares > 0])).sum() * values.size / 8
        assert len(adaptive.encode(values, alphabet)) <= 1.015 * entropy + 40


def test_structure_is_worth_bytes():
    """Dead inputs and neurons, as in a pruned MNIST network, cost next to nothing."""
    rng = np.random.default_rng(4)
    values = rng.integers(1, 9, (300, 784)) * (rng.random((300, 784)) < 0.08)
    whole = len(adaptive.encode(values, 9))
    dead_columns, dead_rows = rng.random(784) < 0.5, rng.random(300) < 0.5
    values[:, dead_columns] = 0
    values[dead_rows] = 0
    shares = np.bincount(values[~dead_rows][:, ~dead_columns].ravel()) / ((~dead_rows).sum() * (~dead_columns).sum())
    alive = -(shares * np.log2(shares)).sum() * (~dead_rows).sum() * (~dead_columns).sum() / 8
    size = len(adaptive.encode(values, 9))
    assert size < whole / 3
    assert size <= 1.03 * alive + (784 + 300) / 8 + 100  # a bit for each row and column, and what learning costs


def test_nothing_grows_by_more_than_a_few_bytes():
    rng = np.random.default_rng(6)
    bits = rng.integers(0, 1 << 32, 20_000, dtype=np.uint64).astype(np.uint32)
    encoder = adaptive.Encoder()
    encoder.numbers(bits.view(np.float32))
    assert len(encoder.finish()) <= bits.nbytes + 8
    assert len(adaptive.encode(rng.integers(0, 256, (200, 300)), 256)) <= 60_000 + 8
    encoder = adaptive.Encoder()
    encoder.numbers(np.full(100_000, 0.25, np.float32))
    assert len(encoder.finish()) <= 32


def test_reference_has_the_native_methods():
    for name in ("Encoder", "Decoder"):
        public = {method for method in dir(getattr(native, name)) if not method.startswith("_")}
        assert public <= set(dir(getattr(reference, name)))
