"""Half precision: a number trained and stored as IEEE binary16, the simplest way to halve biases and codebooks.

Forward, each number is rounded to the nearest binary16 value, ties to even; backward, the gradient passes unchanged
to a 32-bit original (straight-through: Bengio, Leonard, Courville, 2013, arXiv 1308.3432).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from paring.forms import Dense
from paring.parametrize._select import FormParametrization, attach, parametrization, places, select


class _RoundHalf(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.half().to(x.dtype)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        return grads[0]


def round_half(x: Tensor) -> Tensor:
    """``x`` rounded to binary16 and back, any shape; the gradient is that of the identity."""
    return _RoundHalf.apply(x)


class Half(FormParametrization):
    """``weight = round_half(original)``."""

    kind = "half"

    @classmethod
    def blank(cls, shape: tuple[int, ...]) -> Half:
        """One to load a state into."""
        return cls()

    def options(self) -> dict[str, int]:
        return {}

    def forward(self, original: Tensor) -> Tensor:
        """The weight, of ``original``'s shape."""
        return round_half(original)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """A weight is its own original."""
        return weight

    def form(self, original: Tensor) -> Dense:
        return Dense(original.numpy(force=True), 16)


def halve(module: nn.Module, patterns: Iterable[str] = ("*.bias",)) -> list[str]:
    """Round the selected parameters to half precision from now on; those that already have a form are left alone.

    Returns:
        names of the parameters changed.

    Raises:
        ArgumentError: if a pattern matches nothing.
    """
    there = places(module)
    changed = [name for name in select(module, dict.fromkeys(patterns, True)) if not parametrization(there[name])]
    for name in changed:
        attach(there[name], Half())
    return changed
