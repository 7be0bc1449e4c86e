"""Exact one-dimensional k-means in NumPy, by dynamic programming over all distinct values: the native one's judge."""

from __future__ import annotations

import numpy as np

from paring.errors import ArgumentError


def exact_kmeans_reference(values: np.ndarray, k: int) -> np.ndarray:
    """Centroids with the least sum of squared distances there is.

    In one dimension the clusters of an optimum are intervals of the sorted values. With ``E(j, i)`` the least cost of
    the first ``i`` values in ``j`` clusters and ``c(m, i)`` the squared deviation of values ``m .. i-1`` from their
    mean,

        E(j, i) = min over m of  E(j-1, m) + c(m, i),

    and the best ``m`` does not fall as ``i`` grows, because ``c`` satisfies the quadrangle inequality (Wu, "Optimal
    quantization by matrix searching", J. Algorithms 12, 1991). Each row is therefore found by divide and conquer, all
    ranges of one depth at once.

    Args:
        values: float array of any shape, at least one element.
        k: number of clusters.

    Returns:
        ascending float64 centroids, ``min(k, distinct values)`` of them.
    """
    points, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    k = checked_centroids(k)
    if len(points) <= k:
        return points
    shift = float(points @ counts / counts.sum())  # centered sums lose fewer digits
    cost = _IntervalCost(points - shift, counts)
    n = len(points)
    best = cost(np.zeros(n + 1, np.int64), np.arange(n + 1))
    cuts = np.zeros((k, n + 1), np.int32)
    for j in range(1, k):
        best, cuts[j] = _next_row(best, cost, j)
    ends = [n]
    for j in range(k - 1, -1, -1):
        ends.append(int(cuts[j, ends[-1]]))
    edges = np.array(ends[::-1])
    return cost.means(edges[:-1], edges[1:]) + shift


class _IntervalCost:
    """Squared deviation of a run of weighted sorted points from its mean, by prefix sums."""

    def __init__(self, points: np.ndarray, counts: np.ndarray) -> None:
        zero = np.zeros(1)
        self.n = np.concatenate([zero, np.cumsum(counts, dtype=np.float64)])
        self.s = np.concatenate([zero, np.cumsum(points * counts)])
        self.q = np.concatenate([zero, np.cumsum(points * points * counts)])

    def __call__(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        n = self.n[end] - self.n[start]
        s = self.s[end] - self.s[start]
        return np.maximum(self.q[end] - self.q[start] - s * s / np.maximum(n, 1), 0.0)

    def means(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return (self.s[end] - self.s[start]) / (self.n[end] - self.n[start])


def _next_row(previous: np.ndarray, cost: _IntervalCost, j: int) -> tuple[np.ndarray, np.ndarray]:
    """``E(j+1, .)`` and its cuts from ``previous = E(j, .)``; rows are indexed by the number of points covered."""
    n = len(previous) - 1
    row, cut = np.full(n + 1, np.inf), np.full(n + 1, j, np.int32)
    # ranges of ends still to do, [lo, hi], whose cuts lie in [first, last]
    lo, hi = np.array([j + 1]), np.array([n])
    first, last = np.array([j]), np.array([n - 1])
    row[j] = 0.0
    while len(lo):
        mid = (lo + hi) // 2
        stop = np.minimum(last, mid - 1)
        lengths = stop - first + 1
        starts = np.cumsum(lengths) - lengths
        m = np.arange(lengths.sum()) - np.repeat(starts - first, lengths)
        total = previous[m] + cost(m, np.repeat(mid, lengths))
        least = np.minimum.reduceat(total, starts)
        hit = np.flatnonzero(total == np.repeat(least, lengths))
        chosen = m[hit[np.searchsorted(hit, starts)]]  # the leftmost of each range
        row[mid], cut[mid] = least, chosen
        left, right = lo < mid, mid < hi
        lo, hi, first, last = (
            np.concatenate([lo[left], mid[right] + 1]),
            np.concatenate([mid[left] - 1, hi[right]]),
            np.concatenate([first[left], chosen[right]]),
            np.concatenate([chosen[left], last[right]]),
        )
    return row, cut


def checked_centroids(k: int) -> int:
    """``k`` as an int in 1..65535.

    Raises:
        ArgumentError: if it is not.
    """
    if int(k) != k or not 1 <= k <= 65535:
        raise ArgumentError("invalid number of centroids", found=k, expected="1 to 65535")
    return int(k)
