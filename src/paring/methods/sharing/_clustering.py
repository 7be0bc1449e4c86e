"""One-dimensional k-means: where it begins, Lloyd's iteration, and a price on rare symbols."""

from __future__ import annotations

import numpy as np

from paring.errors import ArgumentError
from paring.methods.sharing._exact_kmeans import exact_kmeans
from paring.methods.sharing._kmeans_reference import checked_centroids

#: Ways to begin: the paper's three, and the optimum itself.
INITIALIZATIONS = ("linear", "density", "random", "exact")


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
    raise ArgumentError("unknown initialization of centroids", found=repr(init), expected=" or ".join(INITIALIZATIONS))


def lloyd(values: np.ndarray, centroids: np.ndarray, penalty: float = 0.0, rounds: int = 300) -> np.ndarray:
    """Lloyd's iteration on a line until nothing moves: assign to the cheapest centroid, move it to its members' mean.

    With ``penalty`` > 0 a value pays, beside its squared distance in units of the variance, ``penalty`` for every bit
    of its symbol's ideal code: ``(w - c)^2 / var + penalty * -log2(p_c)`` (entropy-constrained quantization: Chou,
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
    """Where the cheapest centroid changes, ``(k-1,)``; with equal prices, half way between neighbors.

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
