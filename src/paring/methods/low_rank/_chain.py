"""The chain of small layers that takes a factorized layer's place: shapes, costs and modules.

A stage convolves along some of the layer's axes and is a 1x1 along the others, so that every axis' stride, padding and
dilation belong to exactly one stage. That keeps the chain exact: no stage but the last has a bias, so a zero that is
padded between two stages is what they would have made of zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from paring.errors import ArgumentError

#: Every scheme.
SCHEMES = ("svd", "spatial", "tucker", "cp")
Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


class Stage(NamedTuple):
    """One layer of a chain.

    Attributes:
        shape: of its weight, ``(out, in / groups, ...)``.
        groups: of the convolution.
        axes: the spatial axes along which it convolves, strides and pads.
    """

    shape: tuple[int, ...]
    groups: int
    axes: frozenset[int]


class Sizes(NamedTuple):
    """A layer in numbers.

    Attributes:
        groups: convolution groups.
        out: output channels of a group.
        into: input channels of a group.
        kernel: sides; empty for a fully connected layer.
        stride: along each side.
    """

    groups: int
    out: int
    into: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]


def sizes(layer: Layer) -> Sizes:
    """The numbers that shapes and costs depend on."""
    if isinstance(layer, nn.Linear):
        return Sizes(1, layer.out_features, layer.in_features, (), ())
    groups = layer.groups
    return Sizes(groups, layer.out_channels // groups, layer.in_channels // groups, layer.kernel_size, layer.stride)


def obstacle(scheme: str, layer: Layer) -> str:
    """Why this layer cannot take the scheme; empty if it can."""
    s = sizes(layer)
    if scheme == "svd":
        return "a group with one output has nothing to factorize" if s.out == 1 else ""
    if len(s.kernel) != 2 and not (scheme == "tucker" and s.kernel):
        return f"{scheme} needs a {'convolution' if scheme == 'tucker' else 'two-dimensional kernel'}"
    if prod(s.kernel) == 1:
        return "a 1x1 convolution is a matrix: use svd"
    if scheme == "spatial" and min(s.kernel) == 1:
        return "the kernel is one-dimensional already"
    if scheme in ("tucker", "cp") and min(s.out, s.into) == 1:
        return f"{scheme} mixes channels, and a group has only one"
    return ""


def largest(scheme: str, s: Sizes) -> tuple[int, ...]:
    """The ranks at which nothing is lost (for CP, at which nothing needs to be)."""
    if scheme == "svd":
        return (min(s.out, s.into * prod(s.kernel)),)
    if scheme == "spatial":
        return (min(s.into * s.kernel[0], s.out * s.kernel[1]),)
    if scheme == "tucker":
        return (s.into, s.out)
    volume = (s.out, s.into, *s.kernel)
    return (prod(volume) // max(volume),)


def stages(scheme: str, s: Sizes, ranks: Sequence[int]) -> list[Stage]:
    """The chain's layers in order; ranks are those of one group."""
    g, every = s.groups, frozenset(range(len(s.kernel)))
    ones, none = (1,) * len(s.kernel), frozenset[int]()
    r = ranks[0]
    if scheme == "svd":
        return [Stage((g * r, s.into, *s.kernel), g, every), Stage((g * s.out, r, *ones), g, none)]
    if scheme == "tucker":
        p, q = ranks
        return [
            Stage((g * p, s.into, *ones), g, none),
            Stage((g * q, p, *s.kernel), g, every),
            Stage((g * s.out, q, *ones), g, none),
        ]
    high, wide = s.kernel
    if scheme == "spatial":
        return [
            Stage((g * r, s.into, high, 1), g, frozenset({0})),
            Stage((g * s.out, r, 1, wide), g, frozenset({1})),
        ]
    return [
        Stage((g * r, s.into, 1, 1), g, none),
        Stage((g * r, 1, high, 1), g * r, frozenset({0})),
        Stage((g * r, 1, 1, wide), g * r, frozenset({1})),
        Stage((g * s.out, r, 1, 1), g, none),
    ]


def parameters(chain: Sequence[Stage]) -> int:
    """Weights of all stages, biases left out."""
    return sum(prod(stage.shape) for stage in chain)


def macs(chain: Sequence[Stage], stride: Sequence[int]) -> int:
    """Products for each output position of the whole layer: a stage before a stride runs that much oftener.

    The borders, where a stage's map is a little larger than stride times the next one's, are left out.
    """
    ahead, total = set(range(len(stride))), 0
    for stage in chain:
        ahead -= stage.axes
        total += prod(stage.shape) * prod(stride[axis] for axis in ahead)
    return total


def own_stage(s: Sizes) -> Stage:
    """The layer itself as a chain of one."""
    return Stage((s.groups * s.out, s.into, *s.kernel), s.groups, frozenset(range(len(s.kernel))))


def blank_chain(layer: Layer, scheme: str, ranks: Sequence[int]) -> nn.Sequential:
    """The chain with fresh random weights, on the layer's device, in its dtype and mode."""
    s = sizes(layer)
    made = [_module(layer, stage) for stage in stages(scheme, s, ranks)]
    last = made[-1]
    if layer.bias is not None:
        last.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=layer.bias.requires_grad)
    chain = nn.Sequential(*made).to(device=layer.weight.device, dtype=layer.weight.dtype)
    chain.requires_grad_(layer.weight.requires_grad)
    return chain.train(layer.training)


def fill(chain: nn.Sequential, weights: Sequence[np.ndarray], bias: np.ndarray | None) -> None:
    """Put weights, each of its stage's shape, and the last stage's bias into a chain."""
    with torch.no_grad():
        for module, weight in zip(chain, weights, strict=True):
            assert isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))
            module.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)).view_as(module.weight))
        if bias is not None:
            last = chain[-1]
            assert isinstance(last, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))
            if last.bias is None:
                last.bias = nn.Parameter(
                    torch.empty(len(last.weight), device=last.weight.device, dtype=last.weight.dtype)
                )
            last.bias.copy_(torch.from_numpy(bias))


def _module(layer: Layer, stage: Stage) -> Layer:
    if isinstance(layer, nn.Linear):
        return nn.Linear(stage.shape[1], stage.shape[0], bias=False)
    count = len(stage.shape) - 2
    padding: Any = layer.padding
    if not isinstance(padding, str):
        padding = tuple(padding[a] if a in stage.axes else 0 for a in range(count))
    elif padding == "same" and not stage.axes:
        padding = 0
    return type(layer)(
        stage.shape[1] * stage.groups,
        stage.shape[0],
        stage.shape[2:],  # type: ignore[arg-type]
        stride=tuple(layer.stride[a] if a in stage.axes else 1 for a in range(count)),  # type: ignore[arg-type]
        padding=padding,  # type: ignore[arg-type]
        dilation=tuple(layer.dilation[a] if a in stage.axes else 1 for a in range(count)),  # type: ignore[arg-type]
        groups=stage.groups,
        bias=False,
        padding_mode=layer.padding_mode if stage.axes else "zeros",
    )


def check_ranks(scheme: str, s: Sizes, ranks: Sequence[int], where: str) -> tuple[int, ...]:
    """The ranks as integers.

    Raises:
        ArgumentError: if there are not as many as the scheme takes, or one is out of range.
    """
    most = largest(scheme, s)
    good = len(ranks) == len(most) and all(
        isinstance(r, int) and 1 <= r <= limit for r, limit in zip(ranks, most, strict=False)
    )
    if not good:
        raise ArgumentError("invalid ranks", where=where, found=tuple(ranks), expected=f"1 to {most} for {scheme}")
    return tuple(ranks)
