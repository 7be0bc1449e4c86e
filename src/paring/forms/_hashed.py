"""Hashed: every weight is one of a few buckets, up to a sign, and a hash says which; no index is stored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from paring.errors import FormatError
from paring.forms._base import Form, StreamSpec, checked_params, checked_shape, float_dtype, frozen

#: Elements expanded at a time, so that scratch arrays stay in the cache.
_CHUNK = 1 << 16
_PRIME_2, _PRIME_3, _PRIME_4, _PRIME_5 = 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1


def xxhash32(numbers: np.ndarray, seed: int) -> np.ndarray:
    """XXH32 of each number's four bytes, least significant first.

    For an input of four bytes the published algorithm comes to (all modulo 2^32)

        h = rotl(seed + PRIME_5 + 4 + number * PRIME_3, 17) * PRIME_4
        h = (h ^ h >> 15) * PRIME_2;  h = (h ^ h >> 13) * PRIME_3;  h ^ h >> 16

    Args:
        numbers: uint32, any shape.
        seed: below 2^32.

    Returns:
        uint32 of the same shape.
    """
    start = np.uint32((seed + _PRIME_5 + 4) & 0xFFFFFFFF)
    h = np.atleast_1d(np.asarray(numbers, np.uint32)) * np.uint32(_PRIME_3) + start
    h = (h << np.uint32(17) | h >> np.uint32(15)) * np.uint32(_PRIME_4)
    h = (h ^ h >> np.uint32(15)) * np.uint32(_PRIME_2)
    h = (h ^ h >> np.uint32(13)) * np.uint32(_PRIME_3)
    return (h ^ h >> np.uint32(16)).reshape(np.shape(numbers))


def hashed_places(first: int, count: int, buckets: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Buckets and signs of the elements ``first .. first + count - 1`` of a weight, in C order.

    Returns:
        bucket of each as int64, and True where the bucket's value is negated; both of shape ``(count,)``.
    """
    numbers = np.arange(first, first + count, dtype=np.uint32)
    negated = xxhash32(numbers, (seed + 1) & 0xFFFFFFFF) >> np.uint32(31) != 0
    return (xxhash32(numbers, seed) % np.uint32(buckets)).astype(np.int64), negated


class Hashed(Form):
    """HashedNets (Chen, Wilson, Tyree, Weinberger, Chen, ICML 2015, arXiv 1504.04788), element ``i`` in C order:

        w[i] = v[XXH32(i, seed) mod K],  negated if the top bit of XXH32(i, seed + 1 mod 2^32) is set.

    Args:
        shape: of the weight.
        values: ``v``, shape ``(K,)``, finite.
        seed: below 2^32.
        bits: 32 or 16, the width of a stored value.

    Raises:
        FormatError: if a rule above is broken, or there are more buckets than weights.
    """

    kind = "hashed"
    param_names = ("bits", "buckets", "seed")

    def __init__(self, shape: tuple[int, ...], values: np.ndarray, seed: int = 0, bits: int = 32) -> None:
        values = np.asarray(values)
        self.shape, self.seed, self.bits, self.buckets = checked_shape(shape), int(seed), bits, values.size
        (spec,) = self.specs(self.shape, self.params())
        with np.errstate(over="ignore"):
            self.values = frozen(values, spec.dtype, spec.shape)
        if not np.isfinite(self.values).all():
            raise FormatError("a bucket is not finite", expected=f"finite numbers of {bits} bits")

    def dense(self) -> np.ndarray:
        table = self.values.astype(np.float32)
        out = np.empty(self.size, np.float32)
        for start in range(0, self.size, _CHUNK):
            piece = out[start : start + _CHUNK]
            places, negated = hashed_places(start, piece.size, self.buckets, self.seed)
            np.take(table, places, out=piece)
            np.negative(piece, out=piece, where=negated)
        return out.reshape(self.shape)

    def params(self) -> dict[str, int]:
        return {"bits": self.bits, "buckets": self.buckets, "seed": self.seed}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"values": self.values}

    @classmethod
    def specs(cls, shape: tuple[int, ...], params: Mapping[str, int]) -> tuple[StreamSpec, ...]:
        bits, buckets, seed = checked_params(cls.kind, params, cls.param_names)
        size = int(np.prod(checked_shape(shape), dtype=np.int64))
        if not 1 <= buckets <= size:
            raise FormatError("more buckets than weights, or none", found=buckets, expected=f"1 to {size}")
        if not 0 <= seed < 1 << 32:
            raise FormatError("seed is no 32-bit number", found=seed)
        return (StreamSpec("values", (buckets,), 0, float_dtype(cls.kind, bits)),)

    @classmethod
    def from_arrays(cls, shape: tuple[int, ...], params: Mapping[str, int], arrays: Mapping[str, np.ndarray]) -> Hashed:
        bits, buckets, seed = checked_params(cls.kind, params, cls.param_names)
        values = np.asarray(arrays["values"])
        if values.shape != (buckets,):
            raise FormatError("array has the wrong shape", found=values.shape, expected=(buckets,))
        return cls(tuple(shape), values, seed, bits)
