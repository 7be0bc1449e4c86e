"""Two linear layers in a row as one: fully connected ones, and convolutions that do not both spread along an axis."""

from __future__ import annotations

from itertools import product
from math import gcd
from typing import cast

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def merge_layers(first: nn.Module, second: nn.Module) -> Layer:
    """One layer that computes ``second(first(x))``.

    ``W = W2 W1, b = W2 b1 + b2``, the products over the channels between; kernels are combined axis by axis, of which
    at most one of the layers may have more than a side of 1. Groups become the greatest common divisor of both.
    Computed in float64 and rounded once.

    Args:
        first: Linear or Conv1d to 3d; unchanged.
        second: of the same kind, taking what the first gives; unchanged.

    Raises:
        ArgumentError: where one layer of this kind cannot compute the two exactly: a bias in front of padding, strides
            in front of a kernel, two kernels along one axis, transposed convolutions.
    """
    if isinstance(first, nn.Linear) and isinstance(second, nn.Linear):
        if first.out_features != second.in_features:
            raise _refusal("the layers do not fit", f"{first.out_features} outputs, {second.in_features} inputs")
        weight = second.weight.detach().double() @ first.weight.detach().double()
        made: Layer = nn.Linear(first.in_features, second.out_features, _biased(first, second))
        return _filled(made, first, second, weight, second.weight.detach().double())
    if not isinstance(first, _CONVOLUTIONS) or type(first) is not type(second):
        raise _refusal("these layers cannot be merged", f"{type(first).__name__} and {type(second).__name__}")
    if first.out_channels != second.in_channels:
        raise _refusal("the layers do not fit", f"{first.out_channels} channels, {second.in_channels} expected")
    return _merged_convolutions(cast(nn.Conv2d, first), cast(nn.Conv2d, second))


def _merged_convolutions(first: nn.Conv2d, second: nn.Conv2d) -> Layer:
    pads = _padding(first), _padding(second)
    axes = range(len(first.kernel_size))
    if first.bias is not None and any(pads[1]) and second.padding_mode == "zeros":
        raise _refusal("a bias in front of zero padding: the border would differ", f"padding {pads[1]}")
    stride, padding, dilation = [], [], []
    for a in axes:
        if second.kernel_size[a] == 1 and not pads[1][a]:
            stride.append(first.stride[a] * second.stride[a])
            padding.append(pads[0][a])
            dilation.append(first.dilation[a])
        elif first.kernel_size[a] == 1 and first.stride[a] == 1:
            if pads[0][a] and pads[1][a] and {first.padding_mode, second.padding_mode} != {"zeros"}:
                raise _refusal("both layers pad along one axis", f"{first.padding_mode}, {second.padding_mode}")
            stride.append(second.stride[a])
            padding.append(pads[0][a] + pads[1][a])
            dilation.append(second.dilation[a])
        else:
            raise _refusal(
                "both layers spread along one axis, so one layer would need a larger kernel and differ at the border",
                f"kernels {first.kernel_size} and {second.kernel_size}, strides {first.stride} and {second.stride}",
            )
    modes = {layer.padding_mode for layer, pad in zip((first, second), pads, strict=True) if any(pad)}
    if len(modes) > 1:
        raise _refusal("the layers pad in different ways", " and ".join(sorted(modes)))
    groups = gcd(first.groups, second.groups)
    inner, outer = _blocks(first, groups), _blocks(second, groups)
    kernel = tuple(max(first.kernel_size[a], second.kernel_size[a]) for a in axes)
    weight = torch.zeros(groups, outer.shape[1], inner.shape[2], *kernel, dtype=torch.float64, device=inner.device)
    for one in product(*map(range, first.kernel_size)):
        for other in product(*map(range, second.kernel_size)):
            at = tuple(map(sum, zip(one, other, strict=True)))
            weight[_at(at)] += outer[_at(other)] @ inner[_at(one)]
    made = type(first)(
        first.in_channels,
        second.out_channels,
        kernel,  # type: ignore[arg-type]
        stride=tuple(stride),  # type: ignore[arg-type]
        padding=tuple(padding),  # type: ignore[arg-type]
        dilation=tuple(dilation),  # type: ignore[arg-type]
        groups=groups,
        bias=_biased(first, second),
        padding_mode=modes.pop() if modes else "zeros",
    )
    summed = torch.block_diag(*outer.flatten(3).sum(3))
    return _filled(made, first, second, weight.flatten(0, 1), summed)


def _at(place: tuple[int, ...]) -> tuple[slice | int, ...]:
    """One place of the kernel in ``(groups, out, in, *kernel)``."""
    return (slice(None), slice(None), slice(None), *place)


def _filled(made: Layer, first: Layer, second: Layer, weight: Tensor, through: Tensor) -> Layer:
    """The merged layer with its numbers; ``through`` ``(out, between)`` is what the second does to a constant."""
    like = second.weight.detach()
    made = made.to(device=like.device, dtype=like.dtype).train(second.training)
    with torch.no_grad():
        made.weight.copy_(weight)
        if made.bias is not None:
            bias = torch.zeros(len(through), dtype=torch.float64, device=like.device)
            if first.bias is not None:
                bias += through @ first.bias.detach().double()
            if second.bias is not None:
                bias += second.bias.detach().double()
            made.bias.copy_(bias)
    return made


def _biased(first: Layer, second: Layer) -> bool:
    return first.bias is not None or second.bias is not None


def _blocks(layer: nn.Conv2d, groups: int) -> Tensor:
    """The weight, float64, as ``groups`` dense blocks ``(groups, out / groups, in / groups, ...)``."""
    weight = layer.weight.detach().double()
    inside = layer.groups // groups
    parts = weight.unflatten(0, (groups, inside, -1))  # (groups, inside, out, in, ...)
    _, _, out, into, *kernel = parts.shape
    dense = weight.new_zeros(groups, inside, out, inside, into, *kernel)
    for number in range(inside):
        dense[:, number, :, number] = parts[:, number]
    return dense.reshape(groups, inside * out, inside * into, *kernel)


def _padding(layer: nn.Conv2d) -> tuple[int, ...]:
    if not isinstance(layer.padding, str):
        return tuple(layer.padding)
    if layer.padding == "valid":
        return (0,) * len(layer.kernel_size)
    whole = [d * (k - 1) for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
    if any(side % 2 for side in whole):
        raise _refusal("padding that is wider on one side cannot be merged", f"kernel {layer.kernel_size}, 'same'")
    return tuple(side // 2 for side in whole)


def _refusal(what: str, found: str) -> ArgumentError:
    return ArgumentError(what, found=found)
