"""What forms that round a real weight in every forward pass have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.layers import BinaryConv2d, BinaryLinear
from paring.parametrize._select import Place, parametrization, places, select

T = TypeVar("T")


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, original: Tensor, made: Tensor) -> Tensor:
        return made

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def straight_through(original: Tensor, made: Tensor) -> Tensor:
    """``made``, whose gradient passes unchanged to ``original`` (Bengio, Leonard, Courville 2013, arXiv 1308.3432)."""
    return _StraightThrough.apply(original, made)


def formless(module: nn.Module, targets: Mapping[str, T]) -> dict[str, tuple[Place, T]]:
    """The places and targets of the selected weights, none of which may have a form or be binary already.

    Raises:
        ArgumentError: if one has or is, or a pattern matches nothing.
    """
    there = places(module)
    found = {name: (there[name], target) for name, target in select(module, targets).items()}
    for name, (place, _) in found.items():
        form = parametrization(place)
        if form is not None:
            raise ArgumentError(
                f"weight is already {form.kind}", where=name, fix="Bake it first: paring.parametrize.detach"
            )
        if place.tensor == "weight" and isinstance(place.module, BinaryConv2d | BinaryLinear):
            raise ArgumentError("layer is binary by itself", where=name, found=type(place.module).__name__)
    return found
