"""What a run says of itself while it runs: one JSON value a line, and a tracker if one is asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paring.errors import OutputError, ParingError
from paring.training._distributed import World
from paring.training.loop._checkpoint import write_atomic


class Log:
    """A file of JSON lines; every line has the number of steps done as ``step``.

    Args:
        path: the file; ``None`` writes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def write(self, kind: str, values: Mapping[str, Any]) -> None:
        """Append one line; what is not finite becomes null.

        Raises:
            OutputError: if it cannot be written.
        """
        if self.path is None:
            return
        finite = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in values.items()}
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, **finite}, allow_nan=False) + "\n")
        except OSError as error:
            raise OutputError("cannot write the log", where=self.path, found=error.strerror) from error

    def cut(self, step: int) -> None:
        """Drop lines about later steps than ``step``, which will be done again, and a line a kill cut short."""
        if self.path is None or not self.path.exists():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue
        write_atomic(self.path, "".join(kept).encode())


class Tracker:
    """One of Accelerate's trackers, or none.

    Args:
        name: as Accelerate calls it (``tensorboard``), or empty.
        world: its accelerator reports.
        settings: of the run, shown beside its curves.

    Raises:
        ParingError: if the tracker's own package is not installed.
    """

    def __init__(self, name: str, world: World, settings: Mapping[str, Any]) -> None:
        self.accelerator = world.accelerator if name else None
        if self.accelerator is None:
            return
        if not self.accelerator.trackers and not self.accelerator.log_with:
            raise ParingError("tracker is not installed", where=name, fix=f"Install it with: pip install {name}")
        plain = {n: v if isinstance(v, int | float | str | bool) else repr(v) for n, v in settings.items()}
        self.accelerator.init_trackers("paring", config=plain)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Report the numbers among ``values``."""
        if self.accelerator is not None:
            numbers = {n: v for n, v in values.items() if isinstance(v, int | float) and n != "step"}
            self.accelerator.log(numbers, step=step)

    def close(self) -> None:
        """Let the tracker write what it holds back."""
        # Not Accelerate's end_training: it also closes the process group, which the processes still talk over.
        for tracker in [] if self.accelerator is None else self.accelerator.trackers:
            tracker.finish()
