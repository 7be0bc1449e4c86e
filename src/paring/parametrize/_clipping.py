"""What training with binary weights does to the real ones between two steps: clip them, or center and clip them.

BinaryConnect and Binarized Neural Networks (arXiv 1511.00363, 1602.02830) clip after each update, because a real weight
far outside of [-H, H] has no more effect than one at the edge and would take long to come back. The code of XNOR-Net's
authors (arXiv 1603.05279) also takes from each filter its mean over the input channels, position by position.

:func:`paring.training.run`, and with it ``paring train`` and every recipe, does this by itself, before the first step
and after each; a loop of one's own calls one of these functions there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.layers import BinaryConv2d, BinaryLinear
from paring.parametrize._select import Place, parametrization, places


def clip_weights(module: nn.Module) -> int:
    """Clip the real weights behind all binary ones, in place: to [-H, H] under BinaryConnect, else to [-1, 1].

    Returns:
        number of weights (tensors) that are binary.

    Raises:
        ArgumentError: if there is none.
    """
    return _each(module, center=False)


def center_and_clip_weights(module: nn.Module) -> int:
    """The same, but filters that have an alpha (BWN, XNOR-Net) first lose their mean over the input channels.

    A filter over one channel is not centered: nothing would be left of it. Result and errors as :func:`clip_weights`.
    """
    return _each(module, center=True)


def between_steps(module: nn.Module) -> Callable[[], None] | None:
    """What to call before the first training step and after each: centers and clips the binary weights that train.

    None where there are none. A weight that is frozen stays as it is.
    """
    trained = [found for found in _binary(module) if found.weight.requires_grad]

    def apply() -> None:
        for one in trained:
            one.apply(center=True)

    return apply if trained else None


@dataclass(frozen=True)
class _Binary:
    """A weight that is binary, how to clip it, and whether it has a scale for each filter."""

    place: Place
    clip: Callable[[Tensor], Tensor]
    scaled: bool

    @property
    def weight(self) -> Tensor:
        """The real one."""
        owner: Any = self.place.module
        if parametrization(self.place) is None:
            return owner.weight
        return owner.parametrizations[self.place.tensor].original

    @torch.no_grad()
    def apply(self, center: bool) -> None:
        weight = self.weight
        if center and self.scaled and weight.shape[1] > 1:
            weight.sub_(weight.mean(1, keepdim=True))
        weight.copy_(self.clip(weight))


def _binary(module: nn.Module) -> list[_Binary]:
    found = []
    for place in places(module).values():
        form = parametrization(place)
        clip: Callable[[Tensor], Tensor] | None = getattr(form, "clipped", None)  # a form that is binary has it
        if clip is not None:
            found.append(_Binary(place, clip, getattr(form, "centered", False)))
        elif form is None and place.tensor == "weight" and isinstance(place.module, BinaryConv2d | BinaryLinear):
            found.append(_Binary(place, _to_one, place.module.alpha))
    return found


def _each(module: nn.Module, center: bool) -> int:
    found = _binary(module)
    if not found:
        raise ArgumentError(
            "network has no binary weight", expected="binary_connect, binarize_weights or binarize first"
        )
    for one in found:
        one.apply(center)
    return len(found)


def _to_one(weight: Tensor) -> Tensor:
    return weight.clamp(-1, 1)
