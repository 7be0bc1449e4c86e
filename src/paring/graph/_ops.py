"""The operators: one row each, with attributes, weights, the rule for the output's shape, and its traits.

A row is the one place where a fact about an operator stands: who overwrites its input, whose channels go where, who is
a table on codes, is asked of it here and listed nowhere else. To add an operator, add a row, a function of its name to
the reference interpreter, a row to ``capture`` and, where speed matters, a kernel (``docs/contributing.md``); from
outside the package, :func:`register_operator`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from paring.errors import ArgumentError
from paring.graph import _channel_flow as flow
from paring.graph import _shapes as shapes
from paring.graph._shapes import Shape

Infer = Callable[[Mapping[str, Any], Sequence[Shape], Mapping[str, Shape]], Shape]
#: ``(attrs, inputs, weights by role) -> output``: float32 arrays with the batch in front, dense weights.
Compute = Callable[[Mapping[str, Any], list[np.ndarray], Mapping[str, np.ndarray]], np.ndarray]

#: Number in the file of every operator from outside the package; its name stands behind it.
PLUGIN = 255


@dataclass(frozen=True)
class OpSpec:
    """One operator.

    Attributes:
        number: the operator's number in the file; never reused. :data:`PLUGIN` for one that :func:`register_operator`
            adds.
        infer: ``(attrs, input shapes, weight shapes) -> output shape``; raises GraphError when they do not fit.
        attrs: attribute name to default (which also fixes its type).
        required_weights: roles a node must have.
        optional_weights: roles a node may have.
        min_inputs: fewest input values.
        max_inputs: most input values.
        elementwise: each number of the output is a function of the number of the input in its place, the same one
            everywhere or, where it has weights, in its channel.
        in_place: its output may overwrite its first input.
        moves_data: it moves or compares numbers without computing: codes in, codes of the same kind out. A map of codes
            is padded with the zero point; a window of ``max_pool`` wholly outside the map gives code 0.
        homogeneous: ``f(t x) = t f(x)`` for every ``t > 0``, channel by channel.
        activation: it is a layer's nonlinearity.
        clamp: ``attrs -> (low, high)`` if it is ``min(max(x, low), high)``.
        channels: where the output's channels come from, if each is one of the inputs' (or zeros); None of an operator
            that makes channels, mixes or joins them.
        weight_axes: (output axis, input axis) of the weight of a layer that makes channels from others.
        macs: every number of the weight is used once per position of its ``output`` or of its ``input``; empty: it
            multiplies nothing that counts.
        compute: a plug-in's function in the reference interpreter; None: the one of the operator's name there.
    """

    number: int
    infer: Infer
    attrs: Mapping[str, Any] = field(default_factory=dict)
    required_weights: tuple[str, ...] = ()
    optional_weights: tuple[str, ...] = ()
    min_inputs: int = 1
    max_inputs: int = 1
    elementwise: bool = False
    in_place: bool = False
    moves_data: bool = False
    homogeneous: bool = False
    activation: bool = False
    clamp: Callable[[Mapping[str, Any]], tuple[float, float]] | None = None
    channels: flow.Sources | None = None
    weight_axes: tuple[int, int] | None = None
    macs: str = ""
    compute: Compute | None = None

    @property
    def tabulated(self) -> bool:
        """Whether it is a table on codes: one function of one number, and more than a clamp."""
        return self.elementwise and self.clamp is None and not self.required_weights

    @classmethod
    def function(
        cls, number: int = PLUGIN, attrs: Mapping[str, Any] | None = None, *, infer: Infer = shapes.same, **traits: Any
    ) -> OpSpec:
        """An elementwise operator: shape and channels stay, and the output may overwrite the input."""
        return cls(number, infer, attrs or {}, elementwise=True, in_place=True, channels=flow.kept, **traits)


def register_operator(name: str, spec: OpSpec) -> None:
    """Add an operator from outside the package.

    It then stands in graphs and files like any other: costs, pruning, quantization to codes (as a table where it is
    elementwise), the reference interpreter. ``paring.capture.register_operator`` adds its torch side. The native engine
    has no kernel for it: a network that computes it on floats runs in the reference interpreter there.

    A file names the operator, so whoever reads the file has to register it first.

    Args:
        name: of lowercase letters, digits, ``_`` and ``.``; something like ``acme.softsign`` meets no other.
        spec: its row, with :data:`PLUGIN` for its number and a ``compute``.

    Raises:
        ArgumentError: if the name is taken or cannot be, or the row lacks something.
    """
    from paring.graph._integer_ops import OPS

    if not re.fullmatch(r"[a-z][a-z0-9_.]{0,63}", name):
        raise ArgumentError(
            "invalid operator name", found=repr(name), expected="up to 64 of a-z, 0-9, _ and ., a letter first"
        )
    if spec.number != PLUGIN or spec.compute is None:
        found = f"number {spec.number}, compute {spec.compute}"
        raise ArgumentError("invalid operator", where=name, found=found, expected="number PLUGIN, and a compute")
    if OPS.get(name, spec) != spec:
        raise ArgumentError("operator name is taken", where=name, fix="Choose another, such as acme." + name)
    OPS[name] = spec


_NO_PAD = (0, 0, 0, 0)
_LAYER: dict[str, Any] = {"required_weights": ("weight",), "optional_weights": ("bias",)}
_POOL = {"kernel": (1, 1), "stride": (1, 1), "padding": _NO_PAD, "dilation": (1, 1), "ceil_mode": False}

#: The operators on floats, and those that take codes as they take floats, by name.
FLOAT_OPS: dict[str, OpSpec] = {
    # cross-correlation, as torch defines conv2d
    "conv2d": OpSpec(
        1,
        shapes.conv2d,
        {"stride": (1, 1), "padding": _NO_PAD, "dilation": (1, 1), "groups": 1},
        **_LAYER,
        weight_axes=(0, 1),
        macs="output",
    ),
    "linear": OpSpec(2, shapes.linear, **_LAYER, weight_axes=(0, 1), macs="output"),
    # y = x * scale + shift per channel: what is left of a batch norm that could not be folded
    "scale_shift": OpSpec.function(3, infer=shapes.per_channel, required_weights=("scale", "shift")),
    "relu": OpSpec.function(4, clamp=lambda attrs: (0.0, inf), homogeneous=True, activation=True),
    "clip": OpSpec.function(
        5,
        {"low": 0.0, "high": 6.0},
        infer=shapes.clip,
        clamp=lambda attrs: (attrs["low"], attrs["high"]),
        activation=True,
    ),
    "leaky_relu": OpSpec.function(6, {"slope": 0.01}, homogeneous=True, activation=True),
    "sigmoid": OpSpec.function(7, activation=True),
    "tanh": OpSpec.function(8, activation=True),
    "hard_sigmoid": OpSpec.function(9, activation=True),
    "hard_swish": OpSpec.function(10, activation=True),
    "silu": OpSpec.function(11, activation=True),
    "gelu": OpSpec.function(12, activation=True),
    "softmax": OpSpec(13, shapes.same, in_place=True),
    "prelu": OpSpec.function(
        14, infer=shapes.per_channel, required_weights=("slope",), homogeneous=True, activation=True
    ),
    # +1 where x >= 0, else -1: what a bit can hold (arXiv 1603.05279, section 3.1)
    "sign": OpSpec.function(15),
    "abs": OpSpec.function(16, homogeneous=True),
    "max_pool": OpSpec(20, shapes.pool, _POOL, moves_data=True, homogeneous=True, channels=flow.kept),
    "avg_pool": OpSpec(
        21,
        shapes.pool,
        {k: v for k, v in _POOL.items() if k != "dilation"} | {"count_include_pad": True},
        homogeneous=True,
        channels=flow.kept,
    ),
    "adaptive_avg_pool": OpSpec(22, shapes.adaptive, {"size": (1, 1)}, homogeneous=True, channels=flow.kept),
    # (H, W, C) -> (C,)
    "global_avg_pool": OpSpec(23, shapes.global_pool, homogeneous=True, channels=flow.kept),
    # (H, W, C) -> (H, W, 1)
    "channel_mean": OpSpec(25, shapes.channel_mean),
    # order in which the elements of (H, W, C) are laid out; torch's flatten of NCHW is "chw"
    "flatten": OpSpec(24, shapes.flatten, {"order": "chw"}, moves_data=True, channels=flow.flattened),
    # second operand: as large, one number per channel, or one per pixel
    "add": OpSpec(30, shapes.broadcast, min_inputs=2, max_inputs=2, in_place=True),
    "mul": OpSpec(31, shapes.broadcast, min_inputs=2, max_inputs=2, in_place=True),
    # along channels
    "concat": OpSpec(32, shapes.concat, max_inputs=64, moves_data=True, channels=flow.joined),
    # channels start .. stop - 1
    "slice_channels": OpSpec(33, shapes.slice_channels, {"start": 0, "stop": 1}, moves_data=True, channels=flow.sliced),
    # (C,) -> viewed as groups x C / groups, transposed (ShuffleNet, arXiv 1707.01083)
    "channel_shuffle": OpSpec(34, shapes.shuffle, {"groups": 1}, moves_data=True, channels=flow.shuffled),
    # every stride-th row and column: CIFAR ResNet's option-A shortcut
    "subsample": OpSpec(35, shapes.strided, {"stride": (1, 1)}, moves_data=True, channels=flow.kept),
    # zeros around the map and in front of and behind the channels
    "pad": OpSpec(36, shapes.pad, {"padding": _NO_PAD, "channels": (0, 0)}, moves_data=True, channels=flow.padded),
    # b = a / (k + alpha / size * sum of a^2 over `size` channels) ** beta, torch's and Caffe's convention
    "lrn": OpSpec(37, shapes.lrn, {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}),
    # the gradient of conv2d by its input, torch's convention: every input pixel adds its multiple of the kernel at
    # stride times its place; weight is (in, out / groups, kh, kw); padding is cut off, output_padding added behind
    "conv_transpose2d": OpSpec(
        40,
        shapes.conv_transpose2d,
        {"stride": (1, 1), "padding": _NO_PAD, "output_padding": (0, 0), "dilation": (1, 1), "groups": 1},
        **_LAYER,
        weight_axes=(1, 0),
        macs="input",
    ),
}
