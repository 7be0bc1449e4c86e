"""The adaptive coder gives back what it was given, from exactly its own bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paring.coding import adaptive
from paring.errors import FormatError

SHAPES = st.one_of(
    st.tuples(st.integers(1, 40)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
)


@settings(max_examples=150, deadline=None)
@given(st.data(), SHAPES, st.sampled_from([2, 3, 5, 16, 33, 256, 300, 65536]))
def test_round_trip(data, shape, alphabet):
    values = data.draw(arrays(np.int64, shape, elements=st.integers(0, alphabet - 1)))
    negatives = data.draw(st.integers(0, alphabet - 1))
    code = adaptive.encode(values, alphabet, negatives)
    back = adaptive.decode(code, shape, alphabet, negatives)
    assert np.array_equal(back, values)
    with pytest.raises(FormatError):
        adaptive.decode(code + b"\0", shape, alphabet, negatives)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=24), SHAPES, st.sampled_from([2, 5, 33, 300]))
def test_what_is_accepted_is_what_the_encoder_writes(code, shape, alphabet):
    try:
        values = adaptive.decode(code, shape, alphabet)
    except FormatError:
        return
    assert values.max() < alphabet
    assert adaptive.encode(values, alphabet) == code


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from([np.uint32, np.uint16]), st.integers(0, 60))
def test_numbers_come_back_bit_for_bit(data, dtype, count):
    bits = data.draw(arrays(dtype, count))
    values = bits.view(np.float32 if dtype == np.uint32 else np.float16)
    encoder = adaptive.Encoder()
    encoder.numbers(values)
    decoder = adaptive.Decoder(encoder.finish())
    assert decoder.numbers((count,), values.dtype).tobytes() == values.tobytes()
    decoder.finish()
