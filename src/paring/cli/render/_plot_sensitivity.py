"""A sensitivity analysis in one picture: a panel a method, a line a layer."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paring.cli.render._plot import save_figure
from paring.errors import ParingError

if TYPE_CHECKING:
    from paring.sensitivity import Sensitivity

#: Lines of the legend that fit beside one row of panels.
_LINES = 17
_MARKERS = "osD^v"


def plot_sensitivity(file: Path, found: Sensitivity, title: str) -> None:
    """Draw an analysis into a file; see :func:`sensitivity_figure`.

    Args:
        file: ``.png``, ``.svg`` or ``.pdf``.
        found: what to draw.
        title: what was measured on what.

    Raises:
        ParingError: if matplotlib is not installed.
        OutputError: if the file cannot be written.
    """
    save_figure(sensitivity_figure(found, title), file)


def sensitivity_figure(found: Sensitivity, title: str) -> Any:
    """Accuracy against strength, or the relative output error where there are no labels.

    Layers are colored from the first, dark, to the last, bright. A method of one strength has its layers side by side.

    Raises:
        ParingError: if matplotlib is not installed.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ParingError("plots need matplotlib", fix="Install it with: pip install 'paring[cli]'") from error
    across = min(3, len(found.methods))
    down = ceil(len(found.methods) / across)
    beside = ceil(len(found.layers) / (_LINES * down))
    names = max(map(len, found.layers))
    figure = Figure(figsize=(4.1 * across + beside * (0.6 + 0.075 * names), 3.4 * down + 0.6), layout="constrained")
    panels: Any = figure.subplots(down, across, squeeze=False, sharey=True)
    colors = [colormaps["viridis"](0.95 * n / max(len(found.layers) - 1, 1)) for n in range(len(found.layers))]
    lines: list[Any] = []
    for axes, name in zip(panels.flat, found.methods, strict=False):
        lines = _panel(axes, found, name, colors)
    for axes in list(panels.flat)[len(found.methods) :]:
        axes.remove()
    for row in panels:
        row[0].set_ylabel("relative error of the output" if found.accuracy is None else "accuracy, %")
    known = "" if found.accuracy is None else f"; dashed: float, {100 * found.accuracy:.2f} %"
    figure.suptitle(f"{title}, {found.images:,} images,\none layer changed at a time{known}", fontsize="medium")
    figure.legend(lines, found.layers, fontsize="x-small", ncols=beside, loc="outside right upper", title="layer")
    return figure


def _panel(axes: Any, found: Sensitivity, name: str, colors: list[Any]) -> list[Any]:
    """One method's lines, in the order of the layers."""
    from paring.sensitivity import tried_by

    row, strengths = tried_by(name), found.methods[name]
    lines = []
    for number, layer in enumerate(found.layers):
        heights = [_height(point) for point in found.of(name, layer)]
        places = [number] if len(strengths) == 1 else list(range(len(strengths)))
        style = {"marker": _MARKERS[number % len(_MARKERS)], "markersize": 3.5, "linewidth": 1.1}
        lines += axes.plot(places, heights, color=colors[number], **style)
    if found.accuracy is not None:
        axes.axhline(100 * found.accuracy, color="black", linestyle="--", linewidth=0.8)
    if len(strengths) == 1:
        axes.set_xticks([])
        axes.set_xlabel(f"layers in order; {row.trial.unit}: {row.show(strengths[0])}", fontsize="small")
    else:
        axes.set_xticks(range(len(strengths)), [row.show(strength) for strength in strengths])
        axes.set_xlabel(row.trial.unit, fontsize="small")
    axes.tick_params(labelsize="x-small", labelleft=True)
    axes.set_title(name, fontsize="medium")
    axes.grid(alpha=0.3)
    return lines


def _height(point: Any) -> float:
    value = point.output_error if point.accuracy is None else 100 * point.accuracy
    return float("nan") if value is None else value
