"""What the commands do with networks beside finding and building them (:mod:`paring.networks`)."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paring.errors import ArgumentError, OutputError

if TYPE_CHECKING:
    from torch import nn

    from paring.data import Dataset
    from paring.networks import Named


def save(path: Path, module: nn.Module, named: Named, data: Dataset) -> None:
    """Write a checkpoint that says of which network it is, with class names and preparation; whole or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    from paring.training.loop import save_checkpoint

    # A user's own code is not named: opening a checkpoint must never run it.
    words = {"classes": data.classes, "preparation": asdict(data.preparation)}
    if not named.runs_code:
        words["net"] = named.net
    save_checkpoint(path, module.state_dict(), words)


def check_writable(path: Path | None, suffix: str, option: str) -> None:
    """Say before hours of work that the result could not be written.

    Raises:
        OutputError: if the folder is missing or not writable.
        ArgumentError: if the name does not end in ``suffix``.
    """
    if path is None:
        return
    if path.suffix != suffix:
        raise ArgumentError("file name has another ending", where=option, found=path.name, expected=f"*{suffix}")
    if path.is_dir():
        raise OutputError("is a folder", where=f"{option} {path}")
    if not path.parent.is_dir():
        raise OutputError("folder does not exist", where=path.parent, fix="Make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError("folder is not writable", where=path.parent)


def preparing(named: Named, asked: dict[str, Any]) -> dict[str, Any]:
    """Arguments for :func:`paring.data.load` that bring images to the network's input.

    Args:
        named: the network.
        asked: the user's ``size``, ``mean`` and ``std`` (None where not given), and other arguments, passed on.
    """
    own = {key: asked.pop(key, None) for key in ("size", "mean", "std")}
    if named.preparation is not None and all(value is None for value in own.values()):
        return {**asked, "preparation": named.preparation}
    if own["size"] is None:
        own["size"] = named.resolution
    return {**asked, **own, "channels": named.channels}
