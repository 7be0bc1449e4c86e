"""One optimizer step: pieces of a batch, mixed precision, gradients over all processes, clipping."""

from __future__ import annotations

import math
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.training._distributed import World
from paring.training.input import Batch
from paring.training.optim import Loss

#: Names of precisions, and what autocast computes in.
PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class _Objective(nn.Module):
    """Network and loss as one module, so that a loss may look at any part of the network it likes even where the
    network's gradients are collected by a wrapper around the outermost call."""

    def __init__(self, network: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def forward(self, *batch: Tensor | None) -> Tensor:
        return self.loss(self.network, Batch(*batch))  # type: ignore[arg-type]


class Stepper:
    """What one step does with a batch.

    Args:
        network: trained in place.
        loss: the loss; a module is trained along.
        optimizer: over the parameters of both.
        accumulate: pieces a batch is cut into, one after the other through the network, their gradients summed: the
            memory of a piece, the step of the whole batch (but batch normalization sees one piece at a time).
        clip: largest Euclidean norm of all gradients together; 0 for no limit (Pascanu, Mikolov, Bengio 2013).
        precision: ``fp32``; ``bf16`` or ``fp16`` for autocast, ``fp16`` with a scaled loss (Micikevicius et al.
            2018, arXiv 1710.03740).
        world: the processes that share the work.
        compiler: backend of ``torch.compile``, or empty.
        channels_last: memory layout that images are brought to.

    Raises:
        ArgumentError: if a number cannot be or the device lacks the precision.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        *,
        accumulate: int = 1,
        clip: float = 0.0,
        precision: str = "fp32",
        world: World | None = None,
        compiler: str = "",
        channels_last: bool = False,
    ) -> None:
        if accumulate < 1:
            raise ArgumentError("invalid number of pieces of a batch", found=accumulate, expected="at least 1")
        if not 0 <= clip < math.inf:
            raise ArgumentError("invalid largest norm of the gradients", found=clip, expected="0 (none) or more")
        self.world = world or World(torch.device("cpu"))
        _check_precision(precision, self.world.device)
        self.optimizer, self.accumulate, self.clip, self.dtype = optimizer, accumulate, clip, PRECISIONS[precision]
        self.layout = torch.channels_last if channels_last else torch.preserve_format
        self.scaler = torch.amp.GradScaler(self.world.device.type, enabled=precision == "fp16")
        self.objective: Any = self.world.wrapped(_Objective(network, loss))
        if compiler:
            self.objective = torch.compile(self.objective, backend=compiler)

    def gradients(self, batch: Batch) -> float:
        """Clear the gradients and compute new ones; this process's mean loss."""
        self.optimizer.zero_grad()
        count = len(batch.labels)
        if count < self.accumulate:
            raise ArgumentError("batch has fewer images than pieces", found=count, expected=self.accumulate)
        total = torch.zeros((), device=self.world.device)
        edges = [count * i // self.accumulate for i in range(self.accumulate + 1)]
        for number, (low, high) in enumerate(pairwise(edges), 1):
            piece = batch if self.accumulate == 1 else _rows(batch, slice(low, high))
            waits = number < self.accumulate and hasattr(self.objective, "no_sync")
            with self.objective.no_sync() if waits else nullcontext():
                value = self._loss(piece)
                if self.accumulate > 1:
                    value = value * ((high - low) / count)
                self.scaler.scale(value).backward()
            total = total + value.detach()
        return total.item()

    def _loss(self, batch: Batch) -> Tensor:
        device = self.world.device
        images = batch.images.to(device, memory_format=self.layout, non_blocking=True)
        rest = (None if part is None else part.to(device, non_blocking=True) for part in batch[1:])
        if self.dtype == torch.float32:
            return self.objective(images, *rest)
        with torch.autocast(device.type, self.dtype):
            return self.objective(images, *rest)

    def update(self) -> None:
        """Clip the gradients and let the optimizer step."""
        if self.clip:
            self.scaler.unscale_(self.optimizer)
            held = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(held, self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def state(self) -> dict[str, Any]:
        """The loss scale as JSON values; empty unless it is in use."""
        return self.scaler.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Put :meth:`state` back."""
        if state:
            self.scaler.load_state_dict(state)


def _rows(batch: Batch, rows: slice) -> Batch:
    return Batch(*(None if part is None else part[rows] for part in batch))  # type: ignore[arg-type]


def _check_precision(precision: str, device: torch.device) -> None:
    if precision not in PRECISIONS:
        raise ArgumentError("unknown precision", found=repr(precision), expected=" or ".join(PRECISIONS))
    if precision == "fp16" and device.type == "cpu":
        raise ArgumentError("processors do not train in fp16", found=precision, expected="fp32 or bf16, or a GPU")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise ArgumentError("this GPU has no bf16", found=precision, expected="fp32 or fp16")
