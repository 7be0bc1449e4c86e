"""The coder of byte strings: names and structure, from the three bytes before and the word so far."""

from __future__ import annotations

from paring.coding.reference._logistic import Counters, Mixer, Pace, slot

_PACE = Pace(255, 200, 1600, 64)


class TextModel:
    """What was learned from all bytes so far."""

    def __init__(self) -> None:
        self._tables = tuple(Counters() for _ in range(5))
        self._mixer = Mixer(256, (13107, 19661, 19661, 19661, 16384), _PACE)
        self._history = self._word = 0

    def code(self, coder, data: bytearray) -> None:
        """Code the bytes, which a decoder fills in."""
        for i, byte in enumerate(data):
            history = self._history
            contexts = (0, history & 0xFF, history & 0xFFFF, history & 0xFFFFFF, self._word)
            node = 1
            for b in range(7, -1, -1):
                inputs = [table[slot(context, node, 15)] for table, context in zip(self._tables, contexts, strict=True)]
                node = node << 1 | self._mixer.code(coder, byte >> b & 1, inputs, node)
            byte = node & 0xFF
            if coder.decodes:
                data[i] = byte
            self._history = (history << 8 | byte) & 0xFFFFFFFF
            small = ord("a") <= byte <= ord("z")
            self._word = (self._word + byte) * 0x2F0B4C47 & 0xFFFFFFFF if small else 0
