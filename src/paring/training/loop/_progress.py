"""A progress bar with time left, on a terminal; nothing elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paring.training.loop._fit import Position, StepInfo


class Progress:
    """One bar on standard error while the block lasts.

    Args:
        title: what is being done.
        total: number of steps.
        show: False for nothing at all; also nothing where standard error is no terminal or rich is not installed.
        epochs: shown beside the epoch in hand if given.
    """

    def __init__(self, title: str, total: int, show: bool = True, epochs: int = 0) -> None:
        self.title, self.total, self.epochs = title, total, epochs
        self.score = ""
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
                BarColumn(bar_width=20),
                TextColumn("{task.percentage:3.0f} %  {task.fields[state]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.title, total=self.total, state="")
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, position: Position, step: StepInfo) -> None:
        """Say what ``step`` came to; drawn a few times a second at most."""
        if self._bar is not None and time.monotonic() - self._drawn >= 0.2:
            self.advance(step.number + 1, self.state(position, step))

    def advance(self, done: int, state: str = "") -> None:
        """Say that ``done`` steps are done, with a few words on the one in hand."""
        if self._bar is not None:
            self._drawn = time.monotonic()
            self._bar.update(self._task, completed=done, state=state)

    def state(self, position: Position, step: StepInfo) -> str:
        """Epoch, step, loss, images a second and the last score, in a few words."""
        loss = position.loss / position.step if position.step else position.last_loss
        epoch = f"{position.epoch + (position.step > 0)}" + (f"/{self.epochs}" if self.epochs else "")
        words = [f"epoch {epoch}", f"step {step.number + 1:,}", f"loss {loss:.4f}"]
        if step.seconds > 0:
            words.append(f"{step.images / step.seconds:,.0f} images/s")
        return "  ".join([*words, self.score] if self.score else words)
