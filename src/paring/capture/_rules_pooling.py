"""Lowering rules of pooling layers."""

from __future__ import annotations

from typing import Any

from paring.capture._lower import Lowering, Value, rule
from paring.capture._rules_layers import along_width, around, pair


@rule("max_pool2d")
def max_pool2d(
    low: Lowering, x: Any, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Value:
    """Largest of each window."""
    attrs = {
        "kernel": pair(kernel),
        "stride": pair(stride or kernel),
        "padding": around(pair(padding)),
        "dilation": pair(dilation),
        "ceil_mode": bool(ceil),
    }
    return low.plain(low.emit("max_pool", [low.map(x)], attrs), x.ndim)


@rule("max_pool1d")
def max_pool1d(
    low: Lowering, x: Any, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Value:
    """Largest of each window along the width."""
    stride = along_width(stride or kernel, 1)
    return max_pool2d(low, x, along_width(kernel, 1), stride, along_width(padding, 0), along_width(dilation, 1), ceil)


@rule("max_pool2d_with_indices")
def max_pool2d_with_indices(low: Lowering, *args: Any) -> tuple[Value]:
    """As torch's dispatcher names it; nothing here reads the indices."""
    return (max_pool2d(low, *args),)


@rule("avg_pool2d")
def avg_pool2d(
    low: Lowering,
    x: Any,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    """Mean of each window."""
    height, width = pair(kernel)
    if divisor_override not in (None, height * width):
        raise low.refusal("avg_pool with a divisor of its own", found=divisor_override, expected=height * width)
    attrs = {
        "kernel": (height, width),
        "stride": pair(stride or kernel),
        "padding": around(pair(padding)),
        "ceil_mode": bool(ceil),
        "count_include_pad": bool(count_include_pad),
    }
    return low.plain(low.emit("avg_pool", [low.map(x)], attrs), x.ndim)


@rule("avg_pool1d")
def avg_pool1d(
    low: Lowering,
    x: Any,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil: bool = False,
    count_include_pad: bool = True,
) -> Value:
    """Mean of each window along the width."""
    stride = along_width(stride or kernel, 1)
    return avg_pool2d(low, x, along_width(kernel, 1), stride, along_width(padding, 0), ceil, count_include_pad)


@rule("adaptive_avg_pool2d", "_adaptive_avg_pool2d")
def adaptive_avg_pool2d(low: Lowering, x: Any, size: Any) -> Value:
    """Means over about equal windows, as many as asked for."""
    return low.plain(low.emit("adaptive_avg_pool", [low.map(x)], {"size": pair(size)}), x.ndim)


@rule("adaptive_avg_pool1d")
def adaptive_avg_pool1d(low: Lowering, x: Any, size: Any) -> Value:
    """The same along the width."""
    return adaptive_avg_pool2d(low, x, along_width(size, 1))


@rule("adaptive_max_pool2d")
def adaptive_max_pool2d(low: Lowering, x: Any, size: Any) -> tuple[Value]:
    """A plain max pool where the windows come out equal."""
    inner, size = low.shapes[low.map(x)], pair(size)
    if len(inner) != 3 or inner[0] % size[0] or inner[1] % size[1]:
        raise low.refusal("adaptive max pool with unequal windows", found=f"{inner[:2]} to {size}")
    return (max_pool2d(low, x, (inner[0] // size[0], inner[1] // size[1])),)
