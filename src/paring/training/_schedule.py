"""Learning-rate schedules: the factor on the base rate as a pure function of the position in training."""

from __future__ import annotations

from difflib import get_close_matches
from math import cos, pi

from paring.errors import ArgumentError

#: Names :func:`rate` knows.
SCHEDULES = ("constant", "cosine", "step", "inv")


def rate(name: str, step: int, total: int, *, warmup: int = 0) -> float:
    """Factor on the base learning rate at ``step`` of ``total``, both counted in steps.

    ``constant``: 1. ``cosine``: ``(1 + cos(pi t)) / 2`` with ``t = step / total``, down to 0 (Loshchilov, Hutter,
    2017, arXiv 1608.03983). ``step``: a tenth after half of the steps, a hundredth after three quarters (as ResNet on
    CIFAR-10). ``inv``: ``(1 + 1e-4 step)^-0.75``, the policy of Caffe's LeNet example, independent of ``total``.

    Args:
        name: one of :data:`SCHEDULES`.
        step: from 0.
        total: number of steps of the whole training.
        warmup: steps of linear rise before, from ``1 / (warmup + 1)``.

    Raises:
        ArgumentError: on an unknown name.
    """
    if name not in SCHEDULES:
        near = get_close_matches(name, SCHEDULES, 2) or SCHEDULES
        raise ArgumentError("unknown learning-rate schedule", found=repr(name), expected=" or ".join(near))
    rise = min(1.0, (step + 1) / (warmup + 1))
    progress = min(step / max(total, 1), 1.0)
    if name == "cosine":
        return rise * (1 + cos(pi * progress)) / 2
    if name == "step":
        return rise * (1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01)
    if name == "inv":
        return rise * (1 + 1e-4 * step) ** -0.75
    return rise
