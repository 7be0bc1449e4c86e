"""What range an activation is quantized over: streaming histograms, and four ways to read a range off them.

A histogram's bins are ``[i w, (i + 1) w)`` with ``w`` a power of two. When a value falls outside, neighboring bins
are merged and ``w`` doubles, which is exact: ``floor(floor(x / w) / 2) = floor(x / 2w)``. Memory is bounded, no second
pass is needed, and the counts do not depend on the order or the sizes of the batches.

    minmax      the smallest and the largest value seen
    percentile  the quantiles ``1 - f`` and ``f``
    mse         the range with the least mean squared error of rounding and clipping
    lp          the same with the error to the power 2.4, which minds large errors, those of clipping, more
    entropy     the range with the least Kullback-Leibler divergence between clipped and quantized counts
                (as TensorRT calibrates: Migacz, "8-bit inference with TensorRT", GTC 2017)
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from math import frexp, isfinite

import numpy as np
import torch
from torch import Tensor

from paring.errors import ArgumentError, DataError

#: Bins of a histogram; an 8-bit step is 8 to 16 of them.
BINS = 4096

Range = tuple[float, float]


class Histogram:
    """Counts of every value seen, in at most ``bins`` bins, with the exact smallest and largest.

    Args:
        bins: most bins, at least 2.

    Attributes:
        width: width of a bin, a power of two.
        first: number of the first bin, which begins at ``first * width``.
        counts: int64 ``(<= bins,)``.
        low: smallest value seen.
        high: largest value seen.
    """

    def __init__(self, bins: int = BINS) -> None:
        if bins < 2:
            raise ArgumentError("a histogram needs at least 2 bins", found=bins)
        self.bins = bins
        self.width = 0.0
        self.first = 0
        self.counts = np.zeros(0, np.int64)
        self.low, self.high = np.inf, -np.inf

    def update(self, x: Tensor) -> None:
        """Count every element of ``x``, any shape.

        Raises:
            DataError: if one is not finite.
        """
        if not x.numel():
            return
        x = x.detach()
        low, high = (float(v) for v in torch.aminmax(x))
        if not (isfinite(low) and isfinite(high)):
            raise DataError("an activation is not a finite number", found=(low, high))
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen()
        # All exact in floating point: the width is a power of two, and bins' numbers lie within 4096 of each other.
        index = (x.reshape(-1) * (1 / self.width)).floor_().sub_(self.first)
        index.clamp_(0, len(self.counts) - 1)  # a negative number next to nothing divides to -0
        self.counts += torch.bincount(index.to(torch.int32), minlength=len(self.counts)).numpy(force=True)

    def merge(self, other: Histogram) -> None:
        """Count what another has counted, in as many bins, too: the same as if this one had seen everything."""
        if not other.width:
            return
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._widen()
        _add(other, self)

    def centers(self) -> np.ndarray:
        """Middle of each bin, float64."""
        return (self.first + np.arange(len(self.counts)) + 0.5) * self.width

    def _widen(self) -> None:
        """Merge bins until ``low .. high`` fits into them."""
        if not self.width:
            span = max(self.high - self.low, abs(self.low), abs(self.high), 2.0**-100)
            self.width = 2.0 ** max(frexp(span)[1] - 50, -120)
            width = self.width
        else:
            width = self.width
        while np.floor(self.high / width) - np.floor(self.low / width) >= self.bins:
            width *= 2
        first = int(np.floor(self.low / width))
        length = int(np.floor(self.high / width)) - first + 1
        if (width, first, length) == (self.width, self.first, len(self.counts)):
            return
        before = copy(self)
        self.width, self.first, self.counts = width, first, np.zeros(length, np.int64)
        if before.counts.size:
            _add(before, self)


def _add(source: Histogram, target: Histogram) -> None:
    """Counts of a histogram to those of one whose bins are as wide or wider, and reach at least as far."""
    numbers = source.first + np.arange(len(source.counts), dtype=np.float64)
    bins = np.floor(numbers * (source.width / target.width)) - target.first
    np.add.at(target.counts, bins.astype(np.int64), source.counts)


def minmax(histogram: Histogram, bits: int = 8) -> Range:
    """The smallest and the largest value seen."""
    return histogram.low, histogram.high


def percentile(histogram: Histogram, bits: int = 8, fraction: float = 0.9999) -> Range:
    """The quantiles ``1 - fraction`` and ``fraction``, linear within a bin.

    Raises:
        ArgumentError: if ``fraction`` is not above 0.5 and at most 1.
    """
    if not 0.5 < fraction <= 1:
        raise ArgumentError("invalid fraction of a percentile", found=fraction, expected="above 0.5, at most 1")
    edges = (histogram.first + np.arange(len(histogram.counts) + 1)) * histogram.width
    share = np.concatenate([[0.0], np.cumsum(histogram.counts) / histogram.counts.sum()])
    low, high = (float(np.interp(f, share, edges)) for f in (1 - fraction, fraction))
    return max(low, histogram.low), min(high, histogram.high)


def mse(histogram: Histogram, bits: int = 8, steps: int = 64, power: float = 2.0) -> Range:
    """The range whose affine quantization has the least mean error, squared or to another power, over the counts.

    Both ends are shrunk in turn through ``steps`` evenly spaced fractions, upper first, twice.
    """
    x, counts = _occupied(histogram)
    low, high = with_zero(histogram.low, histogram.high)
    fractions = np.arange(1, steps + 1) / steps

    def error(ends: Range) -> float:
        return float(counts @ np.abs(_rounded(x, *ends, bits) - x) ** power)

    for _ in range(2):
        if histogram.high > 0:
            high = min((with_zero(low, f * histogram.high) for f in fractions[::-1]), key=error)[1]
        if histogram.low < 0:
            low = min((with_zero(f * histogram.low, high) for f in fractions[::-1]), key=error)[0]
    return low, high


def entropy(histogram: Histogram, bits: int = 8, steps: int = 64) -> Range:
    """The range with the least Kullback-Leibler divergence of the counts, clipped, from their quantized version.

    Magnitudes are bounded, by ``steps`` evenly spaced bounds. What is clipped counts in the outermost bins of the
    reference, not in the quantized version; a quantized level spreads its mass evenly over its bins that are not empty.
    """
    x, counts = _occupied(histogram)
    low, high = with_zero(histogram.low, histogram.high)
    best, chosen = np.inf, (low, high)
    for bound in max(-low, high) * np.arange(steps, 0, -1) / steps:
        ends = float(max(low, -bound)), float(min(high, bound))
        divergence = _divergence(x, counts, *ends, bits)
        if divergence < best:
            best, chosen = divergence, ends
    return chosen


#: How a range is read off a histogram, by name: ``(histogram, bits) -> (low, high)``.
OBSERVERS: dict[str, Callable[..., Range]] = {
    "minmax": minmax,
    "percentile": percentile,
    "mse": mse,
    "lp": partial(mse, power=2.4),
    "entropy": entropy,
}


def with_zero(low: float, high: float) -> Range:
    """The range widened to hold 0, which padding and pruned weights need exactly; never empty."""
    low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high > low else (0.0, 1.0)


def affine(low: float, high: float, bits: int = 8, first: int = 0) -> tuple[np.float32, int]:
    """Scale and zero point of codes ``first .. first + 2**bits - 1`` over a range that holds 0.

    ``scale = (high - low) / (2**bits - 1)``, ``zero_point = first + rne(-low / scale)``.
    """
    low, high = with_zero(low, high)
    top = 2**bits - 1
    scale = np.float32(max((high - low) / top, 2.0**-100))
    return scale, first + int(min(max(np.rint(-low / float(scale)), 0), top))


def _occupied(histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    there = histogram.counts > 0
    return histogram.centers()[there], histogram.counts[there].astype(np.float64)


def _rounded(x: np.ndarray, low: float, high: float, bits: int) -> np.ndarray:
    scale, zero = affine(low, high, bits)
    codes = np.clip(np.rint(x / float(scale)) + zero, 0, 2**bits - 1)
    return (codes - zero) * float(scale)


def _divergence(x: np.ndarray, counts: np.ndarray, low: float, high: float, bits: int) -> float:
    scale, zero = affine(low, high, bits)
    inside = (x >= low) & (x <= high)
    if not inside.any():
        return np.inf
    kept = counts[inside]
    reference = kept.copy()
    reference[0] += counts[x < low].sum()
    reference[-1] += counts[x > high].sum()
    level = np.clip(np.rint(x[inside] / float(scale)) + zero, 0, 2**bits - 1).astype(np.int64)
    members = np.bincount(level, minlength=2**bits)
    quantized = (np.bincount(level, kept, 2**bits) / np.maximum(members, 1))[level]
    p, q = reference / reference.sum(), quantized / quantized.sum()
    return float(p @ np.log(p / q))
