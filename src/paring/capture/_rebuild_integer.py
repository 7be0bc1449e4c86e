"""The operators on codes in torch, for ``rebuild``: the reference interpreter's integers, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from paring.graph import Node
from paring.layers import TensorCodes, dequantize_codes, integer_addition, integer_layer, quantize_codes, rescale_factor


class Simulator(Protocol):
    """What an operator asks of the network it runs in."""

    def codes_of(self, value: str) -> TensorCodes:
        """What a value's codes stand for."""

    def weight_of(self, node: Node) -> tuple[Tensor, Tensor, Tensor | None]:
        """Codes, scales and float bias of a layer."""

    def settle(self, node: Node, t: Tensor) -> Tensor:
        """Round and clamp what a node computed to its codes."""


def _quantize(net: Simulator, node: Node, x: Tensor) -> Tensor:
    return quantize_codes(x, net.codes_of(node.name))


def _dequantize(net: Simulator, node: Node, q: Tensor) -> Tensor:
    return dequantize_codes(q, net.codes_of(node.inputs[0]))


def _layer(net: Simulator, node: Node, q: Tensor) -> Tensor:
    codes, scales, bias = net.weight_of(node)
    source, target = net.codes_of(node.inputs[0]), net.codes_of(node.name)
    return net.settle(node, integer_layer(product_of(node), q, source, codes, scales, bias, target))


def product_of(node: Node) -> Callable[[Tensor, Tensor], Tensor]:
    """The layer's product of an input and a weight, without bias."""
    if "stride" not in node.attrs:
        return F.linear
    a: Any = node.attrs
    top, bottom, left, right = a["padding"]

    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        if top == bottom and left == right:
            return F.conv2d(x, weight, None, a["stride"], (top, left), a["dilation"], a["groups"])
        x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, weight, None, a["stride"], 0, a["dilation"], a["groups"])

    return convolve


def _add(net: Simulator, node: Node, a: Tensor, b: Tensor) -> Tensor:
    one, two = (net.codes_of(name) for name in node.inputs)
    return net.settle(node, integer_addition(a, one, b, two, net.codes_of(node.name)))


def _avg_pool(net: Simulator, node: Node, q: Tensor) -> Tensor:
    a: Any = node.attrs
    source, target = net.codes_of(node.inputs[0]), net.codes_of(node.name)
    sums = _window_sums(a, q - source.zero_point)
    counts = _window_counts(a, *q.shape[2:]).clamp_min(1)
    factors = torch.ones(counts.shape, device=q.device)
    for count in counts.unique().tolist():
        factors = torch.where(counts == count, rescale_factor(source.scale, target.scale, int(count)), factors)
    return net.settle(node, sums * factors)


def _window_sums(a: Any, x: Tensor) -> Tensor:
    """Sums over the windows of a pool, zero outside the map."""
    top, bottom, left, right = a["padding"]
    tall, wide = _extent(a, x.shape[2:], a["ceil_mode"])
    bottom = max(bottom, (tall - 1) * a["stride"][0] + a["kernel"][0] - x.shape[2] - top)
    right = max(right, (wide - 1) * a["stride"][1] + a["kernel"][1] - x.shape[3] - left)
    padded = F.pad(x, (left, right, top, bottom))
    sums = F.avg_pool2d(padded.double(), a["kernel"], a["stride"], divisor_override=1)
    return sums[:, :, :tall, :wide].float()


def _window_counts(a: Any, height: int, width: int) -> Tensor:
    """How many pixels each window of a pool averages over."""
    tall, wide = _extent(a, (height, width), a["ceil_mode"])
    top, bottom, left, right = a["padding"]
    axes = []
    for number, stride, kernel, before, size, after in (
        (tall, a["stride"][0], a["kernel"][0], top, height, bottom),
        (wide, a["stride"][1], a["kernel"][1], left, width, right),
    ):
        first = torch.arange(number) * stride - before
        if a["count_include_pad"]:
            axes.append((first + kernel).clamp_max(size + after) - first)
        else:
            axes.append((first + kernel).clamp_max(size) - first.clamp_min(0))
    return axes[0].clamp_min(0)[:, None] * axes[1].clamp_min(0)[None, :]


def _extent(a: Any, size: Any, ceil: bool) -> tuple[int, int]:
    """Windows along height and width, as the graph infers them."""
    found = []
    for axis, (before, after) in enumerate((a["padding"][:2], a["padding"][2:])):
        room = size[axis] + before + after - a["kernel"][axis]
        steps = -(-room // a["stride"][axis]) if ceil else room // a["stride"][axis]
        if ceil and steps * a["stride"][axis] >= size[axis] + before:
            steps -= 1
        found.append(steps + 1)
    return found[0], found[1]


def _global_avg_pool(net: Simulator, node: Node, q: Tensor) -> Tensor:
    source, target = net.codes_of(node.inputs[0]), net.codes_of(node.name)
    sums = (q - source.zero_point).double().sum((2, 3)).float()
    return net.settle(node, sums * rescale_factor(source.scale, target.scale, q.shape[2] * q.shape[3]))


def _rescale(net: Simulator, node: Node, q: Tensor) -> Tensor:
    source, target = net.codes_of(node.inputs[0]), net.codes_of(node.name)
    return net.settle(node, (q - source.zero_point) * rescale_factor(source.scale, target.scale))


#: Operator to ``(network, node, inputs) -> codes``; ``lookup`` takes a table too and is not here.
INTEGER_OPS: dict[str, Callable[..., Tensor]] = {
    "quantize": _quantize,
    "dequantize": _dequantize,
    "integer_conv2d": _layer,
    "integer_linear": _layer,
    "integer_add": _add,
    "integer_avg_pool": _avg_pool,
    "integer_global_avg_pool": _global_avg_pool,
    "rescale": _rescale,
}


def moved(function: Callable[..., Tensor], zero_point: int, *inputs: Tensor) -> Tensor:
    """An operator that only moves or compares, on codes: zeros stay zeros; a window of nothing gives code 0."""
    return (function(*(q - zero_point for q in inputs)) + zero_point).clamp_min(0)
