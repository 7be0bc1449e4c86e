"""What training with binary weights does to the real ones between two steps: clip them, or center and clip them.

BinaryConnect and Binarized Neural Networks (arXiv 1511.00363, 1602.02830) clip after each update, because a real weight
far outside of [-H, H] has no more effect than one at the edge and would take long to come back. The code of XNOR-Net's
authors (arXiv 1603.05279) also takes from each filter its mean over the input channels, position by position.

    run(network, ..., after_step=lambda step: clip_weights(network))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.layers import BinaryConv2d, BinaryLinear
from paring.parametrize import places
from paring.parametrize._select import parametrization


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


@torch.no_grad()
def _each(module: nn.Module, center: bool) -> int:
    count = 0
    for place in places(module).values():
        form = parametrization(place)
        clip: Callable[[Tensor], Tensor] | None = getattr(form, "clipped", None)  # a form that is binary has it
        if clip is not None:
            scaled = getattr(form, "centered", False)
        elif form is None and place.tensor == "weight" and isinstance(place.module, BinaryConv2d | BinaryLinear):
            scaled, clip = place.module.alpha, _to_one
        else:
            continue
        owner: Any = place.module
        weight = owner.weight if form is None else owner.parametrizations[place.tensor].original
        if center and scaled and weight.shape[1] > 1:
            weight.sub_(weight.mean(1, keepdim=True))
        weight.copy_(clip(weight))
        count += 1
    if not count:
        raise ArgumentError(
            "network has no binary weight", expected="binary_connect, binarize_weights or binarize first"
        )
    return count


def _to_one(weight: Tensor) -> Tensor:
    return weight.clamp(-1, 1)
