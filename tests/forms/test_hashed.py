"""The hash is the published one, bit by bit, and says where every weight lies."""

import numpy as np
import pytest

from paring.errors import FormatError
from paring.forms import Hashed, hashed_places, xxhash32

#: The package xxhash 4.1.0, xxh32 of the number's four bytes, least significant first: seed to (number, hash).
VECTORS = {
    0: {0: 0x08D6D969, 1: 0xF3BB7693, 2: 0x1F748196, 255: 0xA6960373, 65536: 0xEE1E3521, 4294967295: 0x04079E5F},
    1: {0: 0x77F498C8, 1: 0xEA951E9A, 2: 0x5CE88A04, 255: 0x9147A6F2, 65536: 0x823D5FE7, 4294967295: 0x5FB84D20},
    0x9E3779B1: {0: 0x4982E72F, 1: 0xD27560EC, 2: 0x517E853B, 255: 0x1E3BFB7A, 65536: 0x25974FD4},
    4294967295: {0: 0xB2D9F3FD, 1: 0x86A34EF9, 2: 0xB1DC1B46, 255: 0xA0F431D8, 4294967295: 0x20E3FB57},
}


@pytest.mark.parametrize("seed", VECTORS)
def test_the_hash_is_the_published_one(seed):
    numbers = np.array(list(VECTORS[seed]), np.uint32)
    assert xxhash32(numbers, seed).tolist() == list(VECTORS[seed].values())
    assert xxhash32(np.uint32(1), seed).shape == ()


def hash_in_plain_integers(number, seed):
    h = (seed + 374761393 + 4 + number * 3266489917) % 2**32
    h = ((h << 17) | (h >> 15)) % 2**32 * 668265263 % 2**32
    h = (h ^ (h >> 15)) * 2246822519 % 2**32
    h = (h ^ (h >> 13)) * 3266489917 % 2**32
    return h ^ (h >> 16)


@pytest.mark.parametrize("seed", [0, 77, 2**32 - 1])
def test_every_weight_is_its_bucket_with_its_sign(seed):
    values = np.random.default_rng(3).normal(size=7).astype(np.float32)
    dense = Hashed((4, 3, 2, 5), values, seed).dense().ravel()
    for i, weight in enumerate(dense):
        bucket = values[hash_in_plain_integers(i, seed) % 7]
        assert weight == (-bucket if hash_in_plain_integers(i, (seed + 1) % 2**32) >> 31 else bucket)


def test_large_weights_are_expanded_in_pieces():
    form = Hashed((300, 500), np.arange(1, 1001), seed=5)
    places, negated = hashed_places(0, 150_000, 1000, 5)
    expected = np.where(negated, -1.0, 1.0) * (places + 1)
    np.testing.assert_array_equal(form.dense().ravel(), expected)
    # buckets and signs are even, and independent of one another
    assert np.abs(np.bincount(places, minlength=1000) - 150).max() < 5 * np.sqrt(150)
    assert abs(negated.mean() - 0.5) < 0.006
    assert abs(np.corrcoef(negated, places % 2)[0, 1]) < 0.012


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Hashed((2, 2), np.ones(5)), "more buckets"),
        (lambda: Hashed((2, 2), np.ones(0)), "more buckets"),
        (lambda: Hashed((2, 2), np.ones(2), seed=-1), "seed"),
        (lambda: Hashed((2, 2), np.array([np.nan])), "finite"),
    ],
)
def test_what_breaks_a_rule_is_refused(make, says):
    with pytest.raises(FormatError, match=says):
        make()
