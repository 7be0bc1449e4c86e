"""Lowering rules of activations: element by element, in whatever order the elements lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from paring.capture._lower import Const, Lowering, Value, rule

_LARGEST = float(np.finfo(np.float32).max)


def unary(low: Lowering, x: Any, op: str, /, **attrs: Any) -> Value:
    """An element-wise operator; it does not care in which order the elements lie."""
    low.expect_value(x)
    return Value(low.emit(op, [x.name], attrs), x.dims)


def _plain_unary(aten: str, op: str) -> None:
    @rule(aten)
    def lower(low: Lowering, x: Any) -> Value:
        return unary(low, x, op)


for _aten, _op in {
    "relu": "relu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "silu": "silu",
}.items():
    _plain_unary(_aten, _op)


@rule("gelu")
def gelu(low: Lowering, x: Any, *, approximate: str = "none") -> Value:
    """The exact one, with erf."""
    if approximate != "none":
        raise low.refusal("GELU in its tanh approximation", found=approximate, expected="approximate='none'")
    return unary(low, x, "gelu")


@rule("leaky_relu")
def leaky_relu(low: Lowering, x: Any, slope: float = 0.01) -> Value:
    """``x`` where positive, ``slope * x`` elsewhere."""
    return unary(low, x, "leaky_relu", slope=float(slope))


@rule("clamp", "hardtanh", "clip")
def clamp(low: Lowering, x: Any, lowest: Any = None, highest: Any = None) -> Value:
    """Between two numbers, either of which may be missing."""
    if low.call.op == "hardtanh":
        lowest, highest = -1 if lowest is None else lowest, 1 if highest is None else highest
    if isinstance(lowest, Const | Value) or isinstance(highest, Const | Value):
        raise low.refusal("clamp to a tensor", expected="numbers")
    if lowest == 0 and highest is None:
        return unary(low, x, "relu")
    bounds = {"low": -_LARGEST if lowest is None else float(lowest)}
    bounds["high"] = _LARGEST if highest is None else float(highest)
    return unary(low, x, "clip", **bounds)


@rule("relu6")
def relu6(low: Lowering, x: Any) -> Value:
    """Between 0 and 6."""
    return clamp(low, x, 0, 6)


@rule("clamp_min")
def clamp_min(low: Lowering, x: Any, lowest: Any) -> Value:
    """From below."""
    return clamp(low, x, lowest)


@rule("clamp_max")
def clamp_max(low: Lowering, x: Any, highest: Any) -> Value:
    """From above."""
    return clamp(low, x, None, highest)


@rule("threshold")
def threshold(low: Lowering, x: Any, limit: float, value: float) -> Value:
    """ReLU by another name."""
    if (limit, value) != (0, 0):
        raise low.refusal("threshold other than ReLU", found=(limit, value), expected=(0, 0))
    return unary(low, x, "relu")


@rule("prelu", "_prelu_kernel")
def prelu(low: Lowering, x: Any, slope: Any) -> Value:
    """Leaky with one slope per channel or one for all."""
    slope = low.expect_const(slope, "slope")
    name = low.canonical(x)
    channels = low.shapes[name][-1]
    flat = Const(slope.tensor.reshape(-1).expand(channels), slope.name, entries=slope.tensor.numel())
    return low.plain(low.emit("prelu", [name], weights={"slope": flat}), x.ndim)


@rule("softmax", "_softmax")
def softmax(low: Lowering, x: Any, dim: int, *options: Any) -> Value:
    """Over the channels."""
    name = low.canonical(x)
    if dim % x.ndim != 1:
        raise low.refusal("softmax along an axis that is not the channels", found=dim, expected=1)
    return low.plain(low.emit("softmax", [name]), x.ndim)
