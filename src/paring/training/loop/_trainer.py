"""What is trained and what trains it, made from the settings and kept in a checkpoint as one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paring.errors import CheckpointError, TrainingError
from paring.parametrize import describe, detach, rebuild, refresh
from paring.training._distributed import World
from paring.training._settings import Settings
from paring.training.loop._checkpoint import optimizer_tensors, restore_optimizer
from paring.training.loop._fit import Position
from paring.training.loop._step import Stepper
from paring.training.optim import EMA, Loss, optimizer


class Trainer:
    """A network with its loss, optimizer, step and average.

    Args:
        network: brought to the world's device and, if a checkpoint is given, to where that stood.
        loss: the loss; trained along if it is a module.
        settings: hyper-parameters.
        world: the processes that share the work.
        found: path, tensors and words of a checkpoint to go on from.

    Attributes:
        position: where training stands.

    Raises:
        CheckpointError: if the checkpoint is of another network.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        settings: Settings,
        world: World,
        found: tuple[Path, Mapping[str, Tensor], Mapping[str, Any]] | None = None,
    ) -> None:
        self.network, self.loss = network, loss
        network.to(world.device)
        if settings.channels_last:
            _channels_last(network)
        if isinstance(loss, nn.Module):
            loss.to(world.device)
        self.position = self._network_from(*found) if found else Position()
        self.optimizer = optimizer(
            nn.ModuleList([network, loss]) if isinstance(loss, nn.Module) else network,
            settings.optimizer,
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
            decay_biases=settings.decay_biases,
            eps=settings.eps,
        )
        self.stepper = Stepper(
            network,
            loss,
            self.optimizer,
            accumulate=settings.accumulate,
            clip=settings.clip,
            precision=settings.precision,
            world=world,
            compiler=settings.compiler,
            channels_last=settings.channels_last,
        )
        self.ema = EMA(network, settings.ema) if settings.ema else None
        if found:
            self._rest_from(found[1], found[2])

    def state(self, position: Position) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything a run needs to go on, as tensors and JSON values.

        There is no state of a random number generator in it: all randomness is derived from the seed and the
        position.
        """
        parts: dict[str, Mapping[str, Tensor]] = {
            "network": self.network.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
            "ema": self.ema.state if self.ema else {},
            "loss": self.loss.state_dict() if isinstance(self.loss, nn.Module) else {},
        }
        tensors = {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
        last = position.last_loss
        words = {
            "forms": describe(self.network),
            "position": {**vars(position), "last_loss": last if last == last else None},
            "scaler": self.stepper.state(),
        }
        return tensors, words

    def check(self, where: str) -> None:
        """See that every weight is a number: a finite loss does not mean that the step after it left finite weights.

        Raises:
            TrainingError: naming the first that is not.
        """
        for name, parameter in self.network.named_parameters():
            if not torch.isfinite(parameter).all():
                raise TrainingError(
                    "a weight is not a number",
                    where=where,
                    found=name,
                    fix="Lower the learning rate; checkpoints from before this step are still good",
                )

    def finish(self) -> None:
        """Leave the network in eval mode, with the average of its weights if there is one."""
        if self.ema:
            self.network.load_state_dict(self.ema.state)
        self.network.eval()

    def _network_from(self, path: Path, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> Position:
        if describe(self.network) != words["forms"]:
            detach(self.network)
            rebuild(self.network, words["forms"])
        try:
            self.network.load_state_dict(_part(tensors, "network"))
            if isinstance(self.loss, nn.Module):
                self.loss.load_state_dict(_part(tensors, "loss"))
        except RuntimeError as error:
            raise CheckpointError("checkpoint is of another network", where=path, found=error) from None
        refresh(self.network)
        place = dict(words["position"])
        if place["last_loss"] is None:
            place["last_loss"] = float("nan")
        return Position(**place)

    def _rest_from(self, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> None:
        if state := _part(tensors, "optimizer"):
            restore_optimizer(self.optimizer, state)
        self.stepper.restore(words["scaler"])
        if self.ema:
            self.ema.restore(_part(tensors, "ema"), self.network)


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {n.removeprefix(f"{part}."): t for n, t in tensors.items() if n.startswith(f"{part}.")}


def _channels_last(network: nn.Module) -> None:
    """Lay every tensor of four axes out so; ``network.to`` refuses one of five, which a form may hold."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
