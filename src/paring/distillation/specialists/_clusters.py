"""Which classes share a specialist: clusters of the covariance of the generalist's predictions.

Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015, arXiv 1503.02531, section 5.3: classes that
are often predicted together covary, so the columns of the covariance matrix of the predictions are clustered by an
on-line k-means, and every cluster gets a specialist.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from paring.errors import ArgumentError

#: Fresh starts of k-means, of which the best is kept.
_STARTS = 20


def prediction_covariance(predictions: np.ndarray | Iterable[np.ndarray]) -> np.ndarray:
    """``E[(p - E p)(p - E p)^T]`` over all predictions, divisor N.

    Blocks are merged one by one around their own means, so no more than one block is in memory and nothing cancels.

    Args:
        predictions: float ``(N, C)``, each row the probabilities of one image; or an iterable of such blocks.

    Returns:
        float64 ``(C, C)``, symmetric.

    Raises:
        ArgumentError: if there are no rows, or a row is no distribution.
    """
    count, mean, scatter = 0, np.zeros(0), np.zeros((0, 0))
    for block in [predictions] if isinstance(predictions, np.ndarray) else predictions:
        rows = _checked(block, len(mean))
        if not count:
            mean, scatter = np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
        if not len(rows):
            continue
        its_mean = rows.mean(0)
        centered, apart = rows - its_mean, its_mean - mean
        total = count + len(rows)
        scatter += centered.T @ centered + np.outer(apart, apart) * (count * len(rows) / total)
        mean += apart * (len(rows) / total)
        count = total
    if not count:
        raise ArgumentError("no predictions to take a covariance of", expected="at least one row of probabilities")
    return scatter / count


def cluster_classes(
    covariance: np.ndarray,
    count: int,
    *,
    minimum: int = 2,
    overlap: int = 0,
    correlation: bool = True,
    seed: int = 0,
) -> list[tuple[int, ...]]:
    """Split the classes into sets that are often predicted together, one for each specialist.

    On-line k-means on the columns of the covariance: classes are visited in a random order, and one that is better off
    in another cluster moves at once, both means following. A class moves when that lowers the total squared distance
    to the means, the change in its own mean included (Hartigan), so the search ends; the best of 20 starts is kept.

    A cluster below ``minimum`` is then filled up, and every cluster enlarged by ``overlap``, with the outside classes
    whose mean covariance with its members is the largest, one at a time. These classes belong to several specialists.

    Args:
        covariance: ``(C, C)``, from :func:`prediction_covariance`.
        count: clusters, 2 to C.
        minimum: least classes in each; a specialist of one class tells nothing apart.
        overlap: classes each cluster takes from others on top of its own.
        correlation: divide by the deviations first. A confident generalist's probabilities are nearly 0 or 1; then all
            columns are about equally far apart, and which of them are long decides. False is the paper to the letter.
        seed: of the starts and the order of visits.

    Returns:
        ascending class indices of every cluster; clusters in the order of their lowest own class.

    Raises:
        ArgumentError: if a number cannot be, or a specialist would have every class and no dustbin.
    """
    matrix = np.asarray(covariance, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        raise ArgumentError("not a covariance matrix", found=f"shape {matrix.shape}", expected="finite (C, C)")
    classes = len(matrix)
    if not 2 <= count <= classes:
        raise ArgumentError("invalid number of specialists", found=count, expected=f"2 to {classes}")
    if minimum < 1 or overlap < 0:
        raise ArgumentError("invalid cluster sizes", found=f"minimum {minimum}, overlap {overlap}")
    if correlation:
        deviation = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
        matrix = matrix / np.outer(deviation, deviation)
    labels = online_kmeans(matrix.T, count, seed)
    clusters = []
    for cluster in dict.fromkeys(labels.tolist()):
        own = np.flatnonzero(labels == cluster).tolist()
        wanted = max(minimum, len(own) + overlap)
        if wanted >= classes:
            raise ArgumentError(
                "a specialist would have every class and nothing left for its dustbin",
                found=f"{wanted} of {classes} classes",
                fix="Ask for more specialists, or a smaller minimum or overlap",
            )
        clusters.append(tuple(sorted(_enlarged(matrix, own, wanted))))
    return clusters


def online_kmeans(points: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """The clusters of ``points`` ``(n, d)`` as int64 ``(n,)``, by on-line k-means from 20 k-means++ starts."""
    random = np.random.default_rng(seed)
    best, least = np.zeros(len(points), np.int64), np.inf
    for _ in range(_STARTS):
        labels = _settled(points, _spread_start(points, count, random), random)
        cost = sum(float(((points[labels == k] - points[labels == k].mean(0)) ** 2).sum()) for k in set(labels))
        if cost < least * (1 - 1e-12):  # equal ones differ in the last bits: the first stays
            best, least = labels, cost
    return best


def _spread_start(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Labels by the nearest of ``count`` points, drawn with odds by their squared distance (k-means++)."""
    chosen = [int(random.integers(len(points)))]
    away = ((points - points[chosen[0]]) ** 2).sum(1)
    labels = np.zeros(len(points), np.int64)
    for number in range(1, count):
        free = np.setdiff1d(np.arange(len(points)), chosen)
        weights = away[free] if away[free].sum() > 0 else np.ones(len(free))
        chosen.append(int(random.choice(free, p=weights / weights.sum())))
        distance = ((points - points[chosen[-1]]) ** 2).sum(1)
        labels[distance < away] = number
        labels[chosen[-1]] = number  # also where it equals a point chosen before
        away = np.minimum(away, distance)
    return labels


def _settled(points: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Points moved one by one, the means following at once, until none gains."""
    members = np.bincount(labels).astype(np.float64)
    means = np.stack([points[labels == k].mean(0) for k in range(len(members))])
    moved = True
    while moved:
        moved = False
        for i in random.permutation(len(points)):
            own = labels[i]
            if members[own] == 1:
                continue
            distance = ((means - points[i]) ** 2).sum(1)
            cost = distance * members / (members + 1)  # what joining adds; what leaving saves:
            cost[own] = distance[own] * members[own] / (members[own] - 1)
            to = int(cost.argmin())
            if to != own and cost[to] < cost[own] * (1 - 1e-9):
                means[own] += (means[own] - points[i]) / (members[own] - 1)
                means[to] += (points[i] - means[to]) / (members[to] + 1)
                members[own], members[to], labels[i], moved = members[own] - 1, members[to] + 1, to, True
    return labels


def _enlarged(covariance: np.ndarray, own: list[int], wanted: int) -> list[int]:
    members = list(own)
    while len(members) < wanted:
        affinity = covariance[members].mean(0)
        affinity[members] = -np.inf
        members.append(int(affinity.argmax()))
    return members


def _checked(block: np.ndarray, classes: int) -> np.ndarray:
    rows = np.asarray(block, np.float64)
    if rows.ndim != 2 or (classes and rows.shape[1] != classes):
        raise ArgumentError("predictions cannot have this shape", found=rows.shape, expected=f"(N, {classes or 'C'})")
    if not np.isfinite(rows).all() or (rows < 0).any() or (np.abs(rows.sum(1) - 1) > 1e-3).any():
        raise ArgumentError("predictions are no probabilities", expected="rows that are positive and sum to 1")
    return rows


def covariance_lines(
    covariance: np.ndarray, clusters: Sequence[Sequence[int]], names: Sequence[str] | None = None
) -> list[str]:
    """One line for each cluster: its classes, and the mean correlation within it and with the classes outside."""
    names = [str(number) for number in range(len(covariance))] if names is None else list(names)
    deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    correlation = covariance / np.outer(deviation, deviation)
    lines = []
    for number, cluster in enumerate(clusters, 1):
        inside = list(cluster)
        outside = [c for c in range(len(covariance)) if c not in set(inside)]
        block = correlation[np.ix_(inside, inside)]
        pairs = block[~np.eye(len(inside), dtype=bool)]
        within = f"{pairs.mean():+.4f}" if pairs.size else "none"
        beyond = f"{correlation[np.ix_(inside, outside)].mean():+.4f}" if outside else "none"
        words = ", ".join(names[c] for c in inside)
        lines.append(f"specialist {number}: {words} (correlation within {within}, with the others {beyond})")
    return lines
