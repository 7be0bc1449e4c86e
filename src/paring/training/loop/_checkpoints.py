"""A folder of checkpoints, the newest few of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from paring.errors import CheckpointError, OutputError
from paring.files import remove_leftovers
from paring.training.loop._checkpoint import load_checkpoint, save_checkpoint

_NAME = re.compile(r"step-(\d+)\.safetensors")


class Checkpoints:
    """The checkpoints of one run, ``step-00000123.safetensors``, written whole or not at all.

    Args:
        folder: made when the first one is written.
        keep: how many of the newest stay.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder, max(keep, 1)

    def paths(self) -> list[Path]:
        """Those there are, the newest first."""
        if not self.folder.is_dir():
            return []
        named = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir())
        return [path for _, path in sorted(((int(m[1]), p) for m, p in named if m), reverse=True)]

    def write(self, step: int, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> None:
        """Keep a checkpoint, then let the oldest go.

        Raises:
            OutputError: if it cannot be written; the others stay.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError("cannot make the run folder", where=self.folder, found=error.strerror) from error
        save_checkpoint(self.folder / f"step-{step:08}.safetensors", tensors, words)
        remove_leftovers(self.folder, "step-*")
        for path in self.paths()[self.keep :]:
            path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Delete them all."""
        for path in self.paths():
            path.unlink(missing_ok=True)

    def newest(self, log: Callable[[str], None]) -> tuple[Path, dict[str, Tensor], dict[str, Any]] | None:
        """The newest one that can be read; ``None`` if there is none at all.

        Raises:
            CheckpointError: if there are some and none can be read.
        """
        trouble: CheckpointError | None = None
        for path in self.paths():
            try:
                return path, *load_checkpoint(path)
            except CheckpointError as error:
                trouble = error
                log(f"{error} Trying the one before.")
        if trouble is not None:
            raise trouble
        return None
