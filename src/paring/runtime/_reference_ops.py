"""The reference interpreter's operators, one plain function each: ``(attrs, inputs, weights) -> output``.

Each is found by its operator's name. Where torch has the operator, its semantics are torch's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Attrs = Mapping[str, Any]
Inputs = list[np.ndarray]
Weights = Mapping[str, np.ndarray]


def _count(size: int, span: int, stride: int, before: int, after: int, ceil: bool = False) -> int:
    """Number of window positions along one axis, as paring.graph infers it."""
    room = size + before + after - span
    steps = -(-room // stride) if ceil else room // stride
    if ceil and steps * stride >= size + before:
        steps -= 1
    return steps + 1


def taps(
    x: np.ndarray, kernel: tuple[int, int], attrs: Attrs, fill: float
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """For each kernel position ``(i, j)``: what every window sees there, ``(N, OH, OW, C)``, and whether that is inside
    the image, ``(OH, OW)``; ``fill`` stands where it is not.
    """
    (height, width), (sy, sx) = x.shape[1:3], attrs["stride"]
    (top, bottom, left, right), (dy, dx) = attrs["padding"], attrs.get("dilation", (1, 1))
    ceil = attrs.get("ceil_mode", False)
    rows = np.arange(_count(height, dy * (kernel[0] - 1) + 1, sy, top, bottom, ceil)) * sy - top
    cols = np.arange(_count(width, dx * (kernel[1] - 1) + 1, sx, left, right, ceil)) * sx - left
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            y, z = rows + i * dy, cols + j * dx
            inside = ((y >= 0) & (y < height))[:, None] & ((z >= 0) & (z < width))[None, :]
            seen = x[:, np.clip(y, 0, height - 1)][:, :, np.clip(z, 0, width - 1)]
            yield i, j, np.where(inside[..., None], seen, np.float32(fill)), inside


def conv2d(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Cross-correlation: ``y[a, b, o] = bias[o] + sum of w[o, c, i, j] x[a s + i d - p, b s + j d - p, c]``."""
    weight, groups = weights["weight"], attrs["groups"]
    out, per_group = weight.shape[:2]
    result: Any = np.float32(0)
    for i, j, seen, _ in taps(inputs[0], weight.shape[2:], attrs, 0.0):
        parts = []
        for group in range(groups):
            channels = seen[..., group * per_group : (group + 1) * per_group]
            kernels = weight[group * (out // groups) : (group + 1) * (out // groups), :, i, j]
            parts.append(channels @ kernels.T)
        result = result + np.concatenate(parts, axis=-1)
    return result + weights.get("bias", np.float32(0))


def conv_transpose2d(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Every input pixel adds its multiple of the kernel: ``full[a s + i d, b s + j d, o] += w[c, o, i, j] x[a, b, c]``;
    the answer is ``full`` from row ``top`` and column ``left`` on, as large as the graph says, zero where it ends.
    """
    x, weight, groups = inputs[0], weights["weight"], attrs["groups"]
    (sy, sx), (dy, dx), (top, bottom, left, right) = attrs["stride"], attrs["dilation"], attrs["padding"]
    batch, height, width, channels = x.shape
    tall = (height - 1) * sy + dy * (weight.shape[2] - 1) + 1 + attrs["output_padding"][0]
    wide = (width - 1) * sx + dx * (weight.shape[3] - 1) + 1 + attrs["output_padding"][1]
    fan_in, fan_out = channels // groups, weight.shape[1]
    full = np.zeros((batch, tall, wide, groups * fan_out), np.float32)
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            rows = slice(i * dy, i * dy + (height - 1) * sy + 1, sy)
            columns = slice(j * dx, j * dx + (width - 1) * sx + 1, sx)
            for group in range(groups):
                mine = slice(group * fan_in, (group + 1) * fan_in)
                outs = slice(group * fan_out, (group + 1) * fan_out)
                full[:, rows, columns, outs] += x[..., mine] @ weight[mine, :, i, j]
    return full[:, top : tall - bottom, left : wide - right] + weights.get("bias", np.float32(0))


def linear(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``y = x W^T + b``."""
    return inputs[0] @ weights["weight"].T + weights.get("bias", np.float32(0))


def scale_shift(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``y = x * scale + shift`` per channel."""
    return inputs[0] * weights["scale"] + weights["shift"]


def relu(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``max(x, 0)``; NaN stays NaN."""
    return np.maximum(inputs[0], np.float32(0))


def clip(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``min(max(x, low), high)``; NaN stays NaN."""
    return np.minimum(np.maximum(inputs[0], np.float32(attrs["low"])), np.float32(attrs["high"]))


def leaky_relu(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``x`` where positive, ``slope * x`` elsewhere."""
    x = inputs[0]
    return np.where(x > 0, x, x * np.float32(attrs["slope"]))


def sigmoid(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``1 / (1 + exp(-x))``."""
    return _sigmoid(inputs[0])


def tanh(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Hyperbolic tangent."""
    return np.tanh(inputs[0])


def hard_sigmoid(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``min(max(x + 3, 0), 6) / 6``."""
    return _hard_sigmoid(inputs[0])


def hard_swish(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``x * min(max(x + 3, 0), 6) / 6`` (MobileNetV3, arXiv 1905.02244)."""
    return inputs[0] * _hard_sigmoid(inputs[0])


def silu(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``x / (1 + exp(-x))``."""
    return inputs[0] * _sigmoid(inputs[0])


def gelu(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``x / 2 * (1 + erf(x / sqrt(2)))``."""
    x = inputs[0]
    erf = np.array([math.erf(v / math.sqrt(2.0)) for v in x.ravel().tolist()], np.float32).reshape(x.shape)
    return np.float32(0.5) * x * (1 + erf)


def softmax(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``exp(x - max x)`` over its sum, along the last axis."""
    shifted = np.exp(inputs[0] - inputs[0].max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def prelu(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``x`` where positive, ``slope * x`` elsewhere, a slope per channel."""
    x = inputs[0]
    return np.where(x > 0, x, x * weights["slope"])


def sign(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """+1 where ``x >= 0``, else -1; NaN gives -1, since a bit has no third value."""
    return np.where(inputs[0] >= 0, np.float32(1), np.float32(-1))


def abs(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``|x|``."""
    return np.abs(inputs[0])


def max_pool(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Largest value inside each window; a window wholly outside the image gives minus infinity."""
    result: Any = np.float32(-np.inf)
    for _, _, seen, _ in taps(inputs[0], attrs["kernel"], attrs, -np.inf):
        result = np.maximum(result, seen)
    return result


def avg_pool(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Mean of each window; with ``count_include_pad`` the divisor counts padding, but never what ceil_mode adds."""
    x, kernel = inputs[0], attrs["kernel"]
    total, inside = np.float32(0), np.float32(0)
    for _, _, seen, mask in taps(x, kernel, attrs, 0.0):
        total, inside = total + seen, inside + mask.astype(np.float32)
    if not attrs["count_include_pad"]:
        return total / inside[..., None]
    return total / window_counts(attrs, x.shape[1], x.shape[2]).astype(np.float32)[..., None]


def window_counts(attrs: Attrs, height: int, width: int) -> np.ndarray:
    """How many pixels each window of a pool averages over, padding included, ``(OH, OW)``."""
    kernel, (top, bottom, left, right) = attrs["kernel"], attrs["padding"]
    ceil = attrs["ceil_mode"]
    rows = np.arange(_count(height, kernel[0], attrs["stride"][0], top, bottom, ceil)) * attrs["stride"][0] - top
    cols = np.arange(_count(width, kernel[1], attrs["stride"][1], left, right, ceil)) * attrs["stride"][1] - left
    tall = np.minimum(rows + kernel[0], height + bottom) - rows
    wide = np.minimum(cols + kernel[1], width + right) - cols
    return tall[:, None] * wide[None, :]


def adaptive_avg_pool(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Mean over rows ``floor(i H / h) .. ceil((i + 1) H / h) - 1`` and columns likewise."""
    x, (tall, wide) = inputs[0], attrs["size"]
    batch, height, width, channels = x.shape
    result = np.empty((batch, tall, wide, channels), np.float32)
    for i in range(tall):
        for j in range(wide):
            rows = slice(i * height // tall, -(-(i + 1) * height // tall))
            cols = slice(j * width // wide, -(-(j + 1) * width // wide))
            result[:, i, j] = x[:, rows, cols].mean(axis=(1, 2), dtype=np.float32)
    return result


def global_avg_pool(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Mean over rows and columns: ``(N, H, W, C)`` to ``(N, C)``."""
    return inputs[0].mean(axis=(1, 2), dtype=np.float32)


def channel_mean(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Mean over the channels: ``(N, H, W, C)`` to ``(N, H, W, 1)``."""
    return inputs[0].mean(axis=-1, keepdims=True, dtype=np.float32)


def flatten(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """One row per example; ``order="chw"`` lays channels out first."""
    x = inputs[0]
    if attrs["order"] == "chw":
        x = np.moveaxis(x, -1, 1)
    return np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))


def add(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Sum; the second operand may be one number per channel or per pixel."""
    return inputs[0] + _spread(inputs)


def mul(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Product; the second operand may be one number per channel or per pixel."""
    return inputs[0] * _spread(inputs)


def concat(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Channels behind one another."""
    return np.concatenate(inputs, axis=-1)


def slice_channels(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Channels ``start .. stop - 1``."""
    return inputs[0][..., attrs["start"] : attrs["stop"]]


def channel_shuffle(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Channels as a ``groups x C / groups`` table, read by columns (ShuffleNet, arXiv 1707.01083)."""
    x, groups = inputs[0], attrs["groups"]
    table = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    return np.ascontiguousarray(np.swapaxes(table, -1, -2)).reshape(x.shape)


def subsample(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Every stride-th row and column, the first included."""
    rows, cols = attrs["stride"]
    return inputs[0][:, ::rows, ::cols]


def pad(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """Zeros around the map and in front of and behind the channels."""
    top, bottom, left, right = attrs["padding"]
    return np.pad(inputs[0], ((0, 0), (top, bottom), (left, right), attrs["channels"]))


def lrn(attrs: Attrs, inputs: Inputs, weights: Weights) -> np.ndarray:
    """``x / (k + alpha / size * sum of x^2 over size channels) ** beta``; the window of channel ``c`` starts at
    ``c - size // 2`` and is cut off at the first and last channel.
    """
    x, size = inputs[0], attrs["size"]
    channels = x.shape[-1]
    squares = np.zeros_like(x)
    for c in range(channels):
        first, last = max(c - size // 2, 0), min(c + (size - 1) // 2, channels - 1)
        squares[..., c] = (x[..., first : last + 1] ** 2).sum(axis=-1)
    scale = np.float32(attrs["k"]) + np.float32(attrs["alpha"] / size) * squares
    return x / scale ** np.float32(attrs["beta"])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _hard_sigmoid(x: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(x + np.float32(3), np.float32(0)), np.float32(6)) / np.float32(6)


def _spread(inputs: Inputs) -> np.ndarray:
    """The second operand so that it broadcasts over the first."""
    first, second = inputs
    if second.shape == first.shape or second.shape == (*first.shape[:-1], 1):
        return second
    return second.reshape(len(second), *[1] * (first.ndim - 2), second.shape[-1])
