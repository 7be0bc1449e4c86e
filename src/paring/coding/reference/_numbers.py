"""The coder of floating-point arrays: sign, exponent and leading bits of the mantissa are learned."""

from __future__ import annotations

from paring.coding._native import ReferenceCodeError
from paring.coding.reference._logistic import Counter, Counters, Mixer, Pace, code_plain, slot

_PACE = Pace(255, 96, 900, 64)
_LEARNED = 3


class NumberModel:
    """What was learned from all arrays so far."""

    def __init__(self) -> None:
        self._stored = Counter()
        self._tables = tuple(Counters() for _ in range(4))
        self._mixer = Mixer(4096, (26214, 19661, 13107, 6554), _PACE)

    def code(self, coder, values: list[int], bits: int, stored: bool) -> None:
        """Code the patterns of ``bits`` = 32 or 16 wide numbers, which a decoder fills in."""
        stored = bool(coder.code(int(stored), self._stored.probability))
        self._stored.update(int(stored), _PACE.limit)
        if not stored:
            self._code_learning(coder, values, bits)
            return
        for i, value in enumerate(values):
            out = code_plain(coder, value, bits)
            if coder.decodes:
                values[i] = out

    def _code_learning(self, coder, values: list[int], bits: int) -> None:
        exponent_bits = 8 if bits == 32 else 5
        mantissa_bits = bits - 1 - exponent_bits
        kind = int(bits == 32)
        spare = 0 if coder.decodes else _spare(values, mantissa_bits)
        spare = code_plain(coder, spare, 5)
        if spare > mantissa_bits:
            raise ReferenceCodeError("number of spare bits is out of range")
        learned = min(_LEARNED, mantissa_bits - spare)
        rest = mantissa_bits - learned - spare
        last = repeats = head1 = head2 = 0
        for i, value in enumerate(values):
            repeat = 0
            if i:
                repeat = self._decide(coder, int(value == last), kind, (0, repeats & 7, repeats & 63, 0))
            repeats = (repeats << 1 | repeat) & 63
            if not repeat:
                head = 1  # sign and exponent under a leading one
                contexts = (0, head1, head1 * 512 + head2, max(head1, head2))
                for b in range(exponent_bits, -1, -1):
                    bit = value >> (mantissa_bits + b) & 1
                    head = head << 1 | self._decide(coder, bit, 1024 + kind * 512 + head, contexts)
                head -= 1 << (exponent_bits + 1)
                mantissa = 1
                contexts = (0, head & ((1 << exponent_bits) - 1), head + 1024, head1)
                for b in range(1, learned + 1):
                    bit = value >> (mantissa_bits - b) & 1
                    mantissa = mantissa << 1 | self._decide(coder, bit, 2048 + kind * 512 + mantissa, contexts)
                mantissa -= 1 << learned
                tail = code_plain(coder, value >> spare & ((1 << rest) - 1), rest)
                last = head << mantissa_bits | (mantissa << rest | tail) << spare
                head1, head2 = head, head1
            if coder.decodes:
                values[i] = last

    def _decide(self, coder, bit: int, node: int, contexts: tuple[int, ...]) -> int:
        inputs = [table[slot(context, node, 14)] for table, context in zip(self._tables, contexts, strict=True)]
        return self._mixer.code(coder, bit, inputs, node)


def _spare(values: list[int], most: int) -> int:
    """Number of low bits that are zero in every value, at most ``most``."""
    union = 0
    for value in values:
        union |= value
    return min(most, (union & -union).bit_length() - 1 if union else most)
