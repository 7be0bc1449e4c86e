"""Checkpoints: one safetensors file with all tensors, its words as JSON in the header. Written whole or not at all."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from paring.errors import ArgumentError, CheckpointError, ParingError
from paring.files import write_atomic as write_atomic

#: Version of what the words mean; raised when they change.
VERSION = 1


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> None:
    """Write a checkpoint.

    Tensors that share memory, such as a weight of two layers, are written once each.

    Args:
        path: the file.
        tensors: name to tensor of any dtype and layout.
        words: JSON values.

    Raises:
        OutputError: if it cannot be written.
    """
    from_torch = _safetensors()
    plain: dict[str, Tensor] = {}
    written: set[int] = set()
    for name, tensor in tensors.items():
        plain[name] = tensor.detach().cpu().contiguous()
        where = plain[name].untyped_storage().data_ptr()
        if where in written:
            plain[name] = plain[name].clone()
        written.add(where)
    header = {"paring": json.dumps({"version": VERSION, **words})}
    write_atomic(path, from_torch.save(plain, header))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The inverse of :func:`save_checkpoint`.

    Raises:
        CheckpointError: if the file is missing, damaged, no checkpoint of Paring or of another version.
    """
    from_torch = _safetensors()
    try:
        data = path.read_bytes()
        tensors = from_torch.load(data)
        length = int.from_bytes(data[:8], "little")
        words = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["paring"])
    except OSError as error:
        raise CheckpointError("cannot read checkpoint", where=path, found=error.strerror) from None
    except Exception as error:  # safetensors has an exception class of its own, and damage can also fool json
        raise CheckpointError(
            "checkpoint is damaged or not Paring's", where=path, found=error, fix="Delete it and start the stage again"
        ) from None
    version = words.pop("version", None)
    if version != VERSION:
        raise CheckpointError("checkpoint has another version", where=path, found=version, expected=VERSION)
    return tensors, words


def _safetensors():
    try:
        import safetensors.torch
    except ModuleNotFoundError as error:
        raise ParingError("checkpoints need safetensors", fix="Install it with: pip install 'paring[torch]'") from error
    return safetensors.torch


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's state as flat tensors, ``{parameter number}.{name}``; hyper-parameters are not in it."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": torch.as_tensor(v) for number, slots in state.items() for name, v in slots.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put :func:`optimizer_tensors` back into an optimizer over the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def differences(found: Mapping[str, Any], expected: Mapping[str, Any], prefix: str = "") -> list[str]:
    """``name: found, now expected`` for every value two nested mappings do not share, in order."""
    lines = []
    for name in sorted(set(found) | set(expected)):
        a, b = found.get(name), expected.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f"{prefix}{name}.")
        elif a != b:
            lines.append(f"{prefix}{name} was {a!r}, is {b!r}")
    return lines


class Clock:
    """Says when a checkpoint is due.

    Args:
        seconds: at most so long between two; 0 for never.
        steps: also after every so many steps; 0 for never.

    Raises:
        ArgumentError: if one is negative.
    """

    def __init__(self, seconds: float = 60.0, steps: int = 0) -> None:
        if not seconds >= 0 or steps < 0:
            raise ArgumentError(
                "invalid time between checkpoints", found=f"{seconds} s, {steps} steps", expected="0 (never) or more"
            )
        self.seconds, self.steps = seconds, steps
        self._last, self._count = time.monotonic(), 0

    def due(self) -> bool:
        """Count one step and say whether a checkpoint is due; if so, the count begins anew."""
        self._count += 1
        late = self.seconds and time.monotonic() - self._last >= self.seconds
        if late or (self.steps and self._count >= self.steps):
            self._last, self._count = time.monotonic(), 0
            return True
        return False


class Interruption:
    """While it lasts, Ctrl-C or a request to end (SIGTERM) only raises a flag, so that the step in hand can be
    finished and saved.

    A second Ctrl-C interrupts at once. Outside the main thread, where Python delivers no signals, it does nothing.

    Args:
        patient: True lets every further Ctrl-C wait, too: among several processes the launcher passes it on, so that
            one press can arrive twice.
    """

    def __init__(self, patient: bool = False) -> None:
        self.asked, self.patient = False, patient
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT and not self.patient:
            raise KeyboardInterrupt
        self.asked = True
