"""Which classes of channels to cut: in steps that keep the counts round, cheapest first, until a target is met."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import ceil, gcd, lcm, prod
from typing import Any

import numpy as np

from paring.errors import ArgumentError
from paring.graph import LAYERS, Couplings, Graph, weight_uses


def unit(channels: int, round_to: int) -> int:
    """What a layer's channel count is rounded to: ``round_to``, for a small layer half of its width at most.

    The largest power of two that is neither above ``channels / 2`` nor above ``round_to``, at least 2; ``round_to``
    itself where it fits twice. 1 means no rounding.
    """
    if round_to <= 1 or channels < 4:
        return 1
    if 2 * round_to <= channels:
        return round_to
    return 1 << ((min(channels // 2, round_to)).bit_length() - 1)


@dataclass
class Bucket:
    """Classes with the same footprint, least important first, cut from the front in steps.

    Attributes:
        classes: int64, in the order in which they go.
        step: classes that go at once.
        first: classes that go in the first step, which makes an uneven count round.
        entries: axis to the number of its channels each class has.
        gone: how many are cut.
    """

    classes: np.ndarray
    step: int
    first: int
    entries: dict[tuple[str, int], int]
    gone: int = 0

    def next(self) -> np.ndarray:
        """The classes that would go next; empty if no step is left."""
        size = self.first if self.gone == 0 else self.step
        some = self.classes[self.gone : self.gone + size]
        return some if len(some) == size else some[:0]


@dataclass
class Plan:
    """Cutting in progress.

    Args:
        graph: the network.
        coupled: its couplings.
        scores: float64 per class.
        round_to: see :func:`unit`.
        floor: fraction of every layer's channels that stays at least.
        spared: names of layers, as in ``coupled.layers``' values, that keep all.
    """

    graph: Graph
    coupled: Couplings
    scores: np.ndarray
    round_to: int
    floor: float
    excluded: Iterable[str] = ()
    keep: np.ndarray = field(init=False)
    buckets: list[Bucket] = field(init=False)
    units: dict[tuple[str, int], int] = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1:
            raise ArgumentError("invalid floor", found=self.floor, expected="0 to 1")
        if self.round_to < 1:
            raise ArgumentError("channels cannot be rounded to", found=self.round_to, expected="1, 2, 4, 8, 16, ...")
        self.keep = np.ones(self.coupled.count, bool)
        self.units = {axis: unit(len(self.coupled.axes[axis]), self.round_to) for axis in self.coupled.makers}
        excluded = set(self.excluded)
        self.stay = dict(self.coupled.fixed)
        for axis in self.coupled.makers:
            if self.coupled.layers[axis[0]] in excluded:
                self.stay.update(dict.fromkeys(self.coupled.axes[axis].tolist(), "is spared"))
        self.stay.update(dict.fromkeys(np.flatnonzero(np.isinf(self.scores)).tolist(), "has no score"))
        self.buckets = self._buckets()

    def _buckets(self) -> list[Bucket]:
        """Free classes by what they have in which layer."""
        prints: dict[int, list[tuple[tuple[str, int], int]]] = {}
        for axis in self.coupled.makers:
            counts = self.coupled.entries(axis)
            for one in np.flatnonzero(counts).tolist():
                if one not in self.stay:
                    prints.setdefault(one, []).append((axis, int(counts[one])))
        alike: dict[tuple[Any, ...], list[int]] = {}
        for one, found in prints.items():
            alike.setdefault(tuple(found), []).append(one)
        return [self._bucket(dict(found), np.array(classes)) for found, classes in alike.items()]

    def _bucket(self, entries: dict[tuple[str, int], int], classes: np.ndarray) -> Bucket:
        classes = classes[np.argsort(self.scores[classes], kind="stable")]
        step = lcm(*(self.units[axis] // gcd(self.units[axis], count) for axis, count in entries.items()))
        alone = all(len(self.coupled.axes[axis]) == count * len(classes) for axis, count in entries.items())
        first = len(classes) % step if alone else 0
        return Bucket(classes, step, first or step, entries)

    def count(self, axis: tuple[str, int]) -> int:
        """Channels an axis has left."""
        return int(self.keep[self.coupled.axes[axis]].sum())

    def allowed(self, bucket: Bucket) -> bool:
        """Whether the bucket's next step leaves every layer and value enough."""
        some = bucket.next()
        if not len(some):
            return False
        for axis, entries in bucket.entries.items():
            least = max(self.units[axis], ceil(self.floor * len(self.coupled.axes[axis])))
            if self.count(axis) - entries * len(some) < least:
                return False
        self.keep[some] = False
        whole = all(self.keep[classes].any() for classes in self._values_of(some))
        self.keep[some] = True
        return whole

    def _values_of(self, some: np.ndarray) -> list[np.ndarray]:
        chosen = np.zeros(self.coupled.count, bool)
        chosen[some] = True
        return [classes for classes in self.coupled.values.values() if chosen[classes].any()]

    def cut(self, bucket: Bucket) -> None:
        """Take the bucket's next step."""
        some = bucket.next()
        self.keep[some] = False
        bucket.gone += len(some)

    def cheapest(self, among: Iterable[Bucket]) -> Bucket | None:
        """The bucket whose next step has the smallest mean score, of those that may take one."""
        order = sorted(
            (float(self.scores[some].mean()), number, bucket)
            for number, bucket in enumerate(among)
            if len(some := bucket.next())
        )
        return next((bucket for _, _, bucket in order if self.allowed(bucket)), None)

    def cut_layer(self, axis: tuple[str, int], fraction: float) -> None:
        """Cut until an axis has about ``fraction`` of its channels, rounded to its unit, or can lose no more."""
        whole, step = len(self.coupled.axes[axis]), self.units[axis]
        wanted = max(step, step * round(fraction * whole / step))
        while self.count(axis) > wanted:
            bucket = self.cheapest(b for b in self.buckets if axis in b.entries)
            if bucket is None or self.count(axis) - bucket.entries[axis] * len(bucket.next()) < wanted:
                return
            self.cut(bucket)

    def cut_until(self, meter: Callable[[np.ndarray], int], target: float) -> bool:
        """Cut the cheapest step anywhere until the meter shows at most ``target``; whether it came to that.

        The last step may cut more than was missing; steps are then given back, the dearest first, while they fit.
        """
        steps: list[tuple[float, Bucket, np.ndarray]] = []
        while meter(self.keep) > target:
            bucket = self.cheapest(self.buckets)
            if bucket is None:
                return False
            some = bucket.next()
            steps.append((float(self.scores[some].mean()), bucket, some))
            self.cut(bucket)
        for _, bucket, some in sorted(steps, key=lambda step: step[0], reverse=True):
            self.keep[some] = True
            if meter(self.keep) > target or self.uneven(bucket, some):
                self.keep[some] = False
            else:
                bucket.gone -= len(some)
        return True

    def uneven(self, bucket: Bucket, some: np.ndarray) -> bool:
        """Whether giving a bucket's step back would leave a later one cut, or a width that was made round not round."""
        later = bucket.classes[bucket.gone - 1] != some[-1]
        return bool(later) or len(some) != bucket.step


def meter(graph: Graph, coupled: Couplings, what: str) -> Callable[[np.ndarray], int]:
    """What a graph costs after a cut, without making it: ``macs`` or ``parameters`` of a bool array of kept classes.

    The same numbers as :func:`paring.graph.cost` of the smaller graph.
    """
    weights = {name: form.shape for name, form in graph.weights.items()}

    def size(name: str, keep: np.ndarray) -> int:
        return prod(
            int(keep[coupled.axes[name, axis]].sum()) if (name, axis) in coupled.axes else side
            for axis, side in enumerate(weights[name])
        )

    if what == "parameters":
        return lambda keep: sum(size(name, keep) for name in weights)
    layers = [(node.weights["weight"], weight_uses(node, graph.shapes)) for node in graph.nodes if node.op in LAYERS]
    return lambda keep: sum(positions * size(name, keep) for name, positions in layers)
