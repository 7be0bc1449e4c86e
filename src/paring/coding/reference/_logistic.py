"""Probabilities that learn: counters, and the mixer that weighs them in the logistic domain. Integers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LIMIT = 3071
_SMALL = 1 << 12


def _squash_table() -> list[int]:
    """65536 / (1 + exp(-x / 256)) for x = -LIMIT .. LIMIT, at least 1 and at most 65535."""
    upper, e = [], 1 << 31
    for _ in range(LIMIT + 1):
        whole = (1 << 31) + e
        upper.append(min(65535, ((1 << 47) + whole // 2) // whole))
        e = (e * 4278222805 + (1 << 31)) >> 32
    return [65536 - p for p in upper[:0:-1]] + upper


def _stretch_table() -> list[int]:
    """For p = 0 .. 4095 the smallest x with squash(x) >= 16 p + 8, or LIMIT."""
    table, x = [], -LIMIT
    for p in range(4096):
        while x < LIMIT and SQUASH[x + LIMIT] < 16 * p + 8:
            x += 1
        table.append(x)
    return table


SQUASH = _squash_table()
STRETCH = _stretch_table()
RATE = [6553600 // (100 * n + 136) for n in range(1024)]
TRUST = [256 * (100 * n + 25) // (100 * n + 179) for n in range(1024)]
RECIPROCAL = [0xFFFFFFFF] * 2 + [(1 << 32) // n for n in range(2, 2 * _SMALL + 1)]


def squash(x: int) -> int:
    """The probability in 1/65536 of a logit in 1/256."""
    return SQUASH[min(max(x, -LIMIT), LIMIT) + LIMIT]


def stretch(p: int) -> int:
    """The logit in 1/256 of a probability in 1/65536."""
    return STRETCH[p >> 4]


def level(total: int, samples: int) -> int:
    """log2 of the mean in half steps, 0 .. 31; a mean of one is 20."""
    halvings = max(0, samples.bit_length() - 12)
    total, samples = total >> halvings, samples >> halvings
    mean = max(1, (2 * total + 1) * RECIPROCAL[2 * samples + 2] >> 22)
    whole = mean.bit_length() - 1
    return min(31, 2 * whole + (mean >> (whole - 1) & 1 if whole else 0))


def share(ones: int, samples: int, prior: int, strength: int) -> int:
    """Share of ones in 1/65536 when ``strength`` samples of share ``prior`` went before."""
    halvings = max(0, samples.bit_length() - 12)
    ones, samples = ones >> halvings, samples >> halvings
    return min(65535, ((ones << 16) + prior * strength) * RECIPROCAL[samples + strength] >> 32)


def slot(context: int, node: int, bits: int) -> int:
    """Multiplicative hash into ``2**bits`` slots."""
    return ((context * 0x85EBCA6B + node) * 0x9E3779B1 & 0xFFFFFFFF) >> (32 - bits)


class Counter:
    """A probability of a one in 22 bits, and how often it was asked for."""

    __slots__ = ("n", "p")

    def __init__(self) -> None:
        self.p, self.n = 1 << 21, 0

    @property
    def probability(self) -> int:
        """In 1/65536, 1 .. 65535."""
        return min(max(self.p >> 6, 1), 65535)

    def stretched(self) -> int:
        """What it has to say: less while it has seen little."""
        return STRETCH[self.p >> 10] * TRUST[self.n] >> 8

    def update(self, bit: int, limit: int) -> None:
        """Move towards ``bit``."""
        self.p += (((1 << 22) - 1 if bit else 0) - self.p) * RATE[self.n] >> 16
        if self.n < limit:
            self.n += 1


class Counters(dict[int, Counter]):
    """As many counters as are asked for, each fresh at first."""

    def __missing__(self, key: int) -> Counter:
        counter = self[key] = Counter()
        return counter


class Pace(NamedTuple):
    """How fast a kind of decision learns: counters count to ``limit``; the mixer's step is
    ``base + extra * half / (half + decisions)``."""

    limit: int
    base: int
    extra: int
    half: int


class Mixer:
    """Weighs inputs for one decision; the set of weights is chosen by the caller."""

    def __init__(self, sets: int, first: Sequence[int], pace: Pace) -> None:
        self.pace = pace
        self._weights = [list(first) for _ in range(sets)]
        self._counts = [0] * sets
        self._steps = [pace.base + pace.extra * pace.half // (pace.half + n) for n in range(1024)]

    def predict(self, x: Sequence[int], number: int) -> int:
        """The probability of a one from the inputs' logits."""
        return squash(sum(w * v for w, v in zip(self._weights[number], x, strict=True)) >> 16)

    def update(self, x: Sequence[int], number: int, bit: int, p: int) -> None:
        """Learn from ``bit``, which ``predict`` gave the probability ``p``."""
        push = ((bit << 16) - p) * self._steps[self._counts[number]]
        self._counts[number] = min(self._counts[number] + 1, 1023)
        self._weights[number] = [
            min(max(w + ((v * push + (1 << 23)) >> 24), -(1 << 20)), 1 << 20)
            for w, v in zip(self._weights[number], x, strict=True)
        ]

    def code(self, coder, bit: int, inputs: Sequence[Counter], number: int) -> int:
        """Code one decision on which only counters have a say."""
        x = [counter.stretched() for counter in inputs]
        p = self.predict(x, number)
        bit = coder.code(bit, p)
        self.update(x, number, bit, p)
        for counter in inputs:
            counter.update(bit, self.pace.limit)
        return bit


def code_plain(coder, value: int, bits: int) -> int:
    """A number of so many bits, each as likely a one as a zero."""
    out = 0
    for b in range(bits - 1, -1, -1):
        out = out << 1 | coder.code(value >> b & 1, 32768)
    return out
