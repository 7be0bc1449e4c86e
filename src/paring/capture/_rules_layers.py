"""Lowering rules of layers: products and normalization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from paring.capture._lower import Const, Lowering, Value, rule
from paring.capture._program import BATCH
from paring.capture._values import advice
from paring.capture._view import whole


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of torch's one, ``[one]`` or ``[height, width]``."""
    values = [value] if isinstance(value, int) else [int(v) for v in value]
    return (values[0], values[-1])


def along_width(value: int | Sequence[int], height: int) -> tuple[int, int]:
    """A one-dimensional argument as (height, width)."""
    return (height, pair(value)[1])


def around(padding: Sequence[int]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of symmetric padding."""
    return (padding[0], padding[0], padding[1], padding[1])


# --- products -----------------------------------------------------------------------------------------------------


@rule("conv2d")
def conv2d(
    low: Lowering,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    """Cross-correlation of maps; ``padding`` may be "same" or "valid"."""
    weight = low.expect_const(weight, "convolution weight")
    kernel, dilation, stride = weight.tensor.shape[2:], pair(dilation), pair(stride)
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, kernel, strict=True)]
        sides = (total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)
    else:
        sides = around(pair(padding))
    if isinstance(x, Value) and x.picked is not None:
        x, weight, groups = _unpicked(low, x, weight, int(groups))
    if bias is None and dilation == (1, 1) and _is_box(weight, int(groups)):
        return _box(low, x, tuple(kernel), stride, sides)
    name = low.map(x)
    weights: dict[str, Any] = {"weight": weight}
    if bias is not None:
        weights["bias"] = low.expect_const(bias, "convolution bias")
    if len(low.shapes[name]) == 1:  # a vector seen as a 1x1 map
        if tuple(kernel) != (1, 1) or any(sides) or groups != 1:
            raise low.refusal("convolution of a vector", found=f"kernel {tuple(kernel)}", expected="1x1, one group")
        weights["weight"] = replace(weight, tensor=weight.tensor.flatten(1))
        return low.plain(low.emit("linear", [name], weights=weights), len(x.dims))
    attrs = {"stride": stride, "padding": sides, "dilation": dilation, "groups": int(groups)}
    return low.plain(low.emit("conv2d", [name], attrs, weights), len(x.dims))


def _is_box(weight: Const, groups: int) -> bool:
    """Whether a constant that is no parameter averages over its window, channel by channel (XNOR-Net's K)."""
    out, fan, *kernel = weight.tensor.shape
    if weight.name is not None or fan != 1 or out != groups:
        return False
    return torch.equal(weight.tensor, torch.full_like(weight.tensor, 1 / (kernel[0] * kernel[1])))


def _box(low: Lowering, x: Any, kernel: tuple[int, ...], stride: tuple[int, int], sides: tuple[int, ...]) -> Value:
    name = low.map(x)
    if kernel == (1, 1) == stride and not any(sides):
        return low.plain(name, x.ndim)
    attrs = {"kernel": kernel, "stride": stride, "padding": sides}
    return low.plain(low.emit("avg_pool", [name], attrs), x.ndim)


def _unpicked(low: Lowering, x: Value, weight: Const, groups: int) -> tuple[Value, Const, int]:
    """The layer on all channels, its weight zero for those the index did not pick."""
    assert x.picked is not None
    out, fan, *kernel = weight.tensor.shape
    rows = x.picked.view(groups, fan).repeat_interleave(out // groups, 0)
    full = weight.tensor.new_zeros(out, low.shapes[x.name][-1], *kernel)
    full.scatter_add_(1, rows[:, :, None, None].expand_as(weight.tensor), weight.tensor.detach())
    return low.plain(x.name, x.ndim), replace(weight, tensor=full, entries=weight.tensor.numel()), 1


@rule("conv1d")
def conv1d(
    low: Lowering,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    """A convolution along the width of maps of height 1."""
    weight = low.expect_const(weight, "convolution weight")
    flat = replace(weight, tensor=weight.tensor.unsqueeze(2))
    if not isinstance(padding, str):
        padding = along_width(padding, 0)
    return conv2d(low, x, flat, bias, along_width(stride, 1), padding, along_width(dilation, 1), groups)


@rule("conv_transpose2d")
def conv_transpose2d(
    low: Lowering,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Value:
    """The gradient of conv2d by its input."""
    weights: dict[str, Any] = {"weight": low.expect_const(weight, "convolution weight")}
    if weights["weight"].tensor.ndim != 4:
        raise low.refusal("three-dimensional transposed convolution has no counterpart in a graph")
    if bias is not None:
        weights["bias"] = low.expect_const(bias, "convolution bias")
    attrs: dict[str, Any] = {
        "stride": pair(stride),
        "padding": around(pair(padding)),
        "output_padding": pair(output_padding),
    }
    attrs |= {"dilation": pair(dilation), "groups": int(groups)}
    return low.plain(low.emit("conv_transpose2d", [low.map(x)], attrs, weights), x.ndim)


@rule("conv_transpose1d")
def conv_transpose1d(
    low: Lowering,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Value:
    """The same along the width of maps of height 1."""
    weight = low.expect_const(weight, "convolution weight")
    flat = replace(weight, tensor=weight.tensor.unsqueeze(2))
    sides = (along_width(padding, 0), along_width(output_padding, 0), groups, along_width(dilation, 1))
    return conv_transpose2d(low, x, flat, bias, along_width(stride, 1), *sides)


@rule("convolution", "_convolution")
def convolution(
    low: Lowering,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    *flags: bool,
) -> Value:
    """Either of the above, as torch's dispatcher names it."""
    if transposed:
        given = (low, x, weight, bias, stride, padding, output_padding, groups, dilation)
        one_axis = low.expect_const(weight, "convolution weight").tensor.ndim == 3
        return conv_transpose1d(*given) if one_axis else conv_transpose2d(*given)
    axes = low.expect_const(weight, "convolution weight").tensor.ndim - 2
    if axes not in (1, 2):
        raise low.refusal(f"{axes}-dimensional convolution has no counterpart in a graph")
    return (conv1d if axes == 1 else conv2d)(low, x, weight, bias, stride, padding, dilation, groups)


@rule("linear")
def linear(low: Lowering, x: Any, weight: Any, bias: Any = None) -> Value:
    """A product with a vector, or with the channels of every pixel where those are the last axis."""
    weight = low.expect_const(weight, "weight of a fully connected layer")
    weights: dict[str, Any] = {"weight": weight}
    if bias is not None:
        weights["bias"] = low.expect_const(bias, "bias of a fully connected layer")
    low.expect_value(x)
    if len(x.dims) == 2:
        return low.plain(low.emit("linear", [low.vector(x)], weights=weights), 2)
    if len(low.shapes[x.name]) == 3 and all(atom.axis == "c" for atom in x.dims[-1]):
        weights["weight"] = replace(weight, tensor=weight.tensor[:, :, None, None])
        name = low.emit("conv2d", [low.ordered(x, x.dims[-1])], weights=weights)
        return Value(name, (*x.dims[:-1], whole("c", weight.tensor.shape[0])))
    raise low.refusal("fully connected layer along an axis that is not the channels", found=low.described(x))


def _turned(low: Lowering, weight: Any) -> Const:
    weight = low.expect_const(weight, "right factor of a matrix product")
    if weight.tensor.ndim != 2:
        raise low.refusal("matrix product with more than two axes", found=tuple(weight.tensor.shape))
    return Const(weight.tensor.t(), weight.flipped, weight.name, weight.origin)


@rule("matmul", "mm")
def matmul(low: Lowering, x: Any, weight: Any) -> Value:
    """``x @ w`` with a constant ``w``."""
    return linear(low, x, _turned(low, weight))


@rule("addmm")
def addmm(low: Lowering, bias: Any, x: Any, weight: Any, *, beta: float = 1, alpha: float = 1) -> Value:
    """``bias + x @ w`` with constant ``bias`` and ``w``."""
    if (beta, alpha) != (1, 1):
        raise low.refusal("addmm with factors", found=(beta, alpha), expected=(1, 1))
    return linear(low, x, _turned(low, weight), bias)


# --- normalization ------------------------------------------------------------------------------------------------


@rule("batch_norm")
def batch_norm(
    low: Lowering,
    x: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    *flags: bool,
) -> Value:
    """``scale = weight / sqrt(var + eps)``, ``shift = bias - mean * scale``, computed in float64."""
    if isinstance(x, Value) and x.dims[0] != whole("n", BATCH):  # so torch's dispatcher sees it: images as channels
        raise low.refusal("operator 'instance_norm' has no counterpart in a graph", fix=advice("instance_norm"))
    if training or running_mean is None:
        raise low.refusal(
            "batch norm uses the statistics of the batch",
            fix="Keep running statistics (track_running_stats=True) and capture in eval mode",
        )
    mean, var = (low.expect_const(s, "statistics").tensor.double() for s in (running_mean, running_var))
    scale = torch.rsqrt(var + eps)
    if weight is not None:
        scale = scale * low.expect_const(weight, "scale").tensor.double()
    shift = -mean * scale
    if bias is not None:
        shift = shift + low.expect_const(bias, "shift").tensor.double()
    name = low.canonical(x)
    return low.plain(low.emit("scale_shift", [name], weights={"scale": Const(scale), "shift": Const(shift)}), x.ndim)


@rule("native_batch_norm", "cudnn_batch_norm", "_batch_norm_with_update")
def native_batch_norm(low: Lowering, *args: Any) -> tuple[Value]:
    """As torch's dispatcher names it."""
    return (batch_norm(low, *args),)


@rule("_native_batch_norm_legit_no_training")
def batch_norm_eval(low: Lowering, x: Any, w: Any, b: Any, mean: Any, var: Any, momentum: float, eps: float) -> Any:
    """As torch's decompositions name it."""
    return (batch_norm(low, x, w, b, mean, var, False, momentum, eps),)


@rule("local_response_norm")
def local_response_norm(low: Lowering, x: Any, size: int, alpha: float, beta: float, k: float) -> Value:
    """Found by :mod:`paring.capture._patterns`; ``alpha`` is divided by ``size`` as in torch and Caffe."""
    attrs = {"size": int(size), "alpha": float(alpha), "beta": float(beta), "k": float(k)}
    return low.plain(low.emit("lrn", [low.canonical(x)], attrs), x.ndim)
