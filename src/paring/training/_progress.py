"""A progress bar with time left, on a terminal; nothing elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paring.training._loop import Position


class Progress:
    """One bar on standard error while the block lasts.

    Args:
        title: what is being done.
        total: number of steps.
        show: False for nothing at all; also nothing where standard error is no terminal or rich is not installed.
    """

    def __init__(self, title: str, total: int, show: bool = True) -> None:
        self.title, self.total = title, total
        self._bar: Any = None
        self._task: Any = None
        self._drawn = 0.0
        self._show = show and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        if self._show:
            try:
                from rich.console import Console
                from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
                from rich.progress import Progress as Bar
            except ModuleNotFoundError:
                return self
            columns = (
                TextColumn("{task.description:12}"),
                BarColumn(),
                TextColumn("{task.percentage:3.0f} %  loss {task.fields[loss]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.title, total=self.total, loss="")
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, position: Position) -> None:
        """Say that ``done`` of the steps are done; drawn a few times a second at most."""
        if self._bar is None or time.monotonic() - self._drawn < 0.2:
            return
        self._drawn = time.monotonic()
        loss = position.loss / position.step if position.step else position.last_loss
        self._bar.update(self._task, completed=done, loss=f"{loss:.4f}")
