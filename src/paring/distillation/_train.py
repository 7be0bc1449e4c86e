"""Distillation: a student is trained by the answers of larger networks, with everything else as in any training.

Hinton, Vinyals, Dean 2015, arXiv 1503.02531, with hints of Romero et al. 2015, arXiv 1412.6550. The student may carry
trainable forms of :mod:`paring.methods`: it is pruned, shared or rounded while it learns. See
``docs/recipes/distillation.md``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paring.data import Dataset
from paring.distillation._cache import cached_logits, teacher_identity
from paring.distillation._hints import Hints, check_weight
from paring.distillation._loss import distillation
from paring.distillation._teachers import Renormalized
from paring.errors import ArgumentError
from paring.layers import bare
from paring.training import Settings, World, join
from paring.training.input import Source
from paring.training.loop import Outcome, run
from paring.training.optim import Loss


def distill(
    student: nn.Module,
    source: Source,
    settings: Settings,
    teachers: Sequence[nn.Module],
    data: Dataset,
    *,
    folder: str | Path,
    temperature: float = 4.0,
    hard_weight: float = 0.1,
    average: str = "logits",
    cache: str | Path | None = None,
    cache_dtype: str = "F32",
    hints: Mapping[str, str] | None = None,
    hint_weight: float = 1.0,
    identity: Mapping[str, Any] | None = None,
    caching: Callable[[int, int], None] | None = None,
    warn: Callable[[str], Any] = warnings.warn,
    world: World | None = None,
    **options: Any,
) -> Outcome:
    """Train a student by its teachers; :func:`paring.training.run` with a loss and an identity of its own.

    Args:
        student: trained in place, with any trainable forms it has.
        source: batches of ``data``; ``batch.indices`` count in it.
        settings: as for any training; ``smoothing`` smooths the labels' term.
        teachers: networks that take the student's images (see :func:`paring.distillation.teacher`); more than one are
            an ensemble.
        data: the training set; what the cache is computed on, and a hint's layers are measured with.
        folder: the run folder.
        temperature: of the soft targets; ``inf`` matches logits.
        hard_weight: share of the labels in the loss, 0..1; the soft targets get the rest, times the temperature's
            square.
        average: of an ensemble, over ``logits`` or ``probabilities``.
        cache: file of the teachers' logits on the undistorted images, made if missing. The teachers then do not run in
            training; a student that sees distorted images is taught the answer to another picture, which is warned of.
        cache_dtype: ``F32`` or ``F16``.
        hints: layer of the student to layer of the teacher; with one teacher only.
        hint_weight: of all hints together.
        identity: what else the result depends on; the teachers and the loss are added to it.
        caching: called with (images done, images in all) while the cache is computed.
        warn: takes the warning about a cache and distorted images.
        world: where this process computes, and with whom; found out if not given.
        options: passed on to :func:`paring.training.run`.

    Raises:
        ArgumentError: if a number cannot be, teachers and student answer differently, mixup meets a cache, or hints
            come with an ensemble.
        CheckpointError: if the cache is of other data or other teachers, or on a disk that not all processes see.
        TrainingError: as of any training; if another process is gone while the cache is made.
    """
    student, teachers = bare(student), [bare(one) for one in teachers]
    if not 0 <= hard_weight <= 1:
        raise ArgumentError("invalid weight of the labels", found=hard_weight, expected="0 to 1")
    if hints and len(teachers) != 1:
        raise ArgumentError("hints come from one teacher", found=f"{len(teachers)} teachers")
    distillation(teachers, temperature, 1 - hard_weight, settings.smoothing, average=average)  # refused before work
    _check_answers(student, teachers, data)
    check_weight(hint_weight)
    known: Any = list(teachers)
    world = world or join(folder=Path(folder))
    if cache is not None:
        _check_undistorted(settings, warn)
        known = cached_logits(Path(cache), teachers, data, dtype=cache_dtype, progress=caching, world=world)
    loss: Loss = distillation(known, temperature, 1 - hard_weight, settings.smoothing, average=average)
    if hints:
        named = teachers[0].network if isinstance(teachers[0], Renormalized) else None  # layers are the network's own
        loss = Hints(loss, student, teachers[0], hints, _images(data), hint_weight, named=named)
    taught = {
        "temperature": temperature if math.isfinite(temperature) else "inf",
        "hard_weight": hard_weight,
        "average": average,
        "cached": cache_dtype if cache is not None else "",
        "hints": dict(hints or {}),
        "hint_weight": hint_weight if hints else 0.0,
        "teachers": {str(number): teacher_identity(network) for number, network in enumerate(teachers, 1)},
    }
    every = {**(identity or {}), "distillation": taught}
    return run(student, source, settings, folder=folder, loss=loss, identity=every, world=world, **options)


def _images(data: Dataset) -> torch.Tensor:
    """Two prepared images, ``(2, C, H, W)``."""
    return torch.from_numpy(data.prepared(0, 2).transpose(0, 3, 1, 2).copy())


def _check_undistorted(settings: Settings, warn: Callable[[str], Any]) -> None:
    if settings.mixup:
        raise ArgumentError("cached logits do not know mixed images", found=f"mixup {settings.mixup:g}")
    if settings.augment != "none":
        warn(
            f"cached logits are the teacher's answers to undistorted images; the student sees them under augmentation "
            f"{settings.augment!r} and learns the answer to another picture. Leave out the cache, and the teacher sees "
            "what the student sees."
        )


@torch.no_grad()
def _check_answers(student: nn.Module, teachers: Sequence[nn.Module], data: Dataset) -> None:
    """Do all answer with one number per class?"""
    expected = len(data.classes)
    images = _images(data)[:1]
    for name, network in [("student", student), *((f"teacher {k}", t) for k, t in enumerate(teachers, 1))]:
        was = {module: module.training for module in network.modules()}
        device = next((tensor.device for tensor in network.parameters()), images.device)
        answer = network.eval()(images.to(device))
        for module, training in was.items():
            module.training = training
        shape = tuple(answer.shape[1:]) if isinstance(answer, torch.Tensor) else type(answer).__name__
        if shape != (expected,):
            raise ArgumentError(
                "network does not answer with one number per class", where=name, found=shape, expected=expected
            )
