"""The reference interpreter's operators on codes: slow, and exact because every sum is one of integers in float64.

``docs/reference/arithmetic.md`` is normative; constants that are computed once come from ``paring.graph``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from paring.forms import Form, Integer
from paring.graph import QuantParams, dequantize, integer_bias, multiplier, multipliers, quantize, requantize, to_codes
from paring.runtime import _reference_ops as ops


@dataclass(frozen=True)
class Call:
    """One operator with all it needs.

    Attributes:
        attrs: the node's.
        inputs: uint8, or float32 of ``quantize``; batch in front.
        sources: what the inputs' codes stand for.
        weights: the node's forms by role.
        target: what the codes it makes stand for; None of ``dequantize``.
    """

    attrs: Mapping[str, Any]
    inputs: list[np.ndarray]
    sources: list[QuantParams]
    weights: Mapping[str, Form]
    target: QuantParams | None

    @property
    def clamp(self) -> tuple[int, int, int]:
        """(zero point, low, high) of the result."""
        assert self.target is not None
        return self.target.zero_point, self.attrs["low"], self.attrs["high"]

    def centered(self, which: int = 0) -> np.ndarray:
        """``q - zero_point`` of an input as exact float64."""
        return self.inputs[which].astype(np.float64) - self.sources[which].zero_point

    def multiplier(self, which: int = 0, count: int = 1) -> np.float32:
        """From an input's codes to the result's."""
        assert self.target is not None
        return multiplier(self.sources[which].scale, self.target.scale, count)


def _quantize(call: Call) -> np.ndarray:
    assert call.target is not None
    return quantize(call.inputs[0], call.target)


def _dequantize(call: Call) -> np.ndarray:
    return dequantize(call.inputs[0], call.sources[0])


def _layer(call: Call) -> np.ndarray:
    """Sums of products of ``q - zero_point`` and codes, and the integer bias; padding is 0."""
    weight, source, target = call.weights["weight"], call.sources[0], call.target
    assert isinstance(weight, Integer)
    assert target is not None
    exact: dict[str, np.ndarray] = {"weight": weight.codes.astype(np.float64)}
    if "bias" in call.weights:
        bias = integer_bias(call.weights["bias"].dense(), source.scale, weight.scales)
        exact["bias"] = bias.astype(np.float64)
    run = ops.conv2d if len(weight.shape) == 4 else ops.linear
    m = multipliers(source.scale, weight.scales, target.scale)
    return requantize(run(call.attrs, [call.centered()], exact), m, *call.clamp)


def _add(call: Call) -> np.ndarray:
    """Both products are rounded to float32, then their sum is."""
    a = call.centered(0).astype(np.float32) * call.multiplier(0)
    b = call.centered(1).astype(np.float32) * call.multiplier(1)
    return to_codes(a + b, *call.clamp)


def _avg_pool(call: Call) -> np.ndarray:
    """Sums of windows times a multiplier for the number of pixels that each averages over."""
    x, attrs = call.centered(), call.attrs
    sums: Any = 0
    inside: Any = 0
    for _, _, seen, mask in ops.taps(x, attrs["kernel"], attrs, 0.0):
        sums, inside = sums + seen, inside + mask.astype(np.int64)
    counts = ops.window_counts(attrs, *x.shape[1:3]) if attrs["count_include_pad"] else inside
    m = np.ones(counts.shape, np.float32)
    for count in np.unique(counts).tolist():
        m[counts == count] = call.multiplier(count=max(count, 1))
    return requantize(sums, m[..., None], *call.clamp)


def _global_avg_pool(call: Call) -> np.ndarray:
    height, width = call.inputs[0].shape[1:3]
    return requantize(call.centered().sum(axis=(1, 2)), call.multiplier(count=height * width), *call.clamp)


def _rescale(call: Call) -> np.ndarray:
    return requantize(call.centered(), call.multiplier(), *call.clamp)


def _lookup(call: Call) -> np.ndarray:
    return call.weights["table"].dense().astype(np.uint8)[call.inputs[0]]


#: Operator to function; one row for each of paring.graph.INTEGER_OPS.
FUNCTIONS: dict[str, Callable[[Call], np.ndarray]] = {
    "quantize": _quantize,
    "dequantize": _dequantize,
    "integer_conv2d": _layer,
    "integer_linear": _layer,
    "integer_add": _add,
    "integer_avg_pool": _avg_pool,
    "integer_global_avg_pool": _global_avg_pool,
    "rescale": _rescale,
    "lookup": _lookup,
}


def moved(
    function: Callable[..., np.ndarray], attrs: Mapping[str, Any], inputs: list[np.ndarray], codes: QuantParams
) -> np.ndarray:
    """An operator that moves data on codes: what it does to ``q - zero_point``, so that zeros stay zeros."""
    centered = [x.astype(np.float32) - np.float32(codes.zero_point) for x in inputs]
    return np.maximum(function(attrs, centered, {}) + np.float32(codes.zero_point), 0).astype(np.uint8)
