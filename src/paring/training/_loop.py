"""The training loop: exact to resume, stoppable at any step, loud when the loss is not a number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.errors import ArgumentError, TrainingError
from paring.training._batches import Batches, derived_seed
from paring.training._checkpoint import Clock, Interruption
from paring.training._progress import Progress
from paring.training._schedule import rate

#: What a loss is: ``(network, images, labels) -> scalar``.
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass
class Position:
    """Where training stands; what a checkpoint keeps of the loop.

    Attributes:
        epoch: the epoch in hand, from 0.
        step: batches of it that are done.
        loss: sum of the losses of these batches.
        last_loss: mean loss of the epoch before, NaN in the first.
        seconds: time spent training so far.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    last_loss: float = math.nan
    seconds: float = 0.0


def cross_entropy(smoothing: float = 0.0) -> Loss:
    """Softmax cross-entropy, with label smoothing (Szegedy et al. 2016, arXiv 1512.00567, section 7)."""

    def loss(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(network(images), labels, label_smoothing=smoothing)

    return loss


def distillation(teacher: nn.Module, temperature: float = 2.0, weight: float = 0.5, smoothing: float = 0.0) -> Loss:
    """Cross-entropy mixed with the softened answers of a teacher (Hinton, Vinyals, Dean 2015, arXiv 1503.02531).

    ``(1 - weight) CE(z, y) + weight T^2 CE(softmax(z / T), softmax(teacher / T))``.

    Args:
        teacher: a network in eval mode; not trained.
        temperature: ``T``, positive.
        weight: share of the teacher, 0..1.
        smoothing: label smoothing of the first term.
    """
    if not temperature > 0 or not 0 <= weight <= 1:
        raise ArgumentError("distillation cannot be", found=f"temperature {temperature}, weight {weight}")

    def loss(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        answers = network(images)
        hard = F.cross_entropy(answers, labels, label_smoothing=smoothing)
        with torch.no_grad():
            soft = F.softmax(teacher(images) / temperature, 1)
        return (1 - weight) * hard + weight * temperature**2 * F.cross_entropy(answers / temperature, soft)

    return loss


def optimiser(
    parameters: Iterable[nn.Parameter],
    name: str = "sgd",
    *,
    rate: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """``sgd`` with momentum, or ``adam``.

    Raises:
        ArgumentError: on another name, or a rate that is not positive.
    """
    if not 0 < rate < math.inf:
        raise ArgumentError("learning rate cannot be", found=rate, expected="a positive number")
    wanted = [parameter for parameter in parameters if parameter.requires_grad and parameter.numel()]
    if name == "sgd":
        return torch.optim.SGD(wanted, rate, momentum=momentum, weight_decay=weight_decay)
    if name == "adam":
        return torch.optim.Adam(wanted, rate, weight_decay=weight_decay)
    raise ArgumentError("unknown optimiser", found=repr(name), expected="sgd or adam")


def fit(
    network: nn.Module,
    batches: Batches,
    optimiser: torch.optim.Optimizer,
    *,
    epochs: int,
    schedule: str = "constant",
    warmup: int = 0,
    loss: Loss | None = None,
    before_step: Callable[[int], None] | None = None,
    after_step: Callable[[int], None] | None = None,
    position: Position | None = None,
    save: Callable[[Position], None] | None = None,
    clock: Clock | None = None,
    title: str = "train",
    progress: bool = True,
) -> Position:
    """Train for ``epochs`` passes, or go on from ``position``.

    All randomness comes from the batches' seed and the step's number, so a run that is stopped at any step and goes
    on from its checkpoint computes the same bits as one that is not (with the same number of threads).

    Args:
        network: trained in place; in training mode afterwards.
        batches: the data.
        optimiser: over the network's parameters; its groups' present rates are the base rates.
        epochs: passes over the data.
        schedule: name of a learning-rate schedule; see :func:`rate`.
        warmup: steps of linear rise of the rate.
        loss: the loss; plain cross-entropy if not given.
        before_step: called with the step's number in the whole training, from 0, before its forward pass.
        after_step: called with the same number after the optimiser's step.
        position: where to go on; changed in place.
        save: called with the position when a checkpoint is due and before an interruption is raised.
        clock: says when a checkpoint is due.
        title: what the progress bar says.
        progress: show a progress bar on the terminal.

    Returns:
        the position at the end.

    Raises:
        TrainingError: if the loss is not finite; the last checkpoint is from before.
        KeyboardInterrupt: after Ctrl-C, when the step was finished and saved.
    """
    position = position or Position()
    loss = loss or cross_entropy()
    base = [group["lr"] for group in optimiser.param_groups]
    total = epochs * len(batches)
    network.train()
    begun = time.perf_counter() - position.seconds
    with Interruption() as interruption, Progress(title, total, progress) as bar:
        while position.epoch < epochs:
            for images, labels in batches.epoch(position.epoch, position.step):
                number = position.epoch * len(batches) + position.step
                if before_step:
                    before_step(number)
                factor = rate(schedule, number, total, warmup=warmup)
                for group, first in zip(optimiser.param_groups, base, strict=True):
                    group["lr"] = first * factor
                torch.manual_seed(derived_seed(batches.seed, number, "step"))
                position.loss += _step(network, images, labels, loss, optimiser, title, position)
                position.step += 1
                if after_step:
                    after_step(number)
                if position.step == len(batches):
                    position.last_loss = position.loss / position.step
                    position.epoch, position.step, position.loss = position.epoch + 1, 0, 0.0
                position.seconds = time.perf_counter() - begun
                bar.update(number + 1, position)
                if save and (interruption.asked or (clock and clock.due())):
                    save(position)
                if interruption.asked:
                    raise KeyboardInterrupt
    for group, first in zip(optimiser.param_groups, base, strict=True):
        group["lr"] = first
    return position


def _step(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    title: str,
    position: Position,
) -> float:
    optimiser.zero_grad()
    value = loss(network, images, labels)
    number = value.item()
    if not math.isfinite(number):
        raise TrainingError(
            "the loss is not a number",
            where=f"{title}, epoch {position.epoch + 1}, batch {position.step + 1}",
            found=number,
            fix="Lower the learning rate; the last checkpoint is still good",
        )
    value.backward()
    optimiser.step()
    return number


@torch.no_grad()
def answers(network: nn.Module, images: Tensor, size: int = 1000) -> np.ndarray:
    """The class of every prepared image, int64 ``(N,)``; the network's mode is put back afterwards."""
    was = network.training
    network.eval()
    try:
        found = [network(images[start : start + size]).argmax(1) for start in range(0, len(images), size)]
    finally:
        network.train(was)
    return torch.cat(found).numpy(force=True)


def error_rate(network: nn.Module, images: Tensor, labels: np.ndarray) -> float:
    """Share of prepared images ``(N, C, H, W)`` that the network answers wrongly, 0..1."""
    return float(np.mean(answers(network, images) != np.asarray(labels)))
