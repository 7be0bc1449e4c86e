"""Learning-rate schedules: the factor on the base rate as a pure function of the position in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from math import cos, pi, prod

from paring.errors import ArgumentError

#: Names :func:`rate` knows.
SCHEDULES = ("constant", "cosine", "step", "inv", "polynomial", "linear", "exponential")

#: A schedule is ``(step, total) -> factor``.
Schedule = Callable[[int, int], float]


def lr_factor(
    name: str,
    step: int,
    total: int,
    *,
    warmup: int = 0,
    milestones: Sequence[float] = (0.5, 0.75),
    gamma: float | Sequence[float] | None = None,
    power: float | None = None,
    every: float = 0,
) -> float:
    """Factor on the base learning rate at ``step`` of ``total``, both counted in steps; ``t = step / total``.

    - ``constant``: 1.
    - ``cosine``: ``(1 + cos(pi t)) / 2``, down to 0 (Loshchilov, Hutter 2017, arXiv 1608.03983).
    - ``step``: times ``gamma`` (0.1) at each of ``milestones`` (half and three quarters, as ResNet on CIFAR-10).
    - ``inv``: ``(1 + gamma step)^-power``, Caffe's policy; 1e-4 and 0.75 as in its LeNet example. Does not look at
      ``total``.
    - ``polynomial``: ``(1 - t)^power``, power 2 unless given.
    - ``linear``: ``1 - t``.
    - ``exponential``: ``gamma^floor(step / every)``, gamma 0.94; the staircase of the Inception papers.

    Args:
        name: one of :data:`SCHEDULES`.
        step: from 0.
        total: number of steps of the whole training.
        warmup: steps of linear rise from ``1 / (warmup + 1)``; multiplies any of the above.
        milestones: ascending; below 1 a fraction of ``total``, from 1 on a number of steps.
        gamma: for ``step`` also one factor per milestone.
        power: of ``inv`` and ``polynomial``.
        every: steps of one stair of ``exponential``, positive.

    Raises:
        ArgumentError: on an unknown name, or arguments that cannot be.
    """
    if name not in SCHEDULES:
        near = get_close_matches(name, SCHEDULES, 2) or SCHEDULES
        raise ArgumentError("unknown learning-rate schedule", found=repr(name), expected=" or ".join(near))
    rise = min(1.0, (step + 1) / (warmup + 1))
    t = min(step / max(total, 1), 1.0)
    if name == "cosine":
        return rise * (1 + cos(pi * t)) / 2
    if name == "step":
        return rise * _stairs(step, total, milestones, 0.1 if gamma is None else gamma)
    if name == "inv":
        return rise * (1 + _number(gamma, 1e-4) * step) ** -(0.75 if power is None else power)
    if name == "polynomial":
        return rise * (1 - t) ** (2.0 if power is None else power)
    if name == "linear":
        return rise * (1 - t)
    if name == "exponential":
        if not every > 0:
            raise ArgumentError("an exponential schedule cannot fall every", found=f"{every} steps", expected="above 0")
        return rise * _number(gamma, 0.94) ** (step // every)
    return rise


def _stairs(step: int, total: int, milestones: Sequence[float], gamma: float | Sequence[float]) -> float:
    marks = [mark if mark >= 1 else mark * total for mark in milestones]
    if marks != sorted(marks) or not all(mark > 0 for mark in marks):
        raise ArgumentError("milestones do not ascend", found=list(milestones), expected="positive, like 0.5, 0.75")
    passed = sum(step >= mark for mark in marks)
    if isinstance(gamma, Sequence):
        if len(gamma) != len(marks):
            raise ArgumentError("factors of the milestones", found=len(gamma), expected=f"{len(marks)} or one for all")
        return prod(gamma[:passed])
    return float(f"{gamma**passed:.15g}")  # 0.01 for 0.1 squared, not its neighbor


def _number(gamma: float | Sequence[float] | None, default: float) -> float:
    if isinstance(gamma, Sequence):
        raise ArgumentError("only the step schedule takes several factors", found=list(gamma), expected="one number")
    return default if gamma is None else gamma
