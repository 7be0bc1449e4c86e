"""The operators: one row each, with attributes, weights and the rule for the output's shape.

Shapes are batch-free: ``(H, W, C)`` for maps, ``(F,)`` for vectors. ``padding`` is ``(top, bottom, left, right)``.
Defaults in ``attrs`` also fix each attribute's type. To add an operator, add a rule and a row here, a function to the
reference interpreter and, where speed matters, a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from paring.errors import GraphError

Shape = tuple[int, ...]
Infer = Callable[[Mapping[str, Any], Sequence[Shape], Mapping[str, Shape]], Shape]


@dataclass(frozen=True)
class OpSpec:
    """One operator.

    Attributes:
        infer: ``(attrs, input shapes, weight shapes) -> output shape``; raises GraphError when they do not fit.
        attrs: attribute name to default (which also fixes its type).
        required_weights: roles a node must have.
        optional_weights: roles a node may have.
        min_inputs: fewest input values.
        max_inputs: most input values.
        number: the operator's number in the file; never reused.
    """

    number: int
    infer: Infer
    attrs: Mapping[str, Any] = field(default_factory=dict)
    required_weights: tuple[str, ...] = ()
    optional_weights: tuple[str, ...] = ()
    min_inputs: int = 1
    max_inputs: int = 1


def _expect(condition: bool, what: str, found: object = None, expected: object = None) -> None:
    if not condition:
        raise GraphError(what, found=found, expected=expected)


def _map(shape: Shape) -> tuple[int, int, int]:
    _expect(len(shape) == 3, "input is not a map", found=shape, expected="(H, W, C)")
    return shape[0], shape[1], shape[2]


def _window(size: int, kernel: int, stride: int, before: int, after: int, dilation: int, ceil: bool) -> int:
    """Number of window positions along one axis (floor or ceil mode, as torch defines the latter)."""
    _expect(kernel >= 1 and stride >= 1 and dilation >= 1, "kernel, stride or dilation below 1")
    _expect(before >= 0 and after >= 0, "negative padding", found=(before, after))
    span = dilation * (kernel - 1) + 1
    room = size + before + after - span
    _expect(
        room >= 0, "window is larger than the padded input", found=span, expected=f"at most {size + before + after}"
    )
    steps = -(-room // stride) if ceil else room // stride
    if ceil and steps * stride >= size + before:  # the last window would start in the padding behind the input
        steps -= 1
    return steps + 1


def _spatial(attrs: Mapping[str, Any], shape: Shape, kernel: tuple[int, int], ceil: bool = False) -> tuple[int, int]:
    height, width, _ = _map(shape)
    top, bottom, left, right = attrs["padding"]
    dilation = attrs.get("dilation", (1, 1))
    return (
        _window(height, kernel[0], attrs["stride"][0], top, bottom, dilation[0], ceil),
        _window(width, kernel[1], attrs["stride"][1], left, right, dilation[1], ceil),
    )


def _bias(weights: Mapping[str, Shape], out: int) -> None:
    if "bias" in weights:
        _expect(weights["bias"] == (out,), "bias has the wrong shape", found=weights["bias"], expected=(out,))


def _conv2d(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    channels, weight, groups = _map(inputs[0])[2], weights["weight"], attrs["groups"]
    _expect(len(weight) == 4, "weight is not (out, in / groups, kh, kw)", found=weight)
    _expect(groups >= 1 and channels % groups == 0 and weight[0] % groups == 0, "groups do not divide", found=groups)
    expected = channels // groups
    _expect(weight[1] == expected, "weight does not fit the input's channels", found=weight[1], expected=expected)
    _bias(weights, weight[0])
    return (*_spatial(attrs, inputs[0], (weight[2], weight[3])), weight[0])


#: Elements a transposed convolution may make before its padding is cut off: as many as any value may have.
_MOST_UNCUT = 1 << 27


def _conv_transpose2d(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    height, width, channels = _map(inputs[0])
    weight, groups, extra = weights["weight"], attrs["groups"], attrs["output_padding"]
    _expect(len(weight) == 4, "weight is not (in, out / groups, kh, kw)", found=weight)
    _expect(groups >= 1 and channels % groups == 0, "groups do not divide", found=groups)
    _expect(weight[0] == channels, "weight does not fit the input's channels", found=weight[0], expected=channels)
    stride, dilation, (top, bottom, left, right) = attrs["stride"], attrs["dilation"], attrs["padding"]
    _expect(min(*stride, *dilation, *weight[1:]) >= 1, "kernel, stride or dilation below 1")
    _expect(min(top, bottom, left, right) >= 0, "negative padding", found=attrs["padding"])
    most = tuple(max(s, d) - 1 for s, d in zip(stride, dilation, strict=True))
    fits = all(0 <= e <= m for e, m in zip(extra, most, strict=True))
    _expect(fits, "output_padding is not below stride or dilation", found=extra, expected=f"at most {most}")
    rows = (height - 1) * stride[0] + dilation[0] * (weight[2] - 1) + 1 + extra[0]
    columns = (width - 1) * stride[1] + dilation[1] * (weight[3] - 1) + 1 + extra[1]
    size = rows * columns * weight[1] * groups
    _expect(size <= _MOST_UNCUT, "output before padding is cut off is too large", found=size, expected=_MOST_UNCUT)
    rows, columns = rows - top - bottom, columns - left - right
    _expect(rows >= 1 and columns >= 1, "padding takes away the whole output", found=(rows, columns))
    _bias(weights, weight[1] * groups)
    return (rows, columns, weight[1] * groups)


def _linear(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    weight = weights["weight"]
    _expect(len(weight) == 2, "weight is not (out, in)", found=weight)
    _expect(inputs[0] == (weight[1],), "weight does not fit the input", found=inputs[0], expected=(weight[1],))
    _bias(weights, weight[0])
    return (weight[0],)


def _same(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    return inputs[0]


def _per_channel(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    for role, shape in weights.items():
        _expect(shape == inputs[0][-1:], f"{role} does not fit the channels", found=shape, expected=inputs[0][-1:])
    return inputs[0]


def _clip(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    _expect(attrs["low"] <= attrs["high"], "low is above high", found=(attrs["low"], attrs["high"]))
    return inputs[0]


def _max_pool(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    return _pool(attrs, inputs[0])


def _avg_pool(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    return _pool(attrs, inputs[0])


def _pool(attrs: Mapping[str, Any], shape: Shape) -> Shape:
    kernel, padding = attrs["kernel"], attrs["padding"]
    half = (kernel[0] // 2, kernel[0] // 2, kernel[1] // 2, kernel[1] // 2)
    _expect(all(p <= h for p, h in zip(padding, half, strict=True)), "padding exceeds half the window", found=padding)
    return (*_spatial(attrs, shape, kernel, attrs["ceil_mode"]), _map(shape)[2])


def _adaptive(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    _expect(all(side >= 1 for side in attrs["size"]), "output size below 1", found=attrs["size"])
    # Larger sides would let a few bytes of file ask for any amount of memory.
    _expect(all(side <= 4096 for side in attrs["size"]), "output size is too large", found=attrs["size"])
    return (*attrs["size"], _map(inputs[0])[2])


def _global(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    return (_map(inputs[0])[2],)


def _channel_mean(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    return (*inputs[0][:-1], 1)


def _flatten(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    _expect(attrs["order"] in ("chw", "hwc"), "unknown order", found=attrs["order"], expected="chw or hwc")
    return (prod(inputs[0]),)


def _elementwise(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    """Equal shapes; or a second operand of one number per channel, ``(C,)`` / ``(1, 1, C)`` (squeeze-and-excite), or
    one per pixel, ``(H, W, 1)`` (XNOR-Net's K).
    """
    first, second = inputs
    broadcast = second in (first, first[-1:], (1, 1, *first[-1:]), (*first[:-1], 1))
    _expect(broadcast, "operands do not fit", found=f"{first} and {second}")
    return first


def _concat(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    first = inputs[0]
    fits = all(shape[:-1] == first[:-1] for shape in inputs)
    _expect(fits, "maps of different sizes cannot be concatenated", found=list(inputs))
    return (*first[:-1], sum(shape[-1] for shape in inputs))


def _slice(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    start, stop, channels = attrs["start"], attrs["stop"], inputs[0][-1]
    _expect(0 <= start < stop <= channels, "slice is outside the channels", found=(start, stop), expected=channels)
    return (*inputs[0][:-1], stop - start)


def _strided(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    height, width, channels = _map(inputs[0])
    step = attrs["stride"]
    _expect(min(step) >= 1, "stride below 1", found=step)
    return (-(-height // step[0]), -(-width // step[1]), channels)


def _pad(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    height, width, channels = _map(inputs[0])
    (top, bottom, left, right), (front, back) = attrs["padding"], attrs["channels"]
    amounts = (top, bottom, left, right, front, back)
    _expect(all(0 <= p <= 1 << 16 for p in amounts), "padding is negative or too large", found=amounts)
    return (height + top + bottom, width + left + right, channels + front + back)


def _shuffle(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    groups, channels = attrs["groups"], inputs[0][-1]
    _expect(
        groups >= 1 and channels % groups == 0, "groups do not divide the channels", found=groups, expected=channels
    )
    return inputs[0]


def _lrn(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    _expect(attrs["size"] >= 1, "size below 1", found=attrs["size"])
    return inputs[0]


_NO_PAD = (0, 0, 0, 0)
_POOL = {"kernel": (1, 1), "stride": (1, 1), "padding": _NO_PAD, "dilation": (1, 1), "ceil_mode": False}

#: Every operator by name.
OPS: dict[str, OpSpec] = {
    # cross-correlation, as torch defines conv2d
    "conv2d": OpSpec(
        1,
        _conv2d,
        {"stride": (1, 1), "padding": _NO_PAD, "dilation": (1, 1), "groups": 1},
        required_weights=("weight",),
        optional_weights=("bias",),
    ),
    "linear": OpSpec(2, _linear, required_weights=("weight",), optional_weights=("bias",)),
    # y = x * scale + shift per channel: what is left of a batch norm that could not be folded
    "scale_shift": OpSpec(3, _per_channel, required_weights=("scale", "shift")),
    "relu": OpSpec(4, _same),
    "clip": OpSpec(5, _clip, {"low": 0.0, "high": 6.0}),
    "leaky_relu": OpSpec(6, _same, {"slope": 0.01}),
    "sigmoid": OpSpec(7, _same),
    "tanh": OpSpec(8, _same),
    "hard_sigmoid": OpSpec(9, _same),
    "hard_swish": OpSpec(10, _same),
    "silu": OpSpec(11, _same),
    "gelu": OpSpec(12, _same),
    "softmax": OpSpec(13, _same),
    "prelu": OpSpec(14, _per_channel, required_weights=("slope",)),
    # +1 where x >= 0, else -1: what a bit can hold (arXiv 1603.05279, section 3.1)
    "sign": OpSpec(15, _same),
    "abs": OpSpec(16, _same),
    "max_pool": OpSpec(20, _max_pool, _POOL),
    "avg_pool": OpSpec(
        21,
        _avg_pool,
        {k: v for k, v in _POOL.items() if k != "dilation"} | {"count_include_pad": True},
    ),
    "adaptive_avg_pool": OpSpec(22, _adaptive, {"size": (1, 1)}),
    # (H, W, C) -> (C,)
    "global_avg_pool": OpSpec(23, _global),
    # (H, W, C) -> (H, W, 1)
    "channel_mean": OpSpec(25, _channel_mean),
    # order in which the elements of (H, W, C) are laid out; torch's flatten of NCHW is "chw"
    "flatten": OpSpec(24, _flatten, {"order": "chw"}),
    # second operand: as large, one number per channel, or one per pixel
    "add": OpSpec(30, _elementwise, min_inputs=2, max_inputs=2),
    "mul": OpSpec(31, _elementwise, min_inputs=2, max_inputs=2),
    # along channels
    "concat": OpSpec(32, _concat, min_inputs=1, max_inputs=64),
    # channels start .. stop - 1
    "slice_channels": OpSpec(33, _slice, {"start": 0, "stop": 1}),
    # (C,) -> viewed as groups x C / groups, transposed (ShuffleNet, arXiv 1707.01083)
    "channel_shuffle": OpSpec(34, _shuffle, {"groups": 1}),
    # every stride-th row and column: CIFAR ResNet's option-A shortcut
    "subsample": OpSpec(35, _strided, {"stride": (1, 1)}),
    # zeros around the map and in front of and behind the channels
    "pad": OpSpec(36, _pad, {"padding": _NO_PAD, "channels": (0, 0)}),
    # b = a / (k + alpha / size * sum of a^2 over `size` channels) ** beta, torch's and Caffe's convention
    "lrn": OpSpec(37, _lrn, {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}),
    # the gradient of conv2d by its input, torch's convention: every input pixel adds its multiple of the kernel at
    # stride times its place; weight is (in, out / groups, kh, kw); padding is cut off, output_padding added behind
    "conv_transpose2d": OpSpec(
        40,
        _conv_transpose2d,
        {"stride": (1, 1), "padding": _NO_PAD, "output_padding": (0, 0), "dilation": (1, 1), "groups": 1},
        required_weights=("weight",),
        optional_weights=("bias",),
    ),
}
