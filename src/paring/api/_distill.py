"""``paring.distill``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from paring.api._images import set_of, wish_of
from paring.data import Dataset
from paring.distillation import distill as train_student
from paring.distillation import teacher as teacher_of
from paring.errors import ArgumentError
from paring.training import Settings, evaluator
from paring.training.input import Batches
from paring.training.loop import Outcome


def distill(
    student: nn.Module,
    teacher: Any,
    train: Any,
    val: Any = None,
    *,
    run: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    limit: int | None = None,
    temperature: float = 4.0,
    hard_weight: float = 0.1,
    progress: bool = True,
    **options: Any,
) -> Outcome:
    """Train a student by what its teacher answers.

    Args:
        student: a module, trained in place, with any trainable forms it has; afterwards in eval mode.
        teacher: a module, a model, or the path of a `.pare` file; or a list of them, an ensemble.
        train: training images with labels, as for :func:`paring.compress`.
        val: images to score on after each epoch, likewise; none if not given.
        run: folder for checkpoints and the log; not kept if not given.
        settings: how it is trained; by default :class:`paring.training.Settings` changed by ``options``.
        limit: take only so many images of each set.
        temperature: of the soft targets.
        hard_weight: share of the labels in the loss, 0..1.
        progress: show a progress bar on a terminal.
        options: how pictures are prepared (``preparation``, or ``mean`` and ``std``, and ``size``); and any field of
            the settings (``epochs``, ``lr``, ``batch``, ``augment``, ``seed``, ...).

    Returns:
        what it came to: ``score`` on ``val`` and the ``history`` of its epochs.

    Raises:
        ArgumentError: if a setting cannot be, or teacher and student answer differently.
        DataError: if the images cannot be read.
        TrainingError: if the loss is not a number any more.
    """
    if not isinstance(student, nn.Module):
        raise ArgumentError("not a module", where="student", found=type(student).__name__, expected="an nn.Module")
    wish = wish_of(student, options)
    data = set_of(student, train, wish, split="train", limit=limit)
    tests = None if val is None else set_of(student, val, _alike(data), split="test", limit=limit, classes=data.classes)
    if settings is None:  # an epoch has some fifty steps
        settings = Settings(epochs=10, lr=0.05, batch=next((b for b in (128, 64, 32, 16) if len(data) >= 50 * b), 8))
    chosen = settings.changed(**options)
    chosen = chosen.changed(batch=min(chosen.batch, len(data)))
    teachers = teacher if isinstance(teacher, Sequence) and not isinstance(teacher, str) else [teacher]
    batches = Batches(
        data.images,
        data.labels,
        mean=data.preparation.mean,
        std=data.preparation.std,
        size=chosen.batch,
        seed=chosen.seed,
        augment=chosen.augment,
        channels_last=chosen.channels_last,
    )
    with TemporaryDirectory() as scratch:
        return train_student(
            student,
            batches,
            chosen,
            [_teaching(one, data) for one in teachers],
            data,
            folder=Path(run) if run is not None else Path(scratch),
            temperature=temperature,
            hard_weight=hard_weight,
            evaluate=None if tests is None else evaluator(tests),
            progress=progress,
        )


def _alike(data: Dataset) -> Any:
    from paring.data import Wish

    return Wish(data.preparation) if data.told else Wish()


def _teaching(one: Any, data: Dataset) -> nn.Module:
    source = one.contents if hasattr(one, "contents") else one
    own = getattr(one, "preparation", None)
    return teacher_of(source, data.preparation, own=own, classes=data.classes)
