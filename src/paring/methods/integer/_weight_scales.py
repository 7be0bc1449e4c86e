"""Scales of integer weights, symmetric: ``w ~ scale * code``, codes ``-(2**(b-1) - 1) .. 2**(b-1) - 1``.

max   scale = max |w| / (2**(b-1) - 1): nothing is clipped
mse   the scale with the least squared error: a search over shares of the former, then the best scale for the
      codes at hand, <w, code> / <code, code>, and the best codes for that scale, in turn
"""

from __future__ import annotations

import numpy as np

from paring.errors import ArgumentError

#: How a weight's scales are chosen.
SCALES = ("max", "mse")
#: Shares of the largest weight that the search tries.
_SHARES = np.linspace(1.0, 0.2, 81)


def largest_code(bits: int) -> int:
    """``2**(bits - 1) - 1``.

    Raises:
        ArgumentError: if ``bits`` is not 2 to 8.
    """
    if not isinstance(bits, int) or isinstance(bits, bool) or not 2 <= bits <= 8:
        raise ArgumentError("invalid width of an integer", found=bits, expected="2 to 8 bits")
    return 2 ** (bits - 1) - 1


def weight_scales(weight: np.ndarray, bits: int = 8, axis: int | None = 0, how: str = "max") -> np.ndarray:
    """The scale of each channel along ``axis``, or of the whole tensor.

    Args:
        weight: float array.
        bits: 2 to 8.
        axis: the channels; None for one scale for all.
        how: ``max`` or ``mse``.

    Returns:
        float32 ``(channels,)`` or ``(1,)``, positive; 1 where every weight is zero.

    Raises:
        ArgumentError: on another width or ``how``.
    """
    top = largest_code(bits)
    if how not in SCALES:
        raise ArgumentError("unknown way to choose a weight's scale", found=repr(how), expected=" or ".join(SCALES))
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1) if axis is not None else weight.reshape(1, -1)
    rows = rows.astype(np.float64)
    whole = np.abs(rows).max(1) / top
    scales = np.where(whole > 0, whole, 1.0)
    if how == "mse":
        scales = _least_error(rows, scales, top)
    return np.maximum(scales, 2.0**-100).astype(np.float32)


def _least_error(rows: np.ndarray, whole: np.ndarray, top: int) -> np.ndarray:
    best, error = whole.copy(), _error(rows, whole, top)

    def consider(scales: np.ndarray) -> None:
        nonlocal best, error
        found = _error(rows, scales, top)
        better = found < error
        best, error = np.where(better, scales, best), np.where(better, found, error)

    for share in _SHARES:
        consider(whole * share)
    for _ in range(3):
        codes = np.clip(np.rint(rows / best[:, None]), -top, top)
        square = (codes**2).sum(1)
        consider(np.where(square > 0, (rows * codes).sum(1) / np.maximum(square, 1), best))
    return best


def _error(rows: np.ndarray, scales: np.ndarray, top: int) -> np.ndarray:
    codes = np.clip(np.rint(rows / scales[:, None]), -top, top)
    return ((codes * scales[:, None] - rows) ** 2).sum(1)
