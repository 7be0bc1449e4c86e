"""The coder of symbols without an order (product codes, hashed buckets): a binary tree over the alphabet."""

from __future__ import annotations

from paring.coding.reference._logistic import Counters, Mixer, Pace, slot
from paring.coding.reference._symbols import Geometry

_PACE = Pace(1023, 64, 960, 128)


class LabelModel:
    """What was learned from all arrays so far."""

    def __init__(self) -> None:
        self._tables = tuple(Counters() for _ in range(6))
        self._mixer = Mixer(256, (32768, 9830, 9830, 9830, 9830, 6554), _PACE)

    def code(self, coder, values: list[int], geometry: Geometry, alphabet: int) -> None:
        """Code ``values`` (flat, C order), which a decoder fills in."""
        bits = (alphabet - 1).bit_length()
        row = geometry.planes * geometry.places
        for i, symbol in enumerate(values):
            left, left2 = values[i - 1] if i >= 1 else 0, values[i - 2] if i >= 2 else 0
            above = values[i - row] if i >= row else 0
            column = i % row
            contexts = (0, left, above, column & 0xFFFFFFFF, column % geometry.places & 0xFFFFFFFF, left << 16 | left2)
            out = 0
            for b in range(bits - 1, -1, -1):
                node = out | 1 << (bits - 1 - b)
                out <<= 1
                if (out | 1) << b <= alphabet - 1:  # else a one is out of range, so it is a zero
                    inputs = [table[slot(c, node, 16)] for table, c in zip(self._tables, contexts, strict=True)]
                    out |= self._mixer.code(coder, symbol >> b & 1, inputs, min(node, 255))
            if coder.decodes:
                values[i] = out


def code_stored(coder, values: list[int], alphabet: int) -> None:
    """Symbols as they are, each bit as likely a one as a zero."""
    for i, symbol in enumerate(values):
        out = 0
        for b in range((alphabet - 1).bit_length() - 1, -1, -1):
            out <<= 1
            if (out | 1) << b <= alphabet - 1:
                out |= coder.code(symbol >> b & 1, 32768)
        if coder.decodes:
            values[i] = out
