"""The hyper-parameters of a training run as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from functools import partial
from math import isfinite
from typing import Any

import torch

from paring.errors import ArgumentError
from paring.training.optim._schedule import Schedule, lr_factor


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Attributes:
        epochs: passes over the training images.
        steps: end after so many steps, even in the middle of an epoch; 0 for whole epochs.
        batch: images per step, all processes together.
        optimizer: ``sgd``, ``adam``, ``adamw`` or ``rmsprop``; see :func:`paring.training.optimizer` for the next
            six.
        lr: base learning rate.
        momentum: of sgd and rmsprop.
        nesterov: of sgd.
        weight_decay: L2 penalty.
        decay_biases: whether biases and normalizations are decayed, too.
        eps: added to a root by adam and rmsprop; ``None`` for the usual 1e-8.
        schedule: of the rate; see :func:`paring.training.lr_factor` for the next four.
        warmup: steps of linear rise.
        milestones: of ``step``.
        gamma: of ``step``, ``inv`` and ``exponential``.
        power: of ``polynomial`` and ``inv``.
        every: epochs of one stair of ``exponential``.
        augment: name of an augmentation of the data source.
        smoothing: label smoothing.
        mixup: ``alpha`` of mixup; 0 for none.
        ema: decay of the moving average of the weights; 0 for none.
        clip: largest norm of the gradients; 0 for no limit.
        accumulate: pieces a batch is computed in.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        channels_last: memory layout of images and weights.
        compiler: backend of ``torch.compile`` (``inductor``), or empty.
        seed: what all randomness is derived from.
    """

    epochs: int = 20
    steps: int = 0
    batch: int = 128
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_biases: bool = True
    eps: float | None = None
    schedule: str = "cosine"
    warmup: int = 0
    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float | tuple[float, ...] | None = None
    power: float | None = None
    every: float = 2.0
    augment: str = "none"
    smoothing: float = 0.0
    mixup: float = 0.0
    ema: float = 0.0
    clip: float = 0.0
    accumulate: int = 1
    precision: str = "fp32"
    channels_last: bool = False
    compiler: str = ""
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """JSON values; equal for equal settings."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def changed(self, **changes: Any) -> Settings:
        """A copy with these fields replaced.

        Raises:
            ArgumentError: on an unknown field, with the nearest ones.
        """
        names = [entry.name for entry in fields(Settings)]
        for name in changes:
            if name not in names:
                near = get_close_matches(name, names, 3) or names
                raise ArgumentError("unknown setting", found=repr(name), expected=" or ".join(near))
        return replace(self, **changes)

    def check(self) -> None:
        """Refuse, before any training, what no part of the training would.

        Raises:
            ArgumentError: naming the setting.
        """
        for entry in fields(self):
            value = getattr(self, entry.name)
            for number in value if isinstance(value, tuple | list) else (value,):
                if isinstance(number, float) and not isfinite(number):
                    raise ArgumentError("invalid setting", where=entry.name, found=number, expected="a finite number")
        for name, low in (("epochs", 1), ("steps", 0), ("batch", 1), ("warmup", 0)):
            if getattr(self, name) < low:
                raise ArgumentError("invalid setting", where=name, found=getattr(self, name), expected=f"{low} or more")
        if self.mixup < 0:
            raise ArgumentError("invalid setting", where="mixup", found=self.mixup, expected="0 (none) or more")
        if self.compiler and self.compiler not in torch.compiler.list_backends(exclude_tags=()):
            usual = torch.compiler.list_backends()
            near = get_close_matches(self.compiler, usual, 3) or usual
            raise ArgumentError(
                "unknown backend of torch.compile", found=repr(self.compiler), expected=" or ".join(near)
            )
        self.factor(1)(0, 1)  # an unknown schedule, milestones that do not ascend

    def factor(self, per_epoch: int) -> Schedule:
        """The schedule as a function of (step, total), for so many steps in an epoch."""
        return partial(
            lr_factor,
            self.schedule,
            warmup=self.warmup,
            milestones=self.milestones,
            gamma=self.gamma,
            power=self.power,
            every=self.every * per_epoch,
        )
