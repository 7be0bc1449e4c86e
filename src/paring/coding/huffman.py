"""Canonical Huffman codes of at most 24 bits, with their lengths in front of the symbols.

A code is, bit by bit and most significant bit first: for every symbol of the alphabet its code length in 5 bits, a
length of 0 being followed by 6 bits that say how many more zero lengths follow it; then the symbols' codes; then zeros
up to a whole byte. Codes are canonical: they count upwards through the symbols in the order (length, symbol). Every
symbol takes at least one bit, so that a code cannot stand for more symbols than it has bits.
"""

from __future__ import annotations

import heapq

import numpy as np

from paring.coding import reference
from paring.coding._bits import BitReader, BitWriter
from paring.coding._native import CodeError, native
from paring.errors import FormatError
from paring.forms import symbol_dtype

#: Longest code in bits.
MAX_LENGTH = 24
_RUN = 64


def encode(values: np.ndarray, alphabet: int) -> bytes:
    """Code an array of symbols.

    Args:
        values: integers in ``0 .. alphabet - 1``, any shape; read in C order.
        alphabet: number of symbols, at most 65,536.

    Raises:
        FormatError: if a symbol is out of range.
    """
    values = np.asarray(values).ravel()
    if not 1 <= alphabet <= 1 << 16 or (values.size and (values.min() < 0 or values.max() >= alphabet)):
        raise FormatError("symbol is out of range", found=f"alphabet {alphabet}", expected="0 .. alphabet - 1")
    lengths = code_lengths(np.bincount(values, minlength=alphabet))
    bits = BitWriter()
    zeros = 0
    for length in [*lengths.tolist(), None]:
        if length == 0 and zeros < _RUN:
            zeros += 1
            continue
        if zeros:
            bits.write(zeros - 1, 5 + 6)
        zeros = 0
        if length == 0:
            zeros = 1
        elif length is not None:
            bits.write(length, 5)
    run = (native or reference).huffman_encode
    used = bits.length % 8
    head = bits.finish()
    values = np.ascontiguousarray(values, symbol_dtype(alphabet))
    return head[: len(head) - bool(used)] + run(
        lengths, canonical_codes(lengths), values, head[-1:] if used else b"", used
    )


def decode(data: bytes, count: int, alphabet: int) -> np.ndarray:
    """The ``count`` symbols that :func:`encode` was given, flat.

    Raises:
        FormatError: if ``data`` is not exactly one code of so many symbols.
    """
    values, end = decode_from(data, 0, count, alphabet)
    if end != len(data):
        raise FormatError("bytes are left over", where=f"+{end}", found=len(data) - end)
    return values


def decode_from(data: bytes, start: int, count: int, alphabet: int) -> tuple[np.ndarray, int]:
    """The ``count`` symbols of the code at byte ``start``, and the byte after the code.

    Raises:
        FormatError: if there is no such code.
    """
    if count > 8 * (len(data) - start):
        raise FormatError("code is too short for its symbols", where=f"+{start}", found=f"{count} symbols")
    bits = BitReader(data, 8 * start)
    lengths = np.zeros(alphabet, np.uint8)
    symbol = 0
    while symbol < alphabet:
        length = bits.read(5)
        symbol += 1 + (bits.read(6) if length == 0 else 0)
        if length:
            lengths[symbol - 1] = length
    if symbol != alphabet:
        raise FormatError("code lengths run past the alphabet", where=f"+{bits.position // 8}", found=symbol)
    values = np.zeros(count, symbol_dtype(alphabet))
    if count or lengths.any():
        run = (native or reference).huffman_decode
        try:
            bits.position = run(lengths, data, bits.position, values)
        except CodeError as error:
            raise FormatError(f"Huffman code is damaged: {error}", where=f"+{start}") from None
    return values, bits.align()


def code_lengths(counts: np.ndarray) -> np.ndarray:
    """Code lengths of an optimal prefix code of at most ``MAX_LENGTH`` bits (Huffman 1952; where that is too long,
    package-merge, Larmore and Hirschberg 1990).

    Args:
        counts: how often each symbol occurs; shape ``(alphabet,)``.

    Returns:
        uint8 array of the same shape; 0 where the count is 0, and 1 for a symbol that is alone.
    """
    used = np.flatnonzero(counts)
    lengths = np.zeros(len(counts), np.uint8)
    if len(used) == 1:
        lengths[used] = 1
    elif len(used):
        depths = _tree_depths([int(counts[s]) for s in used])
        if max(depths) > MAX_LENGTH:
            depths = _package_merge([int(counts[s]) for s in used], MAX_LENGTH)
        lengths[used] = depths
    return lengths


def canonical_codes(lengths: np.ndarray) -> np.ndarray:
    """The code of every symbol as uint32, from the code lengths."""
    codes = np.zeros(len(lengths), np.uint32)
    code = previous = 0
    for symbol in np.lexsort((np.arange(len(lengths)), lengths)):
        length = int(lengths[symbol])
        if length:
            code <<= length - previous
            codes[symbol] = code
            code, previous = code + 1, length
    return codes


def _tree_depths(counts: list[int]) -> list[int]:
    heap: list[tuple[int, int]] = [(count, i) for i, count in enumerate(counts)]
    heapq.heapify(heap)
    parents = [0] * (2 * len(counts) - 1)
    for node in range(len(counts), len(parents)):
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        parents[first[1]] = parents[second[1]] = node
        heapq.heappush(heap, (first[0] + second[0], node))
    depths = [0] * len(parents)
    for node in range(len(parents) - 2, -1, -1):
        depths[node] = depths[parents[node]] + 1
    return depths[: len(counts)]


def _package_merge(counts: list[int], limit: int) -> list[int]:
    order = sorted(range(len(counts)), key=lambda i: (counts[i], i))
    leaves = [(counts[i], 0) for i in order]
    levels = [leaves]
    for _ in range(limit - 1):
        below = levels[-1]
        packages = [(below[i][0] + below[i + 1][0], 1) for i in range(0, len(below) - 1, 2)]
        levels.append(sorted(leaves + packages))
    depths = [0] * len(counts)
    take = 2 * len(counts) - 2
    for level in reversed(levels):
        merged = sum(is_package for _, is_package in level[:take])
        for place in range(take - merged):
            depths[order[place]] += 1
        take = 2 * merged
    return depths
