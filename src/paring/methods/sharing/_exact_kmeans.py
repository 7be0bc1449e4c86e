"""One-dimensional k-means with the least cost there is, for a hundred million weights as for ten; native."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from paring.errors import ArgumentError
from paring.methods.sharing._kmeans_reference import checked_centroids, exact_kmeans_reference

try:
    from paring._native import cluster as native
except ImportError:  # pragma: no cover - the native half is built in every tested environment
    native: Any = None  # type: ignore[no-redef]

#: Fewest and most entries of the dynamic program that are kept unless told otherwise, 16 bytes each.
ENTRIES = (1 << 22, 1 << 25)


class Clustering(NamedTuple):
    """A clustering of numbers and the proof of how good it is.

    Attributes:
        centroids: ascending float64, ``min(k, distinct values)`` of them.
        cost: sum of squared distances to the nearest centroid.
        bound: no clustering of so many centroids costs less. Equal to ``cost`` but for rounding, about 1e-9 of it,
            unless the search ran out of ``entries`` first.
    """

    centroids: np.ndarray
    cost: float
    bound: float


def proven_kmeans(values: np.ndarray, k: int, *, entries: int | None = None) -> Clustering:
    """The clustering with the least sum of squared distances, with a lower bound that proves it.

    The dynamic program of :func:`paring.methods.exact_kmeans_reference` over every value would take hours for a
    hundred million weights. Here it runs over a grid of possible cuts, with every edge credited for what moving an
    optimum's cut to it can cost. That bounds the optimum from below; any clustering bounds it from above; edges
    through which even the credited cost exceeds the upper bound are ruled out; the grid is made finer where cuts
    remain possible, until its bins are single values and the credits are zero (native/cluster/kmeans.h has the proof).

    Args:
        values: float array of any shape, at least one element, all finite; float32 is taken as it is.
        k: number of clusters.
        entries: size of the search, 16 bytes each; if not given, ``64 k^2`` within 2^22 and 2^25, and 2^25 if that
            did not prove the optimum; where it is too small to rule enough out, ``bound`` stays below
            ``cost`` and says how far from the optimum the answer can be at most.

    Raises:
        ArgumentError: if ``k`` cannot be, there is no value or one is not finite, or ``k`` is so large that not even
            a first grid fits (more than ``sqrt(entries) / 2`` for more than ``2 entries / k`` distinct values).
    """
    k = checked_centroids(k)
    values = np.asarray(values)
    flat = np.ascontiguousarray(values.ravel(), np.float32 if values.dtype in (np.float16, np.float32) else np.float64)
    if not flat.size:
        raise ArgumentError("there is nothing to cluster", found="no values", expected="at least one")
    if not np.isfinite(flat).all():
        raise ArgumentError("a value to cluster is not finite", fix="Train the network without divergence first")
    if native is None:  # pragma: no cover
        centroids = exact_kmeans_reference(flat, k)
        nearest = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, flat)
        cost = float(np.square(flat - centroids[nearest]).sum())
        return Clustering(centroids, cost, cost)
    centroids = np.empty(k)
    tried = min(max(ENTRIES[0], 64 * k * k), ENTRIES[1]) if entries is None else entries
    try:
        count, cost, bound = native.kmeans(flat, centroids, tried)
        if entries is None and tried < ENTRIES[1] and bound < cost * (1 - 1e-8):
            count, cost, bound = native.kmeans(flat, centroids, ENTRIES[1])
    except ValueError as error:
        raise ArgumentError(
            "so many centroids of so many values have no exact optimum within the memory allowed",
            found=f"{k} of {flat.size}",
            fix="Take init='density' or fewer centroids",
        ) from error
    return Clustering(centroids[:count].copy(), cost, bound)


def exact_kmeans(values: np.ndarray, k: int) -> np.ndarray:
    """Centroids with the least sum of squared distances there is; arguments and errors as :func:`proven_kmeans`.

    Returns:
        ascending float64 centroids, ``min(k, distinct values)`` of them.
    """
    return proven_kmeans(values, k).centroids


def symbols_between(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many of the ascending ``edges`` lie below each value.

    Args:
        values: float array, shape ``(n,)``.
        edges: float64, shape ``(k - 1,)``.

    Returns:
        uint16 array, shape ``(n,)``.
    """
    if native is None or values.dtype not in (np.float32, np.float64):
        return np.searchsorted(edges, values, side="left").astype(np.uint16)
    symbols = np.empty(values.shape, np.uint16)
    edges = np.ascontiguousarray(edges, np.float64)
    native.assign(np.ascontiguousarray(values), edges, symbols, os.cpu_count() or 1)
    return symbols
