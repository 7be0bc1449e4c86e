"""Dot products of +1/-1 vectors with XOR and popcount, in NumPy: the arithmetic of binary kernels, made readable."""

from __future__ import annotations

import numpy as np

from paring.errors import ArgumentError

_BYTE_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


def pack_signs(values: np.ndarray) -> np.ndarray:
    """Signs as bits: bit ``i % 64`` of word ``i // 64`` is 1 where ``values[..., i] >= 0``, so that sign(0) = +1.

    Bits past the last value are 0.

    Args:
        values: ``(..., n)`` real numbers.

    Returns:
        ``(..., ceil(n / 64))`` uint64.
    """
    octets = np.packbits(np.asarray(values) >= 0, axis=-1, bitorder="little")
    spare = [(0, 0)] * (octets.ndim - 1) + [(0, -octets.shape[-1] % 8)]
    return np.ascontiguousarray(np.pad(octets, spare)).view("<u8").astype(np.uint64, copy=False)


def popcount(words: np.ndarray) -> np.ndarray:
    """Number of one bits in each uint64 word, as int64 of the same shape."""
    octets = np.ascontiguousarray(words, dtype=np.uint64)[..., None].view(np.uint8)
    return _BYTE_ONES[octets].sum(axis=-1, dtype=np.int64)


def packed_dot(first: np.ndarray, second: np.ndarray, n: int) -> np.ndarray:
    """Dot product of two packed sign vectors: ``n - 2 popcount(first xor second)``.

    The same number as ``2 popcount(xnor) - n`` of XNOR-Net (section 3.2, arXiv 1603.05279), but without a mask:
    unused bits are 0 on both sides, and their XOR does not count. It has the parity of n and lies in [-n, n].

    Args:
        first: ``(..., words)`` uint64 from :func:`pack_signs`.
        second: as ``first``, up to broadcasting.
        n: number of values in each vector.

    Raises:
        ArgumentError: if n values do not fill exactly these words.
    """
    words = first.shape[-1]
    if second.shape[-1] != words or -(-n // 64) != words:
        raise ArgumentError("packed vectors of another length", found=(words, second.shape[-1]), expected=-(-n // 64))
    return n - 2 * popcount(first ^ second).sum(axis=-1)
