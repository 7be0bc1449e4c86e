"""The cost of a network as a table, for a terminal and for a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paring.graph._cost import Cost

_COLUMNS = ("layer", "operation", "output", "parameters", "MACs", "float32 bytes")
#: Columns of words, which stand to the left.
_LEFT = 3


def text(cost: Cost) -> str:
    """Lines of equal columns: every node with weights or multiply-accumulates, the total, and the peak memory."""
    lines = _cells(cost)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = []
    for line in lines:
        pairs = enumerate(zip(line, widths, strict=True))
        rows.append("  ".join(cell.ljust(w) if i < _LEFT else cell.rjust(w) for i, (cell, w) in pairs).rstrip())
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([rows[0], rule, *rows[1:-1], rule, rows[-1], _peak(cost)])


def html(cost: Cost) -> str:
    """The same as an HTML table."""
    head, *body, total = _cells(cost)
    rows = [_row(head, "th"), *(_row(line, "td") for line in body), _row(total, "th")]
    return f"<table>{''.join(rows)}</table><p>{escape(_peak(cost))}</p>"


def _row(cells: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _cells(cost: Cost) -> list[list[str]]:
    """Head, one line a node, total; with forms where any weight is kept in fewer bytes."""
    coded = cost.total("packed_bytes") != cost.total("dense_bytes")
    lines = [[*_COLUMNS, *(["form", "packed bytes"] if coded else [])]]
    for row in cost.rows:
        if row.parameters or row.macs:
            numbers = [f"{value:,}" for value in (row.parameters, row.macs, row.dense_bytes)]
            more = [row.form, f"{row.packed_bytes:,}"] if coded else []
            lines.append([row.name, row.op, "x".join(map(str, row.output)), *numbers, *more])
    totals = [f"{value:,}" for value in (cost.parameters, cost.macs, cost.total("dense_bytes"))]
    return [*lines, ["total", "", "", *totals, *(["", f"{cost.total('packed_bytes'):,}"] if coded else [])]]


def _peak(cost: Cost) -> str:
    return f"peak memory: {cost.peak_bytes:,} bytes of activations at once"
