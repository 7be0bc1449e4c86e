"""Integer arithmetic: what codes stand for, and the constants with which they are computed.
``docs/reference/arithmetic.md`` is normative; the training-time simulation, the reference interpreter and the engine
take these functions for everything that is computed once (multipliers, integer biases), and must agree with them bit
for bit on the rest.

Everything here is IEEE float32 or float64 in the order written, rounded to nearest, ties to even.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from paring.errors import ArgumentError

#: Products of a layer's codes, and its integer biases, may each add up to so much; together they fit 32 bits.
HALF_SUM = 1 << 30
#: Numbers that one average may run over: so many codes of 8 bits fit a sum.
MAX_WINDOW = 1 << 22
#: Smallest and largest multiplier: products with 32-bit sums are then neither subnormal nor infinite.
MULTIPLIERS = (2.0**-126, 2.0**64)
_SCALES = (2.0**-100, 2.0**100)


@dataclass(frozen=True)
class QuantParams:
    """What the unsigned codes of an activation stand for: ``r = scale * (q - zero_point)`` (Jacob 2018, arXiv
    1712.05877, equation 1).

    Attributes:
        scale: positive; rounded to float32 here, so that ``Codes(...).attrs()`` is what a graph accepts.
        zero_point: the code of 0.0, ``0 .. 2**bits - 1``.
        bits: 2 to 8; codes are ``0 .. 2**bits - 1``, kept as uint8 whatever their width.

    Raises:
        ArgumentError: if one of them is out of range.
    """

    scale: float
    zero_point: int
    bits: int = 8

    def __post_init__(self) -> None:
        scale = float(np.float32(self.scale))
        object.__setattr__(self, "scale", scale)
        if not 2 <= self.bits <= 8:
            raise ArgumentError("codes have an unknown width", found=f"{self.bits} bits", expected="2 to 8")
        if not _SCALES[0] <= scale <= _SCALES[1]:  # NaN is not either
            raise ArgumentError("scale of codes is out of range", found=scale, expected="2**-100 to 2**100")
        if not 0 <= self.zero_point <= self.high:
            raise ArgumentError("zero point is no code", found=self.zero_point, expected=f"0 to {self.high}")

    @property
    def high(self) -> int:
        """The largest code, ``2**bits - 1``."""
        return (1 << self.bits) - 1

    @property
    def reach(self) -> int:
        """The largest magnitude of ``q - zero_point``."""
        return max(self.zero_point, self.high - self.zero_point)

    def attrs(self) -> dict[str, Any]:
        """As attributes of a node that makes such codes."""
        return {"scale": self.scale, "zero_point": self.zero_point, "bits": self.bits}

    @classmethod
    def of(cls, attrs: Mapping[str, Any]) -> QuantParams:
        """From a node's attributes.

        Raises:
            ArgumentError: if they cannot be, or the scale is not a float32 number.
        """
        codes = cls(attrs["scale"], attrs["zero_point"], attrs["bits"])
        if codes.scale != attrs["scale"]:
            raise ArgumentError("scale of codes is not a float32 number", found=attrs["scale"], expected=codes.scale)
        return codes


def quantize(x: np.ndarray, codes: QuantParams) -> np.ndarray:
    """``q = clamp(round(x / scale) + zero_point, 0, 2**bits - 1)``; NaN gives code 0.

    The quotient is one float32 division (not a product with the reciprocal), rounded to an integer, ties to even.

    Args:
        x: float32, any shape.

    Returns:
        uint8, the same shape.
    """
    with np.errstate(all="ignore"):
        return to_codes(np.asarray(x, np.float32) / np.float32(codes.scale), codes.zero_point, 0, codes.high)


def dequantize(q: np.ndarray, codes: QuantParams) -> np.ndarray:
    """``float32(q - zero_point) * scale``, one float32 product; uint8 to float32."""
    return (np.asarray(q).astype(np.int32) - codes.zero_point).astype(np.float32) * np.float32(codes.scale)


def to_codes(t: np.ndarray, zero_point: int, low: int, high: int) -> np.ndarray:
    """``clamp(round(t) + zero_point, low, high)`` with ties to even; NaN gives ``low``. Float32 to uint8."""
    rounded = np.rint(t) + np.float32(zero_point)
    clamped = np.minimum(np.where(rounded >= low, rounded, np.float32(low)), np.float32(high))
    return clamped.astype(np.uint8)


def multiplier(source: float, target: float, count: int = 1) -> np.float32:
    """``float32(float64(source) / (float64(target) * count))``: from codes of one scale to those of another, through a
    sum over ``count`` of them where there is a mean.

    Raises:
        ArgumentError: if it is outside MULTIPLIERS.
    """
    return np.float32(_checked(np.float64(source) / (np.float64(target) * np.float64(count))))


def multipliers(source: float, weights: np.ndarray, target: float) -> np.ndarray:
    """``m[c] = float32(float64(source) * float64(weights[c]) / float64(target))``: from left to right.

    Args:
        source: scale of the layer's input.
        weights: float32 scales of its weight, ``(channels,)``.
        target: scale of its output.

    Returns:
        float32 ``(channels,)``.

    Raises:
        ArgumentError: if one is outside MULTIPLIERS.
    """
    return _checked(np.float64(source) * np.asarray(weights, np.float32).astype(np.float64) / np.float64(target))


def integer_bias(bias: np.ndarray, source: float, weights: np.ndarray) -> np.ndarray:
    """``round(float64(bias[c]) / (float64(source) * float64(weights[c])))``, ties to even.

    Args:
        bias: float32 ``(outputs,)``.
        source: scale of the layer's input.
        weights: float32 scales of its weight, ``(outputs,)`` or ``(1,)``.

    Returns:
        int32 ``(outputs,)``.

    Raises:
        ArgumentError: if one is larger than 2**30 or not a number: raise that channel's weight scale to
            :func:`least_scales`, which costs nothing where it happens, since such weights vanish beside the bias.
    """
    with np.errstate(all="ignore"):
        step = np.float64(source) * np.asarray(weights, np.float32).astype(np.float64)
        rounded = np.rint(np.asarray(bias, np.float32).astype(np.float64) / step)
    bad = ~(np.abs(rounded) <= HALF_SUM)
    if bad.any():
        channel = int(np.flatnonzero(bad)[0])
        raise ArgumentError(
            "bias is too large for the scale of its weights",
            found=f"{rounded[channel]:g} in channel {channel}",
            expected="at most 2**30",
            fix="Raise the weight's scale there to paring.graph.least_scales(bias, scale of the input)",
        )
    return rounded.astype(np.int32)


def least_scales(bias: np.ndarray, source: float) -> np.ndarray:
    """Smallest scales of a weight with which :func:`integer_bias` holds this bias; a quantizer takes the larger of this
    and the scale it wants. Float32, the bias's shape, never zero.
    """
    least = np.abs(np.asarray(bias, np.float32).astype(np.float64)) / (np.float64(source) * (HALF_SUM - 1024))
    return np.nextafter(np.maximum(least, 2.0**-90).astype(np.float32), np.float32(np.inf))


def requantize(sums: np.ndarray, m: np.ndarray | np.float32, zero_point: int, low: int, high: int) -> np.ndarray:
    """``clamp(round(float32(sum) * m) + zero_point, low, high)``: sums to codes.

    Args:
        sums: integers that fit int32, channels last.
        m: float32, a number or one per channel.

    Returns:
        uint8, the shape of ``sums``.
    """
    return to_codes(np.asarray(sums).astype(np.int32).astype(np.float32) * m, zero_point, low, high)


def _checked(exact: np.ndarray | np.float64) -> np.ndarray:
    with np.errstate(all="ignore"):
        m = np.asarray(exact, np.float64).astype(np.float32)
    if not np.all((m >= MULTIPLIERS[0]) & (m <= MULTIPLIERS[1])):
        raise ArgumentError("scales are too far apart", found=f"{float(m.min()):g} .. {float(m.max()):g}")
    return m
