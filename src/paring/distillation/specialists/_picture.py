"""The covariance of the predictions as a heat map, its clusters outlined: one self-contained SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from paring.errors import ArgumentError

#: Side of a cell and room for the names, in pixels.
_CELL, _LABEL = 26, 110
_POSITIVE, _NEGATIVE = (178, 24, 43), (33, 102, 172)


def covariance_svg(
    covariance: np.ndarray, clusters: Sequence[Sequence[int]], names: Sequence[str] | None = None
) -> str:
    """A heat map of the covariance, the classes of one cluster side by side.

    Red cells covary positively, blue ones negatively, darker for more; the scale ends at the largest covariance off the
    diagonal, which is itself gray, being many times larger. To the right, one column of dots for each specialist says
    which classes are its own, so that shared classes can be seen. Each cell tells its numbers when pointed at.

    Args:
        covariance: ``(C, C)``.
        clusters: class indices of every specialist.
        names: of the classes; their indices if not given.

    Raises:
        ArgumentError: if there is not one name for each class.
    """
    classes = len(covariance)
    names = [str(number) for number in range(classes)] if names is None else list(names)
    if len(names) != classes:
        raise ArgumentError("not one name for each class", found=len(names), expected=classes)
    order = list(dict.fromkeys([c for cluster in clusters for c in cluster] + list(range(classes))))
    place = {c: position for position, c in enumerate(order)}
    away = covariance[~np.eye(classes, dtype=bool)]
    largest = float(np.abs(away).max()) if away.size else 0.0
    marks = []
    for row in order:
        y = _LABEL + place[row] * _CELL
        marks.append(f'<text x="{_LABEL - 6}" y="{y + 18}" text-anchor="end">{escape(names[row])}</text>')
        marks.append(
            f'<text transform="translate({y + 18} {_LABEL - 6}) rotate(-90)" text-anchor="start">'
            f"{escape(names[row])}</text>"
        )
        for column in order:
            value = float(covariance[row, column])
            fill = "#999" if row == column else _color(value / largest if largest else 0.0)
            words = escape(f"{names[row]}, {names[column]}: {value:.3g}")
            x = _LABEL + place[column] * _CELL
            marks.append(
                f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" fill="{fill}"><title>{words}</title></rect>'
            )
    right = _LABEL + classes * _CELL
    marks += [mark for number, cluster in enumerate(clusters) for mark in _outline(cluster, place, right, number)]
    width, height = right + 20 + _CELL * len(clusters), right + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12" role="img" aria-label="Covariance of the predictions, by cluster">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(marks)}</svg>\n'
    )


def _outline(cluster: Sequence[int], place: dict[int, int], right: int, number: int) -> list[str]:
    """Frames around runs of neighboring members, and the specialist's column of dots."""
    spots = sorted(place[c] for c in cluster)
    runs: list[list[int]] = []
    for spot in spots:
        if runs and spot == runs[-1][-1] + 1:
            runs[-1].append(spot)
        else:
            runs.append([spot])
    marks = [
        f'<rect x="{_LABEL + run[0] * _CELL}" y="{_LABEL + run[0] * _CELL}" width="{len(run) * _CELL}" '
        f'height="{len(run) * _CELL}" fill="none" stroke="#000" stroke-width="2"/>'
        for run in runs
    ]
    x = right + 10 + _CELL * number + _CELL // 2
    marks.append(f'<text x="{x}" y="{_LABEL - 6}" text-anchor="middle">{number + 1}</text>')
    marks += [f'<circle cx="{x}" cy="{_LABEL + spot * _CELL + _CELL // 2}" r="5"/>' for spot in spots]
    return marks


def _color(share: float) -> str:
    """White at 0, red at 1, blue at -1."""
    end, amount = (_POSITIVE if share > 0 else _NEGATIVE), min(abs(share), 1.0)
    return "#" + "".join(f"{round(255 + (channel - 255) * amount):02x}" for channel in end)
