"""One-dimensional k-means: exact by dynamic programming, Lloyd's iteration, and with a price on rare symbols."""

from __future__ import annotations

import numpy as np

from paring.errors import ArgumentError

#: Ways to begin: the paper's three, and the optimum itself.
INITIALISATIONS = ("linear", "density", "random", "exact")


def exact_kmeans(values: np.ndarray, k: int) -> np.ndarray:
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
    shift = float(points @ counts / counts.sum())  # centred sums lose fewer digits
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


def initial_centroids(values: np.ndarray, k: int, init: str, seed: int = 0) -> np.ndarray:
    """Where Lloyd's iteration begins; Deep Compression, arXiv 1510.00149, section 3.2.

    ``linear``: evenly from the smallest to the largest value. ``density``: at evenly spaced levels of the cumulative
    distribution, ``(i + 1/2) / k``. ``random`` (Forgy): ``k`` of the values drawn without replacement. ``exact``: the
    optimum of :func:`exact_kmeans`, which Lloyd's iteration leaves alone.

    Returns:
        ascending distinct float64 centroids, at most ``k``.

    Raises:
        ArgumentError: on an unknown ``init`` or fewer than one centroid.
    """
    k = checked_centroids(k)
    values = np.asarray(values, np.float64).ravel()
    if init == "exact":
        return exact_kmeans(values, k)
    if init == "linear":
        return np.unique(np.linspace(values.min(), values.max(), k) if k > 1 else values.mean(keepdims=True))
    if init == "density":
        return np.unique(np.quantile(values, (np.arange(k) + 0.5) / k))
    if init == "random":
        distinct = np.unique(values)
        return np.sort(np.random.default_rng(seed).choice(distinct, min(k, len(distinct)), replace=False))
    raise ArgumentError("unknown initialisation of centroids", found=repr(init), expected=" or ".join(INITIALISATIONS))


def lloyd(values: np.ndarray, centroids: np.ndarray, penalty: float = 0.0, rounds: int = 300) -> np.ndarray:
    """Lloyd's iteration on a line until nothing moves: assign to the cheapest centroid, move it to its members' mean.

    With ``penalty`` > 0 a value pays, beside its squared distance in units of the variance, ``penalty`` for every bit
    of its symbol's ideal code: ``(w - c)^2 / var + penalty * -log2(p_c)`` (entropy-constrained quantisation: Chou,
    Lookabaugh, Gray, IEEE Trans. ASSP 37, 1989). Centroids that lose all members are dropped.

    Args:
        values: float array of any shape.
        centroids: where to begin, ascending.
        penalty: price of a bit, not negative.
        rounds: most iterations.

    Returns:
        ascending float64 centroids, all of them used.
    """
    values = np.sort(np.asarray(values, np.float64).ravel())
    centroids = np.asarray(centroids, np.float64)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    price = np.zeros(len(centroids))
    scale = penalty * values.var()
    for _ in range(rounds):
        edges = np.searchsorted(values, boundaries(centroids, scale * price), side="right")
        edges = np.concatenate([[0], np.maximum.accumulate(edges), [len(values)]])
        counts = np.diff(edges)
        used = counts > 0
        moved = np.diff(sums[edges])[used] / counts[used]
        price = -np.log2(counts[used] / len(values))
        settled = len(moved) == len(centroids) and np.array_equal(moved, centroids)
        centroids = moved
        if settled:
            break
    return centroids


def boundaries(centroids: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Where the cheapest centroid changes, ``(k-1,)``; with equal prices, half way between neighbours.

    The costs ``(w - c_i)^2 + price_i`` are parabolas of one width, so their lower envelope is made of intervals in
    the centroids' order; a centroid under the envelope gets an empty one.
    """
    k = len(centroids)
    stack, left = [0], [-np.inf]
    for i in range(1, k):
        while True:
            at = _crossing(centroids, price, stack[-1], i)
            if at > left[-1]:
                break
            stack.pop()
            left.pop()
        stack.append(i)
        left.append(at)
    edges = np.full(k + 1, np.inf)
    edges[stack] = left
    # a dropped centroid begins where its successor begins, so that its interval is empty
    return np.minimum.accumulate(edges[::-1])[::-1][1:k]


def _crossing(c: np.ndarray, price: np.ndarray, i: int, j: int) -> float:
    """Where centroid ``j`` (the larger) becomes cheaper than ``i``."""
    return float((c[i] + c[j]) / 2 + (price[j] - price[i]) / (2 * (c[j] - c[i])))


def nearest(values: np.ndarray, centroids: np.ndarray, price: np.ndarray | None = None) -> np.ndarray:
    """Index of the cheapest centroid of every value: squared distance plus ``price``; ties go to the smaller.

    Args:
        values: float array of any shape.
        centroids: ascending, shape ``(k,)``.
        price: what each centroid costs, shape ``(k,)``; nothing if not given.

    Returns:
        int64 array of the values' shape.
    """
    values = np.asarray(values, np.float64)
    centroids = np.asarray(centroids, np.float64)
    price = np.zeros(len(centroids)) if price is None else np.asarray(price, np.float64)
    return np.searchsorted(boundaries(centroids, price), values, side="left").astype(np.int64)


def checked_centroids(k: int) -> int:
    """``k`` as an int in 1..65535.

    Raises:
        ArgumentError: if it is not.
    """
    if int(k) != k or not 1 <= k <= 65535:
        raise ArgumentError("number of centroids cannot be", found=k, expected="1 to 65535")
    return int(k)
