"""Batch normalization as formulas, and folding it into a neighboring layer where that is exact.

Ioffe, Szegedy, ICML 2015, arXiv 1502.03167, algorithms 1 and 2. Per channel, over N values of a batch, ``s = sqrt(var +
eps)``:

    training   xh = (x - mean) / s,  y = gamma xh + beta                          var with divisor N
    use        mean and var are running averages                                  var with divisor N - 1
    backward   dx = gamma / (N s) * (N dy - sum dy - xh * sum(dy xh)),  dgamma = sum(dy xh),  dbeta = sum dy
    folded     W' = W gamma / s,  b' = beta + (b - mean) gamma / s                batch norm behind the layer
    absorbed   W' = W gamma / s,  b' = b + sum W (beta - mean gamma / s)          batch norm in front of the layer
"""

from __future__ import annotations

import copy
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from paring.errors import ArgumentError

Layer = TypeVar("Layer", bound=nn.Linear | _ConvNd)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class BatchNormCache(NamedTuple):
    """What the backward pass needs: normalized values, scale, and the standard deviation per channel."""

    normalized: Tensor
    gamma: Tensor
    deviation: Tensor


def batch_norm_forward(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> tuple[Tensor, BatchNormCache]:
    """Batch norm in training: ``y = gamma (x - mean) / sqrt(var + eps) + beta`` (algorithm 1).

    Args:
        x: (N, C) or (N, C, ...) values; mean and variance go over all axes but the second.
        gamma: (C,) scale.
        beta: (C,) shift.
        eps: added to the variance.

    Returns:
        ``y`` of the shape of ``x``, and what :func:`batch_norm_backward` takes.
    """
    axes = _axes(x)
    mean = x.mean(axes, keepdim=True)
    deviation = ((x - mean).square().mean(axes, keepdim=True) + eps).sqrt()
    normalized = (x - mean) / deviation
    return _column(gamma, x) * normalized + _column(beta, x), BatchNormCache(normalized, gamma, deviation.flatten())


def batch_norm_backward(dy: Tensor, cache: BatchNormCache) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients ``dx, dgamma, dbeta`` of a loss, given its gradient ``dy`` by the output (section 3)."""
    normalized, gamma, deviation = cache
    axes = _axes(dy)
    count = dy.numel() // dy.shape[1]
    dgamma, dbeta = (dy * normalized).sum(axes), dy.sum(axes)
    inner = count * dy - _column(dbeta, dy) - normalized * _column(dgamma, dy)
    return _column(gamma / (count * deviation), dy) * inner, dgamma, dbeta


def fold_batch_norm(layer: Layer, norm: nn.Module) -> Layer:
    """One layer that computes ``norm(layer(x))`` as in use; grouped, depthwise and transposed convolutions included.

    Args:
        layer: Linear, Conv1d to 3d or ConvTranspose1d to 3d; unchanged.
        norm: the batch norm behind it, with running statistics; unchanged.

    Returns:
        A new layer of the same kind, always with a bias.

    Raises:
        ArgumentError: where the result would not be exact: the norm has no running statistics or other channels.
    """
    _check_layer(layer)
    scale, shift = scale_and_shift(norm)
    out = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    _check_channels(norm, len(scale), out)
    weight = layer.weight.detach().to(torch.float64)
    bias = torch.zeros(len(scale), dtype=torch.float64) if layer.bias is None else layer.bias.detach().to(torch.float64)
    if (
        isinstance(layer, _ConvNd) and layer.transposed
    ):  # (in, out / groups, ...): the output channel is (group of the input, column)
        grouped = weight.unflatten(0, (layer.groups, -1))
        columns = scale.view(layer.groups, 1, -1, *[1] * (weight.ndim - 2))
        weight = (grouped * columns).flatten(0, 1)
    else:
        weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
    return _rebuilt(layer, weight, bias * scale + shift)


def absorb_batch_norm(norm: nn.Module, layer: Layer) -> Layer:
    """One layer that computes ``layer(norm(x))`` as in use.

    Raises:
        ArgumentError: where the result would not be exact. A convolution that pads with zeros sees zeros at the
            border, not the norm's shift of zero, so it must not pad unless every channel's shift is 0; a transposed
            convolution is never exact at its borders.
    """
    _check_layer(layer)
    scale, shift = scale_and_shift(norm)
    groups = layer.groups if isinstance(layer, _ConvNd) else 1
    transposed = isinstance(layer, _ConvNd) and layer.transposed
    _check_channels(norm, len(scale), layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels)
    shifted = bool((shift != 0).any())
    if shifted and (transposed or _pads(layer)):
        raise ArgumentError(
            "a batch norm cannot be folded into a layer that pads behind it: the border would differ",
            found=type(layer).__name__,
            expected="no padding, or a shift of zero",
            fix="Keep it as a scale and a shift per channel",
        )
    weight = layer.weight.detach().to(torch.float64)
    tail = [1] * (weight.ndim - 2)
    if isinstance(layer, _ConvNd) and transposed:
        folded, extra = weight * scale.view(-1, 1, *tail), torch.zeros(layer.out_channels, dtype=torch.float64)
    else:
        grouped = weight.unflatten(0, (groups, -1))  # (groups, out / groups, in / groups, ...)
        folded = (grouped * scale.view(groups, 1, -1, *tail)).flatten(0, 1)
        extra = (grouped * shift.view(groups, 1, -1, *tail)).flatten(2).sum(2).flatten()
    bias = extra if layer.bias is None else layer.bias.detach().to(torch.float64) + extra
    return _rebuilt(layer, folded, bias)


def scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """What a batch norm is in use: ``y = x scale + shift`` per channel, both (C,) float64.

    Raises:
        ArgumentError: if ``norm`` is no batch norm, or keeps no running statistics (it then depends on the batch).
    """
    if not isinstance(norm, _NORMS):
        raise ArgumentError("not a batch norm", found=type(norm).__name__)
    if norm.running_mean is None or norm.running_var is None:
        raise ArgumentError(
            "a batch norm without running statistics cannot be folded: its output depends on the batch",
            fix="Build it with track_running_stats=True",
        )
    scale = 1 / (norm.running_var.detach().to(torch.float64) + norm.eps).sqrt()
    if norm.affine:
        scale = scale * norm.weight.detach().to(torch.float64)
    shift = -norm.running_mean.detach().to(torch.float64) * scale
    if norm.affine:
        shift = shift + norm.bias.detach().to(torch.float64)
    return scale, shift


def _rebuilt(layer: Layer, weight: Tensor, bias: Tensor) -> Layer:
    folded = copy.deepcopy(layer)
    kept = layer.weight
    assert isinstance(kept, Tensor)
    folded.weight = nn.Parameter(weight.to(kept.dtype), requires_grad=kept.requires_grad)
    folded.bias = nn.Parameter(bias.to(kept.dtype), requires_grad=kept.requires_grad)
    return folded


def _check_layer(layer: nn.Module) -> None:
    if not isinstance(layer, (nn.Linear, _ConvNd)):
        raise ArgumentError(
            "a batch norm cannot be folded into this layer: it is not linear",
            found=type(layer).__name__,
            expected="Linear, Conv or ConvTranspose",
        )


def _check_channels(norm: nn.Module, channels: int, expected: int) -> None:
    if channels != expected:
        raise ArgumentError("the batch norm has other channels than its neighbor", found=channels, expected=expected)


def _pads(layer: nn.Module) -> bool:
    padding = getattr(layer, "padding", 0)
    if getattr(layer, "padding_mode", "zeros") != "zeros":  # reflected values pass the norm like any other
        return False
    if isinstance(padding, str):
        return padding != "valid" and any(side > 1 for side in layer.kernel_size)  # type: ignore[union-attr]
    return any(side > 0 for side in padding) if isinstance(padding, tuple) else padding > 0


def _axes(x: Tensor) -> list[int]:
    return [axis for axis in range(x.ndim) if axis != 1]


def _column(vector: Tensor, x: Tensor) -> Tensor:
    return vector.view(1, -1, *[1] * (x.ndim - 2))
