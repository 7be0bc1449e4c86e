"""How many of a matrix' singular values are more than noise: the global analytic solution of empirical VBMF.

Nakajima, Sugiyama, Babacan, Tomioka, "Global analytic solution of fully-observed variational Bayesian matrix
factorization", JMLR 14, 2013. The model is ``V = B A^T + noise`` with noise of variance s2 in each of the L x M entries
(L <= M) and Gaussian priors on the columns of A and B, whose variances are estimated too. Variational Bayes then keeps
the h-th singular value g_h exactly if

    g_h^2 > M s2 xbar,    xbar = (1 + t)(1 + alpha / t),   alpha = L / M,

with t the zero of ``phi(t) + phi(t / alpha)``, ``phi(z) = log(1 + z) / z - 1/2``, and shrinks it to

    g_h / 2 (1 - (L + M) s2 / g_h^2 + sqrt((1 - (L + M) s2 / g_h^2)^2 - 4 L M s2^2 / g_h^4)).

Unknown noise is the s2 that minimizes the free energy, a function of one number: with ``x_h = g_h^2 / (M s2)``,

    sum_h psi(x_h),   psi(x) = x - log x + [x > xbar] (log(1 + t(x)) + alpha log(1 + t(x) / alpha) - t(x)),
    t(x) = (x - 1 - alpha + sqrt((x - 1 - alpha)^2 - 4 alpha)) / 2.

Kim et al., ICLR 2016, arXiv 1511.06530, take the ranks of Tucker-2 from it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from paring.errors import ArgumentError

#: Points at which the free energy is looked at before the best one is refined.
_GRID = 256


class Factorized(NamedTuple):
    """What variational Bayes says of a matrix.

    Attributes:
        rank: singular values that are more than noise.
        values: these, shrunk, float64 descending.
        noise: variance of the noise in each entry.
    """

    rank: int
    values: np.ndarray
    noise: float


def vbmf(matrix: np.ndarray, noise: float | None = None) -> Factorized:
    """The rank of a matrix under empirical variational Bayes.

    Args:
        matrix: float ``(L, M)``, either side the longer.
        noise: variance of the noise in each entry; estimated if not given.

    Raises:
        ArgumentError: if the array is no finite matrix.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise ArgumentError("not a matrix to find the rank of", found=f"shape {matrix.shape}", expected="finite (L, M)")
    short, long = sorted(matrix.shape)
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    if squares[0] == 0:
        return Factorized(0, np.zeros(0), 0.0)
    bound = _threshold(short / long)
    variance = _noise(squares, short, long, bound) if noise is None else float(noise)
    kept = squares[squares > long * variance * bound]
    share = 1 - (short + long) * variance / kept
    inner = np.sqrt(np.maximum(share**2 - 4 * short * long * variance**2 / kept**2, 0))
    return Factorized(len(kept), np.sqrt(kept) / 2 * (share + inner), variance)


def _threshold(alpha: float) -> float:
    """``xbar``, by bisection; the sum of the two falling functions has one zero."""

    def phi(z: float) -> float:
        return float(np.log1p(z)) / z - 0.5

    low, high = 1e-12, 1e3
    for _ in range(200):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if phi(middle) + phi(middle / alpha) > 0 else (low, middle)
    return (1 + low) * (1 + alpha / low)


def _noise(squares: np.ndarray, short: int, long: int, bound: float) -> float:
    """The variance that minimizes the free energy, between the paper's bounds (its theorem on the noise)."""
    alpha = short / long
    most = min(int(np.ceil(short / (1 + alpha))) - 1, len(squares))  # no more components than this can be kept
    upper = squares.sum() / (short * long)
    tail = squares[most:]
    lower = max(tail[0] / (long * bound), tail.mean() / long) if len(tail) else 0.0
    lower = min(max(lower, upper * 1e-12), upper)

    def energy(logs: np.ndarray) -> np.ndarray:
        x = np.maximum(squares[None] / (long * np.exp(logs)[:, None]), 1e-300)
        inner = np.sqrt(np.maximum((x - 1 - alpha) ** 2 - 4 * alpha, 0))
        t = np.maximum((x - 1 - alpha + inner) / 2, 1e-300)
        kept = np.log1p(t) + alpha * np.log1p(t / alpha) - t
        return (x - np.log(x) + np.where(x > bound, kept, 0)).sum(1)

    low, high = np.log(lower), np.log(upper)
    for _ in range(8):  # each round looks 100 times closer around the best point; the first one sees all valleys
        points = np.linspace(low, high, _GRID)
        best = int(energy(points).argmin())
        low, high = points[max(best - 1, 0)], points[min(best + 1, _GRID - 1)]
    return float(np.exp((low + high) / 2))
