"""Shape rules of the operators: ``(attrs, input shapes, weight shapes) -> output shape``, batch-free.

``(H, W, C)`` for maps, ``(F,)`` for vectors; ``padding`` is ``(top, bottom, left, right)``. A rule raises GraphError
where shapes do not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from paring.errors import GraphError

Shape = tuple[int, ...]


def expect(condition: bool, what: str, found: object = None, expected: object = None) -> None:
    if not condition:
        raise GraphError(what, found=found, expected=expected)


def _map(shape: Shape) -> tuple[int, int, int]:
    expect(len(shape) == 3, "input is not a map", found=shape, expected="(H, W, C)")
    return shape[0], shape[1], shape[2]


def _window(size: int, kernel: int, stride: int, before: int, after: int, dilation: int, ceil: bool) -> int:
    """Number of window positions along one axis (floor or ceil mode, as torch defines the latter)."""
    expect(kernel >= 1 and stride >= 1 and dilation >= 1, "kernel, stride or dilation below 1")
    expect(before >= 0 and after >= 0, "negative padding", found=(before, after))
    span = dilation * (kernel - 1) + 1
    room = size + before + after - span
    expect(room >= 0, "window is larger than the padded input", found=span, expected=f"at most {size + before + after}")
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
        expect(weights["bias"] == (out,), "bias has the wrong shape", found=weights["bias"], expected=(out,))


def conv2d(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    channels, weight, groups = _map(inputs[0])[2], weights["weight"], attrs["groups"]
    expect(len(weight) == 4, "weight is not (out, in / groups, kh, kw)", found=weight)
    expect(groups >= 1 and channels % groups == 0 and weight[0] % groups == 0, "groups do not divide", found=groups)
    expected = channels // groups
    expect(weight[1] == expected, "weight does not fit the input's channels", found=weight[1], expected=expected)
    _bias(weights, weight[0])
    return (*_spatial(attrs, inputs[0], (weight[2], weight[3])), weight[0])


#: Elements a transposed convolution may make before its padding is cut off: as many as any value may have.
_MOST_UNCUT = 1 << 27


def conv_transpose2d(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    height, width, channels = _map(inputs[0])
    weight, groups, extra = weights["weight"], attrs["groups"], attrs["output_padding"]
    expect(len(weight) == 4, "weight is not (in, out / groups, kh, kw)", found=weight)
    expect(groups >= 1 and channels % groups == 0, "groups do not divide", found=groups)
    expect(weight[0] == channels, "weight does not fit the input's channels", found=weight[0], expected=channels)
    stride, dilation, (top, bottom, left, right) = attrs["stride"], attrs["dilation"], attrs["padding"]
    expect(min(*stride, *dilation, *weight[1:]) >= 1, "kernel, stride or dilation below 1")
    expect(min(top, bottom, left, right) >= 0, "negative padding", found=attrs["padding"])
    most = tuple(max(s, d) - 1 for s, d in zip(stride, dilation, strict=True))
    fits = all(0 <= e <= m for e, m in zip(extra, most, strict=True))
    expect(fits, "output_padding is not below stride or dilation", found=extra, expected=f"at most {most}")
    rows = (height - 1) * stride[0] + dilation[0] * (weight[2] - 1) + 1 + extra[0]
    columns = (width - 1) * stride[1] + dilation[1] * (weight[3] - 1) + 1 + extra[1]
    size = rows * columns * weight[1] * groups
    expect(size <= _MOST_UNCUT, "output before padding is cut off is too large", found=size, expected=_MOST_UNCUT)
    rows, columns = rows - top - bottom, columns - left - right
    expect(rows >= 1 and columns >= 1, "padding takes away the whole output", found=(rows, columns))
    _bias(weights, weight[1] * groups)
    return (rows, columns, weight[1] * groups)


def linear(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    weight = weights["weight"]
    expect(len(weight) == 2, "weight is not (out, in)", found=weight)
    expect(inputs[0] == (weight[1],), "weight does not fit the input", found=inputs[0], expected=(weight[1],))
    _bias(weights, weight[0])
    return (weight[0],)


def same(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    return inputs[0]


def per_channel(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    for role, shape in weights.items():
        expect(shape == inputs[0][-1:], f"{role} does not fit the channels", found=shape, expected=inputs[0][-1:])
    return inputs[0]


def clip(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    expect(attrs["low"] <= attrs["high"], "low is above high", found=(attrs["low"], attrs["high"]))
    return inputs[0]


def pool(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    kernel, padding = attrs["kernel"], attrs["padding"]
    half = (kernel[0] // 2, kernel[0] // 2, kernel[1] // 2, kernel[1] // 2)
    expect(all(p <= h for p, h in zip(padding, half, strict=True)), "padding exceeds half the window", found=padding)
    return (*_spatial(attrs, inputs[0], kernel, attrs["ceil_mode"]), _map(inputs[0])[2])


def adaptive(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    expect(all(side >= 1 for side in attrs["size"]), "output size below 1", found=attrs["size"])
    # Larger sides would let a few bytes of file ask for any amount of memory.
    expect(all(side <= 4096 for side in attrs["size"]), "output size is too large", found=attrs["size"])
    return (*attrs["size"], _map(inputs[0])[2])


def global_pool(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    return (_map(inputs[0])[2],)


def channel_mean(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    return (*inputs[0][:-1], 1)


def flatten(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    expect(attrs["order"] in ("chw", "hwc"), "unknown order", found=attrs["order"], expected="chw or hwc")
    return (prod(inputs[0]),)


def broadcast(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    """Equal shapes; or a second operand of one number per channel, ``(C,)`` / ``(1, 1, C)`` (squeeze-and-excite), or
    one per pixel, ``(H, W, 1)`` (XNOR-Net's K).
    """
    first, second = inputs
    broadcast = second in (first, first[-1:], (1, 1, *first[-1:]), (*first[:-1], 1))
    expect(broadcast, "operands do not fit", found=f"{first} and {second}")
    return first


def concat(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    first = inputs[0]
    fits = all(shape[:-1] == first[:-1] for shape in inputs)
    expect(fits, "maps of different sizes cannot be concatenated", found=list(inputs))
    return (*first[:-1], sum(shape[-1] for shape in inputs))


def slice_channels(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    start, stop, channels = attrs["start"], attrs["stop"], inputs[0][-1]
    expect(0 <= start < stop <= channels, "slice is outside the channels", found=(start, stop), expected=channels)
    return (*inputs[0][:-1], stop - start)


def strided(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    height, width, channels = _map(inputs[0])
    step = attrs["stride"]
    expect(min(step) >= 1, "stride below 1", found=step)
    return (-(-height // step[0]), -(-width // step[1]), channels)


def pad(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    height, width, channels = _map(inputs[0])
    (top, bottom, left, right), (front, back) = attrs["padding"], attrs["channels"]
    amounts = (top, bottom, left, right, front, back)
    expect(all(0 <= p <= 1 << 16 for p in amounts), "padding is negative or too large", found=amounts)
    return (height + top + bottom, width + left + right, channels + front + back)


def shuffle(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    groups, channels = attrs["groups"], inputs[0][-1]
    expect(groups >= 1 and channels % groups == 0, "groups do not divide the channels", found=groups, expected=channels)
    return inputs[0]


def lrn(attrs: Mapping[str, Any], inputs: Sequence[Shape], weights: Mapping[str, Shape]) -> Shape:
    expect(attrs["size"] >= 1, "size below 1", found=attrs["size"])
    return inputs[0]
