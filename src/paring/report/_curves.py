"""Curves over the epochs of a training run, as SVG marks with their labels beside them in HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import NamedTuple

from paring.report._charts import ErrorAxis
from paring.report._html import text

#: Units of the drawing; the page stretches it.
_WIDE, _HIGH = 320, 140


class Curve(NamedTuple):
    """One line.

    Attributes:
        kind: class of the mark: ``before`` or ``after``.
        label: what it is.
        points: (x, y), ascending in x; a y that is ``None`` or not finite leaves a gap.
    """

    kind: str
    label: str
    points: Sequence[tuple[float, float | None]]


def plot(curves: Sequence[Curve], label: str, unit: str, show: Callable[[float], str]) -> str:
    """Curves on one pair of axes, from x = 0 to the largest x; y as :class:`ErrorAxis` chooses.

    Args:
        curves: what to draw.
        label: read out to those who do not see the drawing.
        unit: what x counts, for the ends of its axis.
        show: a y as text.
    """
    known = [(x, y) for curve in curves for x, y in curve.points if y is not None and isfinite(y)]
    axis, last = ErrorAxis([y for _, y in known]), max((x for x, _ in known), default=1.0) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return _WIDE * x / last, _HIGH * (1 - axis.place(y))

    marks = [f'<path class="zero" d="M0 {_HIGH * (1 - axis.place(tick)):.1f}H{_WIDE}"/>' for tick in axis.ticks]
    for curve in curves:
        pieces, pen = [], "M"
        for x, y in curve.points:
            if y is None or not isfinite(y):
                pen = "M"
                continue
            left, top = place(x, y)
            pieces.append(f"{pen}{left:.1f} {top:.1f}")
            pen = "L"
        if pieces:
            # A lone point is a line of no length, which round ends make visible.
            pieces += ["h0"] if len(pieces) == 1 else []
            marks.append(f'<path class="mark line {curve.kind}" d="{"".join(pieces)}"/>')
    drawing = (
        f'<svg class="curve" viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" role="img" '
        f'aria-label="{text(label)}">{"".join(marks)}<path class="axis" d="M0 {_HIGH}H{_WIDE}"/></svg>'
    )
    heights = "".join(
        f'<span style="bottom:{100 * axis.place(tick):.2f}%">{text(show(tick))}</span>' for tick in axis.ticks
    )
    ends = f'<div class="ends"><span>0</span><span>{unit} {last:g}</span></div>'
    return f'<div class="curves"><div class="heights">{heights}</div><div>{drawing}{ends}</div></div>'
