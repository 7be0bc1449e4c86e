"""The training loop: exact to resume, stoppable at any step, loud when the loss is not a number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from paring.errors import DataError, DivergenceError
from paring.training._distributed import World, device_of
from paring.training.input import Batch, Source, derived_seed
from paring.training.loop._checkpoint import Clock, Interruption
from paring.training.loop._progress import Progress
from paring.training.loop._step import Stepper
from paring.training.optim import Loss, Schedule, cross_entropy, lr_factor


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


class StepInfo(NamedTuple):
    """What a step came to, for those who watch.

    Attributes:
        number: of the step in the whole training, from 0.
        loss: mean over the whole batch.
        lr: learning rate of the optimizer's first group.
        images: that all processes together have seen in this call of :func:`fit`.
        seconds: since this call began to train.
    """

    number: int
    loss: float
    lr: float
    images: int
    seconds: float


def fit(
    network: nn.Module,
    batches: Source,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    steps: int | None = None,
    schedule: str | Schedule = "constant",
    warmup: int = 0,
    loss: Loss | None = None,
    stepper: Stepper | None = None,
    before_step: Callable[[int], None] | None = None,
    after_step: Callable[[int], None] | None = None,
    after_epoch: Callable[[Position], None] | None = None,
    watch: Callable[[StepInfo], None] | None = None,
    position: Position | None = None,
    until: int | None = None,
    save: Callable[[Position], None] | None = None,
    clock: Clock | None = None,
    title: str = "train",
    progress: bool | Progress = True,
) -> Position:
    """Train for ``epochs`` passes, or go on from ``position``.

    All randomness comes from the batches' seed and the step's number, so a run that is stopped at any step and goes
    on from its checkpoint computes the same bits as one that is not (with the same number of threads).

    Args:
        network: trained in place, on the device where its parameters are; in training mode afterwards.
        batches: the data; with several processes, this one's share.
        optimizer: over the network's parameters; its groups' present rates are the base rates.
        epochs: passes over the data.
        steps: end after so many steps, in the middle of an epoch if need be; the schedule then ends there, too.
        schedule: name of a learning-rate schedule (see :func:`rate`), or a function ``(step, total) -> factor``.
        warmup: steps of linear rise of the rate, for a named schedule.
        loss: the loss; plain cross-entropy if not given.
        stepper: what one step does, and on which device; a plain one with ``loss`` if not given.
        before_step: called with the step's number in the whole training, from 0, before its forward pass.
        after_step: called with the same number after the optimizer's step.
        after_epoch: called when an epoch is complete and after the last step, before a checkpoint of that moment.
        watch: called after every step with what it came to.
        position: where to go on; changed in place.
        until: stop after so many epochs although the schedule goes on; for a run that is done in parts.
        save: called with the position when a checkpoint is due and before an interruption is raised.
        clock: says when a checkpoint is due.
        title: what the progress bar says.
        progress: show a progress bar on the terminal; or a bar of the caller's.

    Returns:
        the position at the end.

    Raises:
        DivergenceError: if the loss is not finite; the last checkpoint is from before.
        KeyboardInterrupt: after Ctrl-C, when the step was finished and saved.
    """
    position = position or Position()
    if stepper is None:
        stepper = Stepper(network, loss or cross_entropy(), optimizer, world=World(device_of(network)))
    base = [group["lr"] for group in optimizer.param_groups]
    total = epochs * len(batches) if steps is None else min(steps, epochs * len(batches))
    end = total if until is None else min(total, until * len(batches))
    factor = partial(lr_factor, schedule, warmup=warmup) if isinstance(schedule, str) else schedule
    network.train()
    began, before, images = time.perf_counter(), position.seconds, 0
    bar = progress if isinstance(progress, Progress) else Progress(title, total, progress)
    with Interruption(patient=stepper.world.size > 1) as interruption, bar:
        number = position.epoch * len(batches) + position.step
        while number < end:
            for batch in batches.epoch(position.epoch, position.step):
                if before_step:
                    before_step(number)
                now = factor(number, total)
                for group, first in zip(optimizer.param_groups, base, strict=True):
                    group["lr"] = first * now
                torch.manual_seed(derived_seed(batches.seed, number, "step", *_own(stepper.world)))
                where = f"{title}, epoch {position.epoch + 1}, batch {position.step + 1}"
                value, asked = _step(stepper, batch, interruption, where)
                position.loss += value
                position.step += 1
                number += 1
                images += len(batch.labels) * stepper.world.size
                seconds = time.perf_counter() - began
                position.seconds = before + seconds
                if after_step:
                    after_step(number - 1)
                complete = position.step == len(batches)
                if complete:
                    position.last_loss = position.loss / position.step
                    position.epoch, position.step, position.loss = position.epoch + 1, 0, 0.0
                step = StepInfo(number - 1, value, optimizer.param_groups[0]["lr"], images, seconds)
                if watch:
                    watch(step)
                bar.update(position, step)
                if after_epoch and (complete or number == total):
                    after_epoch(position)
                    network.train()
                if save and (asked or (clock and clock.due())):
                    save(position)
                if asked:
                    raise KeyboardInterrupt
                if complete or number == end:
                    break
            else:  # it would be asked for the rest for ever
                raise DataError(
                    "data set ended early",
                    where=f"epoch {position.epoch + 1}",
                    found=f"{position.step} batches",
                    expected=len(batches),
                )
    for group, first in zip(optimizer.param_groups, base, strict=True):
        group["lr"] = first
    return position


def _own(world: World) -> tuple[int, ...]:
    """What tells the random numbers inside the network (dropout) of one process from another's."""
    return (world.rank,) if world.size > 1 else ()


def _step(stepper: Stepper, batch: Batch, interruption: Interruption, where: str) -> tuple[float, bool]:
    """Mean loss over the whole batch, and whether anyone asked to stop: the same in every process."""
    world = stepper.world
    loss, asked = world.total([stepper.gradients(batch), float(interruption.asked)])
    loss /= world.size
    if not math.isfinite(loss):
        raise DivergenceError(
            "the loss is not a number",
            where=where,
            found=loss,
            fix="Lower the learning rate; checkpoints from before this step are still good",
        )
    stepper.update()
    return loss, asked > 0 or (world.size == 1 and interruption.asked)


@torch.no_grad()
def answers(network: nn.Module, images: Tensor, size: int = 1000) -> np.ndarray:
    """The class of every prepared image, int64 ``(N,)``; the network's mode is put back afterwards."""
    was, device = network.training, device_of(network)
    network.eval()
    try:
        parts = (images[start : start + size].to(device) for start in range(0, len(images), size))
        found = [network(part).argmax(1) for part in parts]
    finally:
        network.train(was)
    return torch.cat(found).numpy(force=True)


def error_rate(network: nn.Module, images: Tensor, labels: np.ndarray) -> float:
    """Share of prepared images ``(N, C, H, W)`` that the network answers wrongly, 0..1."""
    return float(np.mean(answers(network, images) != np.asarray(labels)))
