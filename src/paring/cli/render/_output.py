"""What commands print: answers on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from paring.errors import visible

#: Most damaged images that are named.
_NAMED = 10
#: Progress, notes and errors. Never wrapped when it is no terminal, so that scripts can read lines.
errors = Console(stderr=True, soft_wrap=not sys.stderr.isatty())


def show_error(message: str) -> None:
    """One red message on stderr; nothing in it is taken for markup."""
    errors.print(Text.assemble(("error: ", "bold red"), (visible(message), "red")), soft_wrap=True)


def note(message: str) -> None:
    """One dim line on stderr."""
    errors.print(Text(visible(message), "dim"), soft_wrap=True)


def rank() -> int:
    """Which of the processes that a launcher started together this one is; 0 for the first, or the only one."""
    return int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


def note_bad(bad: Collection[str]) -> None:
    """One line on stderr that counts and names images that were left out; nothing where there are none."""
    if bad:
        named, more = list(bad)[:_NAMED], len(bad) - _NAMED
        rest = f" and {more:,} more" if more > 0 else ""
        note(f"{len(bad):,} damaged image{'s' * (len(bad) > 1)} left out: {', '.join(named)}{rest}")


def print_json(value: Any) -> None:
    """The one JSON document of a command with ``--json``."""
    sys.stdout.write(json.dumps(value, indent=1, allow_nan=False) + "\n")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    total: Sequence[str] | None = None,
    left: int = 1,
) -> None:
    """A table on stdout, whole whatever the width of the terminal.

    Args:
        columns: headings.
        rows: cells, as text.
        title: above it.
        total: last row, set apart.
        left: how many columns stand at the left; the others, numbers, at the right.
    """
    table = Table(
        title=Text(visible(title)) if title else None,
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for number, column in enumerate(columns):
        table.add_column(Text(column, "bold"), justify="left" if number < left else "right", no_wrap=True)
    rows = list(rows)
    for number, row in enumerate(rows):
        table.add_row(*map(_cell, row), end_section=number == len(rows) - 1)
    if total is not None:
        table.add_row(*(_cell(cell, "bold") for cell in total))
    needed = Measurement.get(Console(width=10_000), Console(width=10_000).options, table).maximum
    Console(width=max(needed, Console().width)).print(table)


def _cell(text: str, style: str = "") -> Text:
    """One line of a table's cell."""
    return Text(visible(text).replace("\n", "\\n").replace("\t", "\\t"), style)


def print_facts(facts: Mapping[str, str]) -> None:
    """Names and values on stdout, one a line; empty values are left out."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        if value:
            log(f"{_cell(name)!s:<{width}}  {_cell(value)}")


def log(message: str = "") -> None:
    """One line of an answer on stdout, not wrapped."""
    Console(soft_wrap=True, highlight=False).print(Text(visible(message)))


def percent(fraction: float | None, digits: int = 2) -> str:
    """``0.0123`` as ``1.23 %``; a dash for what was not measured."""
    return "-" if fraction is None else f"{100 * fraction:.{digits}f} %"


def threads_text(threads: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{threads} thread{'s' * (threads != 1)}"


def count(number: int | None) -> str:
    """``1234567`` as ``1,234,567``."""
    return "-" if number is None else f"{number:,}"
