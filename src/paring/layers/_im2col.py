"""Convolution as a matrix product, in NumPy: slow, obviously right, the judge of the tests.

Every window of the input becomes a column (im2col); the weights of a group, one row per output channel, multiply the
group's columns. ``docs/reference/convolution.md`` draws it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from paring.errors import ArgumentError

Array = npt.NDArray[Any]
Pair = int | tuple[int, int]
Padding = int | tuple[int, int] | tuple[int, int, int, int]


def output_size(size: int, kernel: int, stride: int = 1, padding: tuple[int, int] = (0, 0), dilation: int = 1) -> int:
    """Positions of a window along an axis: ``floor((size + padding - dilation (kernel - 1) - 1) / stride) + 1``.

    Raises:
        ArgumentError: if the window is larger than the padded input, or a number makes no sense.
    """
    if kernel < 1 or stride < 1 or dilation < 1 or min(padding) < 0:
        raise ArgumentError(
            "kernel, stride and dilation are at least 1, padding at least 0", found=(kernel, stride, dilation, padding)
        )
    room = size + sum(padding) - dilation * (kernel - 1) - 1
    if room < 0:
        raise ArgumentError("the window is larger than the padded input", found=dilation * (kernel - 1) + 1)
    return room // stride + 1


def im2col(x: Array, kernel: Pair, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1) -> Array:
    """Lay every window of the input out as a column.

    Args:
        x: (N, C, H, W) input.
        kernel: window, a side or (height, width).
        stride: step, one or (rows, columns).
        padding: zeros around the map: one, (rows, columns) or (top, bottom, left, right).
        dilation: distance between the window's values.

    Returns:
        (N, C * kh * kw, Ho * Wo): row ``(c * kh + i) * kw + j`` holds value (i, j) of channel c of every window.
    """
    (kh, kw), (sh, sw), (dh, dw) = _pair(kernel), _pair(stride), _pair(dilation)
    top, bottom, left, right = _sides(padding)
    n, channels, height, width = x.shape
    rows = output_size(height, kh, sh, (top, bottom), dh)
    columns = output_size(width, kw, sw, (left, right), dw)
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.empty((n, channels, kh, kw, rows, columns), x.dtype)
    for i in range(kh):
        for j in range(kw):
            first, last = i * dh, i * dh + sh * (rows - 1) + 1
            windows[:, :, i, j] = padded[:, :, first:last:sh, j * dw : j * dw + sw * (columns - 1) + 1 : sw]
    return windows.reshape(n, channels * kh * kw, rows * columns)


def col2im(
    columns: Array, size: tuple[int, int], kernel: Pair, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1
) -> Array:
    """The adjoint of :func:`im2col`: add every column back where its window was taken.

    ``<im2col(x), y> = <x, col2im(y)>``, so this carries gradients back to the input and is a transposed convolution.

    Args:
        columns: (N, C * kh * kw, Ho * Wo).
        size: (H, W) of the map.
        kernel: as in :func:`im2col`, as are stride, padding and dilation.

    Returns:
        (N, C, H, W).
    """
    (kh, kw), (sh, sw), (dh, dw) = _pair(kernel), _pair(stride), _pair(dilation)
    top, bottom, left, right = _sides(padding)
    height, width = size
    rows = output_size(height, kh, sh, (top, bottom), dh)
    steps = output_size(width, kw, sw, (left, right), dw)
    windows = columns.reshape(len(columns), -1, kh, kw, rows, steps)
    padded = np.zeros((len(columns), windows.shape[1], height + top + bottom, width + left + right), columns.dtype)
    for i in range(kh):
        for j in range(kw):
            first, last = i * dh, i * dh + sh * (rows - 1) + 1
            padded[:, :, first:last:sh, j * dw : j * dw + sw * (steps - 1) + 1 : sw] += windows[:, :, i, j]
    return padded[:, :, top : top + height, left : left + width]


def conv2d_gemm(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """Convolution (cross-correlation, as torch means it) as one matrix product per group.

    Args:
        x: (N, C, H, W) input.
        weight: (F, C / groups, kh, kw).
        bias: (F,) or None.
        stride: as in :func:`im2col`, as are padding and dilation.
        groups: output channels of group g see input channels of group g only.

    Returns:
        (N, F, Ho, Wo), in the type NumPy gives ``weight @ x``.

    Raises:
        ArgumentError: if shapes and groups do not fit.
    """
    n, channels, height, _ = x.shape
    filters, depth, kh, kw = weight.shape
    if groups < 1 or channels % groups or filters % groups or depth != channels // groups:
        raise ArgumentError(
            "weight, input and groups do not fit",
            found=f"weight {weight.shape}, input {x.shape}, groups {groups}",
            expected="weight of (F, C / groups, kh, kw)",
        )
    columns = im2col(x, (kh, kw), stride, padding, dilation)
    columns = columns.reshape(n, groups, depth * kh * kw, -1)
    matrices = weight.reshape(groups, filters // groups, depth * kh * kw)
    (sh, _), (dh, _), (top, bottom, _, _) = _pair(stride), _pair(dilation), _sides(padding)
    rows = output_size(height, kh, sh, (top, bottom), dh)
    y = np.matmul(matrices, columns).reshape(n, filters, rows, -1)
    return y if bias is None else y + bias[:, None, None]


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _sides(value: Padding) -> tuple[int, int, int, int]:
    if isinstance(value, tuple) and len(value) == 4:
        return value
    rows, columns = _pair(value)
    return (rows, rows, columns, columns)
