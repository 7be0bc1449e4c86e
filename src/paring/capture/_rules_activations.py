"""Elementwise operators, both ways: from torch calls and back. They work in whatever order the elements lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from paring.capture._lower import SAME_SHAPE, Const, Lowering, Value, rule
from paring.errors import ArgumentError
from paring.graph import OPS
from paring.layers import binary_sign

_LARGEST = float(np.finfo(np.float32).max)


def unary(low: Lowering, x: Any, op: str, /, **attrs: Any) -> Value:
    """An element-wise operator; it does not care in which order the elements lie."""
    low.expect_value(x)
    return Value(low.emit(op, [x.name], attrs), x.dims)


#: Operator to what computes it in torch: ``(node, weights by role, input) -> tensor``.
ELEMENTWISE: dict[str, Callable[..., Tensor]] = {}


def register_operator(
    op: str,
    function: Callable[..., Tensor],
    aten: Sequence[str] = (),
    attributes: Callable[..., Mapping[str, Any]] = dict,
) -> None:
    """The torch side of an elementwise operator: how a call is captured, and how a graph computes it in torch.

    Args:
        op: its name in a graph (:func:`paring.graph.register_operator`).
        function: ``(x, *attributes in the operator's order) -> tensor`` of the same shape, differentiable.
        aten: names of the aten calls that are this operator (``elu``), overload left out.
        attributes: ``(the call's arguments behind x) -> attributes``; raises TypeError or ArgumentError at what the
            operator has not. By default the call has none.

    Raises:
        ArgumentError: if there is no such operator, or it is not elementwise.
    """
    if op not in OPS or not OPS[op].elementwise:
        fix = "Give it to paring.graph.register_operator first"
        raise ArgumentError("not an elementwise operator", found=repr(op), fix=fix)
    ELEMENTWISE[op] = lambda node, weights, x: function(x, *node.attrs.values())
    SAME_SHAPE.update(aten)

    @rule(*aten)
    def lower(low: Lowering, x: Any, *args: Any, **kwargs: Any) -> Value:
        try:
            attrs = attributes(*args, **kwargs)
        except (TypeError, ArgumentError) as error:
            raise low.refusal(f"operator {low.call.op!r} is used in an unknown way", found=str(error)) from error
        return unary(low, x, op, **attrs)


register_operator("relu", F.relu, ["relu"])
register_operator("clip", torch.clamp)
register_operator("leaky_relu", F.leaky_relu, ["leaky_relu"], lambda slope=0.01: {"slope": float(slope)})
register_operator("sigmoid", torch.sigmoid, ["sigmoid"])
register_operator("tanh", torch.tanh, ["tanh"])
register_operator("hard_sigmoid", F.hardsigmoid, ["hardsigmoid"])
register_operator("hard_swish", F.hardswish, ["hardswish"])
register_operator("silu", F.silu, ["silu"])
register_operator("gelu", F.gelu)
register_operator("sign", binary_sign)
register_operator("abs", torch.abs)


@rule("gelu")
def gelu(low: Lowering, x: Any, *, approximate: str = "none") -> Value:
    """The exact one, with erf."""
    if approximate != "none":
        raise low.refusal("GELU in its tanh approximation", found=approximate, expected="approximate='none'")
    return unary(low, x, "gelu")


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
