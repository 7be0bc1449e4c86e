"""Pictures in files; the zoo in one: published accuracy against multiply-accumulates and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from paring.errors import ArgumentError, ParingError
from paring.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Prefix of the accuracy label each picture is about.
_TASKS = ("ImageNet 2012 val top-1 %", "CIFAR-10 test %", "MNIST test %")


def plot_zoo(file: Path, marked: Sequence[str]) -> None:
    """Draw every network of the zoo with a published accuracy on the task of the first marked one.

    One color and marker a family; the marked networks are ringed and named.

    Args:
        file: ``.png``, ``.svg`` or ``.pdf``.
        marked: names to point out; those that are not in the zoo, or have no published accuracy, are left out.

    Raises:
        ArgumentError: if none of them has a published accuracy.
        ParingError: if matplotlib is not installed.
        OutputError: if the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ParingError("plots need matplotlib", fix="Install it with: pip install 'paring[cli]'") from error
    from paring import zoo

    cards = {name: zoo.card(name) for name in zoo.list()}
    task = next((t for m in marked if m in cards for t in _TASKS if t in cards[m].accuracy), None)
    if task is None:
        raise ArgumentError("none of these has a published accuracy to draw", found=", ".join(marked))
    shown = {name: card for name, card in cards.items() if task in card.accuracy}
    figure = Figure(figsize=(13, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    families = sorted({card.family for card in shown.values()})
    colors = {family: f"C{i % 10}" for i, family in enumerate(families)}
    shapes = {family: "osD^v"[i // 10] for i, family in enumerate(families)}
    for axes, column, label in ((left, "macs", "multiply-accumulates"), (right, "parameters", "parameters")):
        for family in families:
            rows = sorted((getattr(c, column), c.accuracy[task][0]) for c in shown.values() if c.family == family)
            style = {"color": colors[family], "marker": shapes[family]}
            axes.plot(*zip(*rows, strict=True), linestyle="none", markersize=5, label=family, alpha=0.8, **style)
        for name in marked:
            if name in shown:
                card = shown[name]
                at = (getattr(card, column), card.accuracy[task][0])
                axes.plot(*at, marker="o", markersize=12, fillstyle="none", color="black")
                box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
                axes.annotate(
                    name, at, xytext=(0, -18), textcoords="offset points", ha="center", weight="bold", bbox=box
                )
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    left.set_ylabel(f"{task}, as published")
    figure.legend(*right.get_legend_handles_labels(), fontsize="small", loc="outside right center")
    save_figure(figure, file)


def save_figure(figure: Figure, file: Path) -> None:
    """Write a figure in the format that the file's ending names, whole or not at all.

    Raises:
        OutputError: if the file cannot be written.
    """
    drawn = BytesIO()
    figure.savefig(drawn, dpi=150, format=file.suffix[1:])
    write_atomic(file, drawn.getvalue(), what="plot")
