"""Charts as inline SVG that hold marks only.

Text stands beside the marks as HTML, so it keeps its size and wraps when the page gets narrow, and no label can land
on another. Colors come from the page's style sheet by class, so charts follow dark mode and print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10, sqrt

from paring.report._html import text
from paring.report._pieces import GraphNode, Histogram

#: Width and height of a histogram's bins and height of the strip of centroids below; the page stretches them.
_WIDE, _HIGH, _RUG = 320, 100, 14
#: Most lanes of the graph's rail drawn beside the chain; edges past them are only named in the table.
MAX_LANES = 8


def bar(*parts: tuple[str, float]) -> str:
    """One horizontal bar of (class, share of the full width in 0..1), stacked left to right.

    A positive share never vanishes. The numbers stand in the same row of the table, so the drawing is silent to those
    who have the page read out.
    """
    marks, left = [], 0.0
    for kind, share in parts:
        if share > 0:
            width = f"{100 * share:.3f}%" if share >= 0.002 else "1.5"
            marks.append(f'<rect class="mark {kind}" x="{100 * left:.3f}%" width="{width}" height="100%"/>')
        left += share
    return f'<svg class="bar" aria-hidden="true">{"".join(marks)}</svg>'


def histogram(data: Histogram, label: str) -> str:
    """Bins split into kept and pruned, and under them a tick for every centroid.

    The height of a bin goes with the square root of its weights, or the few that survive pruning would not be seen.
    """
    bins = list(zip(data.kept, data.pruned, strict=True))
    tallest = max((k + p for k, p in bins), default=0) or 1
    step = _WIDE / max(len(bins), 1)
    span = (data.high - data.low) or 1.0
    kept, pruned = [], []
    for i, (k, p) in enumerate(bins):
        height = max(_HIGH * sqrt((k + p) / tallest), 1.0) if k + p else 0.0
        foot, middle, top = _HIGH, _HIGH - height * k / (k + p or 1), _HIGH - height
        if k:
            kept.append(f"M{i * step:.1f} {foot}V{middle:.1f}h{step:.1f}V{foot}z")
        if p:
            pruned.append(f"M{i * step:.1f} {middle:.1f}V{top:.1f}h{step:.1f}V{middle:.1f}z")
    marks = []
    if data.low < 0 < data.high:
        marks.append(f'<path class="zero" d="M{_WIDE * -data.low / span:.1f} 0V{_HIGH}"/>')
    ticks = [f"M{_WIDE * (c - data.low) / span:.1f} {_HIGH + 3}v{_RUG - 3}" for c in data.centroids]
    for kind, pieces in (("kept", kept), ("pruned", pruned), ("centroid", ticks)):
        if pieces:
            marks.append(f'<path class="mark {kind}" d="{"".join(pieces)}"/>')
    return (
        f'<svg class="histogram" viewBox="0 0 {_WIDE} {_HIGH + _RUG}" preserveAspectRatio="none" role="img" '
        f'aria-label="{text(label)}">{"".join(marks)}<path class="axis" d="M0 {_HIGH}H{_WIDE}"/></svg>'
    )


class ErrorAxis:
    """Where an error stands on a shared axis, and the axis's ticks.

    Linear from zero; logarithmic when the largest value is more than eight times the smallest, as it is when a
    network is scored between pruning and retraining.
    """

    def __init__(self, values: Sequence[float]) -> None:
        positive = [value for value in values if value > 0]
        low, high = (min(positive), max(positive)) if positive else (0.0, 0.0)
        self.log = high > 8 * low > 0
        if self.log:
            self.first, self.last = floor(log10(low)), ceil(log10(high))
            self.ticks = [10.0**power for power in range(self.first, self.last + 1)]
        else:
            step = _nice(high / 3) if high else 0.01
            self.top = step * max(ceil(high / step - 1e-9), 1)
            self.ticks = [i * step for i in range(round(self.top / step) + 1)]

    def place(self, value: float) -> float:
        """Position in 0..1; on a logarithmic axis a zero stands at the left end."""
        if not self.log:
            return value / self.top
        return min(max((log10(value) - self.first) / (self.last - self.first), 0.0), 1.0) if value > 0 else 0.0


def _nice(value: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least ``value``."""
    power: float = 10.0 ** floor(log10(value))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= value * (1 - 1e-9))


def dot_row(axis: ErrorAxis, before: float | None, here: float | None, after: float | None) -> str:
    """One row of a dot plot, joined to its neighbors; rows may be of any height. Silent as :func:`bar` is."""

    def x(value: float) -> float:
        return 6 + 88 * axis.place(value)

    lines = [f'<line class="grid" x1="{x(t):.2f}%" x2="{x(t):.2f}%" y1="0" y2="100%"/>' for t in axis.ticks]
    if here is not None:
        for other, y in ((before, "0%"), (after, "100%")):
            if other is not None:
                middle = (x(here) + x(other)) / 2
                lines.append(f'<line class="join" x1="{middle:.2f}%" y1="{y}" x2="{x(here):.2f}%" y2="50%"/>')
        lines.append(f'<circle class="mark dot" cx="{x(here):.2f}%" cy="50%" r="5"/>')
    return f'<svg class="fill" aria-hidden="true">{"".join(lines)}</svg>'


def axis_ticks(axis: ErrorAxis, labels: Sequence[str]) -> str:
    """The labels of a dot plot's axis, each centered on its grid line."""
    spans = (
        f'<span style="left:{6 + 88 * axis.place(tick):.2f}%">{text(label)}</span>'
        for tick, label in zip(axis.ticks, labels, strict=True)
    )
    return f'<span class="ticks">{"".join(spans)}</span>'


def rail(nodes: Sequence[GraphNode]) -> tuple[list[str], int]:
    """The graph as a rail: one drawing for each node's row, and the number of lanes beside the chain.

    A value read by the next node runs straight down; one read later runs in a lane of its own from where it is made
    to its last reader. Lanes are reused from the left.
    """
    row = {node.name: i for i, node in enumerate(nodes)}
    readers: Mapping[str, list[int]] = {node.name: [] for node in nodes}
    for i, node in enumerate(nodes):
        for source in node.inputs:
            if source in row and row[source] < i:
                readers[source].append(i)
    lanes: list[tuple[int, int, int, set[int]]] = []  # (lane, first row, last row, rows that read it)
    free_from: list[int] = []
    for i, node in enumerate(nodes):
        late = {reader for reader in readers[node.name] if reader > i + 1}
        if not late:
            continue
        lane = next((k for k, free in enumerate(free_from) if free <= i), len(free_from))
        if lane == MAX_LANES:
            continue
        free_from[lane : lane + 1] = [max(late)]
        lanes.append((lane, i, max(late), late))
    drawings = []
    for i, node in enumerate(nodes):
        lines = []
        if i and i in readers[nodes[i - 1].name]:
            lines.append(_segment(0, "0", 0, "50%"))
        if i + 1 in readers[node.name]:
            lines.append(_segment(0, "50%", 0, "100%"))
        for lane, first, last, rows in lanes:
            if first <= i <= last:
                lines += _lane(lane + 1, i, first, last, rows)
        kind = "mark dot weighted" if node.weights else "mark dot"
        lines.append(f'<circle class="{kind}" cx="10" cy="50%" r="{5 if node.weights else 3.5}"/>')
        drawings.append(f'<svg class="fill" aria-hidden="true">{"".join(lines)}</svg>')
    return drawings, len(free_from)


def _lane(lane: int, i: int, first: int, last: int, rows: set[int]) -> list[str]:
    """What one lane shows in row ``i``."""
    if i == first:
        return [_segment(0, "50%", lane, "100%")]
    lines = [_segment(0, "50%", lane, "0")] if i in rows else []
    if i < last:
        lines.append(_segment(lane, "0", lane, "100%"))
    return lines


def _segment(lane0: int, y0: str, lane1: int, y1: str) -> str:
    return f'<line class="edge" x1="{10 + 12 * lane0}" y1="{y0}" x2="{10 + 12 * lane1}" y2="{y1}"/>'
