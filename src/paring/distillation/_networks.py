"""Who teaches: one network, or several at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.training.input import Batch

#: Over what the answers of an ensemble can be averaged.
AVERAGES = ("logits", "probabilities")


class Teacher(Protocol):
    """What a distillation loss asks.

    Attributes:
        networks: those that are run for it; empty if the answers are known beforehand.
    """

    networks: tuple[nn.Module, ...]

    def logits(self, batch: Batch) -> Tensor:
        """Logits of every member for the batch's images, float32 ``(members, N, classes)``, without a gradient."""


class Networks:
    """Networks asked for the images that the student sees, distorted as they are.

    They are no part of the loss as a module: they are neither trained, nor saved with it, nor put into training mode.

    Args:
        networks: each takes the student's images and answers with logits ``(N, classes)``.

    Raises:
        ArgumentError: if there is none.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        if not networks:
            raise ArgumentError("distillation needs a teacher", found="none")
        self.networks = tuple(networks)
        self._device: torch.device | None = None

    @torch.no_grad()
    def logits(self, batch: Batch) -> Tensor:
        """Logits ``(members, N, classes)``; the networks move to the batch's device when that changes."""
        device = batch.images.device
        if device != self._device:
            for network in self.networks:
                network.to(device)
            self._device = device
        answers = [network.eval()(batch.images).float() for network in self.networks]
        if len({tuple(answer.shape) for answer in answers}) > 1:
            shapes = ", ".join(str(tuple(answer.shape)) for answer in answers)
            raise ArgumentError("teachers of an ensemble answer differently", found=shapes, expected="equal shapes")
        return torch.stack(answers)
