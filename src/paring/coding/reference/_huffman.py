"""Huffman coding of symbols in pure Python: slow, obviously right, and the judge of the native one."""

from __future__ import annotations

import numpy as np

from paring.coding._bits import BitReader
from paring.coding._native import ReferenceCodeError
from paring.errors import FormatError

_MAX_LENGTH = 24


def huffman_encode(lengths: np.ndarray, codes: np.ndarray, values: np.ndarray, head: bytes, used: int) -> bytes:
    """Append the codes of ``values`` to ``head``, of whose only byte ``used`` bits are taken."""
    texts = [f"{int(code):0{int(length)}b}" if length else "" for code, length in zip(codes, lengths, strict=True)]
    text = (f"{head[0]:08b}"[:used] if used else "") + "".join(texts[value] for value in values.tolist())
    text += "0" * (-len(text) % 8)
    return int("1" + text, 2).to_bytes(len(text) // 8 + 1, "big")[1:]


def huffman_decode(lengths: np.ndarray, data: bytes, start: int, out: np.ndarray) -> int:
    """Fill ``out`` from bit ``start`` on; returns the bit after the last code."""
    order = [(int(length), symbol) for symbol, length in enumerate(lengths) if length]
    if any(length > _MAX_LENGTH for length, _ in order):
        raise ReferenceCodeError("code length is out of range")
    kraft = sum(1 << (_MAX_LENGTH - length) for length, _ in order)
    if kraft != 1 << _MAX_LENGTH and [length for length, _ in order] != [1]:
        raise ReferenceCodeError("code lengths are not those of a prefix code")
    table, code, previous = {}, 0, 0
    for length, symbol in sorted(order):
        code <<= length - previous
        table[length, code] = symbol
        code, previous = code + 1, length
    bits = BitReader(data, start)
    for i in range(len(out)):
        key = (0, 0)
        while key not in table:
            if key[0] > _MAX_LENGTH:
                raise ReferenceCodeError("code is none of the table")
            try:
                key = (key[0] + 1, key[1] << 1 | bits.read(1))
            except FormatError:
                raise ReferenceCodeError("code runs out") from None
        out[i] = table[key]
    return bits.position
