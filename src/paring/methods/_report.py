"""What a method did: one kind of report for all of them, a row for each layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Generic, TypeVar

from torch import nn

from paring.graph import Graph


@dataclass(frozen=True)
class Row:
    """What became of one layer.

    Attributes:
        name: of the parameter, or the layer's path.
        before: what the report's ``unit`` counts, before.
        after: the same, after.
        done: what was done, in a few words; empty where the numbers say it all.
        reason: why the layer stayed as it was, else empty.
    """

    name: str
    before: float
    after: float
    done: str = ""
    reason: str = ""

    @property
    def words(self) -> str:
        """What was done, or why nothing was."""
        return ", ".join(word for word in (self.done, f"stays: {self.reason}" if self.reason else "") if word)


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Report(Mapping[str, R], Generic[R]):
    """What a method did. A mapping from the layer's name to its row, in the network's order.

    ``str()`` is a table; a notebook shows the same. ``report["fc1.weight"].after`` is one number of it.

    Attributes:
        method: name of the method.
        unit: what ``before`` and ``after`` of a row count.
        rows: one for each selected layer.
        summary: what was done, in one line.
        notes: further lines.
        network: the network as it is now: the one that was given, changed in place, or a new one; None where a graph
            was given.
        graph: for a method that makes one, the new graph.
        before_step: what has to be called with a step's number before each step of a training that follows.
        once: whether ``before_step`` is for the next training alone.
    """

    method: str
    unit: str
    rows: tuple[R, ...]
    summary: str
    notes: tuple[str, ...] = ()
    network: nn.Module | None = None
    graph: Graph | None = None
    before_step: Callable[[int], object] | None = None
    once: bool = False

    def __getitem__(self, name: str) -> R:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (row.name for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def numbers(self) -> dict[str, float]:
        """Name of each layer to its number after."""
        return {row.name: row.after for row in self.rows}

    @property
    def before(self) -> float:
        """Sum of the rows' ``before``."""
        return sum(row.before for row in self.rows)

    @property
    def after(self) -> float:
        """Sum of the rows' ``after``."""
        return sum(row.after for row in self.rows)

    @property
    def removed(self) -> float:
        """By how much all rows together became less."""
        return self.before - self.after

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Column names, and a row of texts for each layer."""
        rows: list[tuple[str, ...]] = [(r.name, _number(r.before), _number(r.after), r.words) for r in self.rows]
        return ("layer", "before", "after", self.unit), rows

    def lines(self) -> tuple[str, ...]:
        """The table and the notes as aligned lines of text."""
        names, rows = self.table()
        widths = [max(len(cell) for cell in column) for column in zip(names, *rows, strict=True)]
        sides = ("<", ">", ">", *"<" * len(names))
        text = [
            "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths, strict=False)).rstrip()
            for cells in (names, *rows)
        ]
        return (*text, *self.notes)

    def __str__(self) -> str:
        return "\n".join((f"{self.method}: {self.summary}", *self.lines()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        names, rows = self.table()
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for cells in rows)
        notes = "".join(f"<br>{escape(note)}" for note in self.notes)
        return f"<p>{escape(self.method)}: {escape(self.summary)}{notes}</p><table><tr>{head}</tr>{body}</table>"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
