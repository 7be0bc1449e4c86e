"""K-means of sub-vectors: product codes that are close to a weight.

Gong, Liu, Yang, Bourdev, "Compressing deep convolutional networks using vector quantization", 2014, arXiv 1412.6115;
the clustering is faiss's (Lloyd's iteration), or the exact one of :func:`paring.methods.exact_kmeans` for sub-vectors
of length 1.
"""

from __future__ import annotations

import numpy as np

from paring.errors import ArgumentError, ParingError
from paring.methods.sharing import exact_kmeans
from paring.methods.sharing._kmeans_reference import checked_centroids

#: Lloyd's iterations of faiss.
_ROUNDS = 25
#: Distances computed at a time.
_CHUNK = 1 << 22


def product_codes(
    weight: np.ndarray, length: int, centroids: int, stages: int = 1, *, seed: int = 0, bits: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster the sub-vectors of a weight, sub-space by sub-space; further stages cluster what is left.

    Sub-vector ``(o, m, p)`` is ``W[o, m d : (m + 1) d, p]``, the vectors of one ``m`` share a codebook, and

        minimize over C, B   sum over o, p  | W[o, m, p] - sum over r  C[r, m, B[r, o, m, p]] |^2,

    greedily, stage after stage.

    Args:
        weight: float ``(out, in, *places)``, finite.
        length: ``d``, a divisor of ``in``.
        centroids: of each sub-space; no more than it has sub-vectors are made.
        stages: 1 for product quantization, more for residual quantization.
        seed: of the starts.
        bits: 32, or 16 for centroids that half precision holds.

    Returns:
        codebooks, float32 ``(stages, in / d, k, d)``, and codes, int32 ``(stages, out, in / d, *places)``: each the
        nearest centroid, of equally near ones the first. The same on any number of threads; faiss's products may
        round otherwise on another kind of processor.

    Raises:
        ArgumentError: if an argument cannot be, or a weight is not finite.
        ParingError: if faiss is not installed and ``length`` is more than 1.
    """
    weight = np.asarray(weight, np.float32)
    if not np.isfinite(weight).all():
        raise ArgumentError("a weight is not finite", fix="Train the network without divergence first")
    check_length(weight.shape, length)
    out, spaces = weight.shape[0], weight.shape[1] // length
    left = weight.reshape(out, spaces, length, -1).transpose(1, 0, 3, 2).reshape(spaces, -1, length)
    k = min(checked_centroids(centroids), left.shape[1])
    books = np.empty((stages, spaces, k, length), np.float32)
    codes = np.empty((stages, spaces, left.shape[1]), np.int32)
    for stage in range(stages):
        for m in range(spaces):
            book = cluster(left[m], k, seed)
            books[stage, m] = book.astype(np.float16) if bits == 16 else book
            codes[stage, m] = nearest_rows(left[m], books[stage, m])
        left = left - np.take_along_axis(books[stage], codes[stage][:, :, None], 1)
    return books, np.ascontiguousarray(codes.reshape(stages, spaces, out, -1).swapaxes(1, 2)).reshape(
        stages, out, spaces, *weight.shape[2:]
    )


def cluster(vectors: np.ndarray, k: int, seed: int = 0) -> np.ndarray:
    """Centroids of float32 ``(n, d)`` vectors, float32 ``(k, d)``; where fewer are distinct, the last is repeated."""
    if vectors.shape[1] == 1:
        found = exact_kmeans(vectors, k).astype(np.float32)[:, None]
    else:
        found = np.unique(vectors, axis=0)
        if len(found) > k:
            return _faiss_kmeans(vectors, k, seed)
    return np.concatenate([found, np.repeat(found[-1:], k - len(found), 0)])


def nearest_rows(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Number of the nearest centroid of each vector, the first of equally near ones, int64 ``(n,)``."""
    centroids = centroids.astype(np.float64)
    half = (centroids**2).sum(1) / 2
    step = max(1, _CHUNK // len(centroids))
    pieces = [vectors[start : start + step].astype(np.float64) for start in range(0, len(vectors), step)]
    return np.concatenate([(half - piece @ centroids.T).argmin(1) for piece in pieces])


def check_length(shape: tuple[int, ...], length: int) -> None:
    """Refuse a sub-vector that does not divide the inputs of a weight ``(out, in, *places)``."""
    if len(shape) < 2:
        raise ArgumentError("product codes need a weight of two axes or more", found=shape)
    if int(length) != length or length < 1 or shape[1] % length:
        fit = ", ".join(str(d) for d in range(1, shape[1] + 1) if shape[1] % d == 0)
        raise ArgumentError(
            "sub-vectors do not divide the layer's inputs (of one group)",
            found=f"length {length} for {shape[1]} inputs",
            expected=fit,
        )


def _faiss_kmeans(vectors: np.ndarray, k: int, seed: int) -> np.ndarray:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise ParingError(
            "product quantization needs faiss for its clustering", fix="Install it with: pip install 'paring[pq]'"
        ) from error
    threads = faiss.omp_get_max_threads()
    # one thread: the sub-spaces are small problems, and the same sums in the same order give the same bytes
    faiss.omp_set_num_threads(1)
    try:
        kmeans = faiss.Kmeans(
            vectors.shape[1],
            k,
            niter=_ROUNDS,
            seed=seed,
            min_points_per_centroid=1,
            max_points_per_centroid=len(vectors),  # none left out
        )
        kmeans.train(np.ascontiguousarray(vectors, np.float32))
        return np.array(kmeans.centroids, np.float32)
    finally:
        faiss.omp_set_num_threads(threads)
