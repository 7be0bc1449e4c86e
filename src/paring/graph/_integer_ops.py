"""The operators on codes: one row each, as in ``_ops.py``; ``docs/reference/arithmetic.md`` says what they compute.

``scale``, ``zero_point`` and ``bits`` say what the codes that a node makes stand for; what the codes it reads stand for
is said where they are made. ``low`` and ``high`` are the codes between which results are clamped: a fused relu has
``low = zero_point``. Operators that only move or compare numbers (``max_pool``, ``concat``, ``flatten``, ...) take
codes as they take floats; their rows say ``moves_data``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paring.graph import _shapes as shapes
from paring.graph._ops import FLOAT_OPS, OpSpec
from paring.graph._shapes import Shape

_CODES: dict[str, Any] = {"scale": 1.0, "zero_point": 0, "bits": 8}
_CLAMP = {"low": 0, "high": 255}


def _addition(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    shapes.expect(inputs[0] == inputs[1], "operands have different shapes", found=f"{inputs[0]} and {inputs[1]}")
    return inputs[0]


#: Every operator that makes or reads codes and nothing else, by name.
INTEGER_OPS: dict[str, OpSpec] = {
    # floats to codes and back
    "quantize": OpSpec(50, shapes.same, _CODES),
    "dequantize": OpSpec(51, shapes.same),
    # weight is an integer form with one scale or one per output; padding is the zero point, that is 0.0
    "integer_conv2d": OpSpec(
        52,
        shapes.conv2d,
        {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1} | _CODES | _CLAMP,
        required_weights=("weight",),
        optional_weights=("bias",),
        macs="output",
    ),
    "integer_linear": OpSpec(
        53, shapes.linear, _CODES | _CLAMP, required_weights=("weight",), optional_weights=("bias",), macs="output"
    ),
    # two maps of one shape, each with its own scale and zero point
    "integer_add": OpSpec(54, _addition, _CODES | _CLAMP, min_inputs=2, max_inputs=2, in_place=True),
    "integer_avg_pool": OpSpec(
        55,
        shapes.pool,
        {
            "kernel": (1, 1),
            "stride": (1, 1),
            "padding": (0, 0, 0, 0),
            "ceil_mode": False,
            "count_include_pad": True,
        }
        | _CODES
        | _CLAMP,
    ),
    # (H, W, C) -> (C,)
    "integer_global_avg_pool": OpSpec(56, shapes.global_pool, _CODES | _CLAMP),
    # codes of one scale to codes of another; also a relu or clip that no layer could take in
    "rescale": OpSpec(57, shapes.same, _CODES | _CLAMP, in_place=True),
    # table[q]: any function of one number; the table holds a code for each code of the input
    "lookup": OpSpec(58, shapes.same, _CODES, required_weights=("table",), in_place=True),
}

#: Every operator by name; :func:`paring.graph.register_operator` adds to it.
OPS: dict[str, OpSpec] = FLOAT_OPS | INTEGER_OPS
#: Operators that make channels from others through a weight, on floats, to its (output axis, input axis).
LAYERS = {name: spec.weight_axes for name, spec in FLOAT_OPS.items() if spec.weight_axes is not None}
