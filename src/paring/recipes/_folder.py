"""The run folder: what each stage left, and where the one in hand stands.

RUN/
  1-train.safetensors      the network after each finished stage, with the settings it was made under
  2-prune.safetensors ...
  running.safetensors      the stage in hand: network, optimizer, position; gone when it is finished
  baseline.npz             the float network's weights by name
  record.json              what happened (:class:`paring.record.Record`)
  NAME.pare                the result
  NAME.paper.pare          the same network in Deep Compression's own coding, to compare
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paring.errors import CheckpointError, OutputError
from paring.parametrize import describe, rebuild, refresh
from paring.record import Stage
from paring.training.loop import (
    Position,
    differences,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    write_atomic,
)


class RunFolder:
    """A folder that a recipe can be killed over and go on from.

    Args:
        path: made if missing.
        stages: names of the recipe's stages in order.
        identity: stage name to the settings that stage's result depends on, JSON values; a checkpoint made under
            others is refused.

    Raises:
        OutputError: if the folder cannot be made.
    """

    def __init__(self, path: Path, stages: tuple[str, ...], identity: Mapping[str, Mapping[str, Any]]) -> None:
        self.path, self.stages, self.identity = Path(path), stages, identity
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError("cannot make the run folder", where=path, found=error.strerror) from error

    @property
    def running(self) -> Path:
        """Checkpoint of the stage in hand."""
        return self.path / "running.safetensors"

    def finished(self, stage: str) -> Path:
        """Checkpoint of a finished stage."""
        return self.path / f"{self.stages.index(stage) + 1}-{stage}.safetensors"

    def forget_from(self, stage: str) -> None:
        """Delete what ``stage`` and later ones left, so that they are done again."""
        for name in self.stages[self.stages.index(stage) :]:
            self.finished(name).unlink(missing_ok=True)
        self.running.unlink(missing_ok=True)

    def check(self) -> None:
        """See that every checkpoint here belongs to this run.

        Raises:
            CheckpointError: listing the differences.
        """
        for stage in self.stages:
            if self.finished(stage).exists():
                self._read(self.finished(stage), stage)
        if self.running.exists():
            words = load_checkpoint(self.running)[1]
            self._compare(self.running, words, str(words.get("stage")))

    def restore(self, stage: str, network: nn.Module) -> Stage | None:
        """Bring a plain network to the end of a finished stage; ``None`` if the stage is not finished."""
        path = self.finished(stage)
        if not path.exists():
            return None
        tensors, words = self._read(path, stage)
        _load_network(path, network, tensors, words)
        return Stage(**words["record"])

    def finish(self, stage: str, network: nn.Module, record: Stage) -> None:
        """Keep the network as the stage left it."""
        words = {
            "stage": stage,
            "identity": self.identity[stage],
            "forms": describe(network),
            "record": vars(record),
        }
        save_checkpoint(self.finished(stage), _network_tensors(network), words)
        self.running.unlink(missing_ok=True)

    def keep_running(
        self, stage: str, network: nn.Module, optimizer: torch.optim.Optimizer, position: Position, note: str
    ) -> None:
        """Keep where the stage in hand stands."""
        tensors = _network_tensors(network)
        tensors.update({f"optimizer.{name}": t for name, t in optimizer_tensors(optimizer).items()})
        words = {
            "stage": stage,
            "identity": self.identity[stage],
            "forms": describe(network),
            "note": note,
            "position": {name: (None if v != v else v) for name, v in vars(position).items()},
        }
        save_checkpoint(self.running, tensors, words)

    def running_network(self, stage: str, network: nn.Module) -> tuple[Position, str, dict[str, Tensor]] | None:
        """Bring a plain network to where the stage in hand stands.

        Returns:
            position, note and the optimizer's tensors, or ``None`` if this stage is not in hand.
        """
        if not self.running.exists():
            return None
        tensors, words = load_checkpoint(self.running)
        if words.get("stage") != stage:
            return None
        self._compare(self.running, words, stage)
        _load_network(self.running, network, tensors, words)
        place: dict[str, Any] = {n: (float("nan") if v is None else v) for n, v in words["position"].items()}
        state = {n.removeprefix("optimizer."): t for n, t in tensors.items() if n.startswith("optimizer.")}
        return Position(**place), words["note"], state

    def _read(self, path: Path, stage: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, words = load_checkpoint(path)
        self._compare(path, words, stage)
        return tensors, words

    def _compare(self, path: Path, words: Mapping[str, Any], stage: str) -> None:
        if stage not in self.stages or words.get("stage") != stage:
            raise CheckpointError("checkpoint is of another stage", where=path, found=words.get("stage"))
        if lines := differences(words["identity"], self.identity[stage]):
            raise CheckpointError(
                "checkpoint was made under other settings",
                where=path,
                found="; ".join(lines),
                fix=f"Name another run folder, or restart from {stage!r}",
            )


def resume_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Put a running stage's optimizer tensors back."""
    if state:
        restore_optimizer(optimizer, state)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """A NumPy ``.npz`` archive whose bytes depend on the arrays alone (no times in it), written atomically."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue())
    write_atomic(path, buffer.getvalue())


def _network_tensors(network: nn.Module) -> dict[str, Tensor]:
    return {f"network.{name}": tensor for name, tensor in network.state_dict().items()}


def _load_network(path: Path, network: nn.Module, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> None:
    state = {n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")}
    rebuild(network, words["forms"])
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError("checkpoint is of another network", where=path, found=error) from None
    refresh(network)
