"""Codebook: weights that share a few values, zeros included."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from paring.errors import FormatError
from paring.forms._base import Form, StreamSpec, checked_params, checked_shape, float_dtype, frozen, symbol_dtype

#: Largest number of centroids; 16-bit indices with 0 kept for the pruned weight.
MAX_CENTROIDS = 65535


class Codebook(Form):
    """Trained weight sharing (Deep Compression, arXiv 1510.00149, section 3): ``w = codebook[index]``.

    Index 0 always means exactly 0.0 (a pruned weight) and is not stored in ``centroids``; index ``i >= 1`` means
    ``centroids[i - 1]``. Centroids stand in strictly ascending order, so that neighboring symbols are neighboring
    values; that makes the form of a weight unique and lets the coder use the order.

    Args:
        centroids: shape ``(k,)``, strictly ascending, none of them zero or NaN.
        indices: integer array of the weight's shape with values in ``0 .. k``.
        bits: 32 or 16, the width of a stored centroid.

    Raises:
        FormatError: if a rule above is broken.
    """

    kind = "codebook"
    param_names = ("bits", "centroids")

    def __init__(self, centroids: np.ndarray, indices: np.ndarray, bits: int = 32) -> None:
        centroids, indices = np.asarray(centroids), np.asarray(indices)
        self.shape = checked_shape(indices.shape)
        self.bits = bits
        book, symbols = self.specs(self.shape, {"bits": bits, "centroids": len(centroids)})
        self.centroids = frozen(centroids, book.dtype, book.shape)
        if not (np.all(np.isfinite(self.centroids)) and np.all(self.centroids != 0)):
            raise FormatError("centroid is zero or not finite", expected="finite non-zero centroids; index 0 is zero")
        if np.any(self.centroids[1:] <= self.centroids[:-1]):
            raise FormatError("centroids are not in strictly ascending order")
        if indices.size and (indices.min() < 0 or indices.max() >= symbols.alphabet):
            raise FormatError(
                "index is out of range",
                found=f"{int(indices.min())} .. {int(indices.max())}",
                expected=f"0 .. {symbols.alphabet - 1}",
            )
        self.indices = frozen(indices, symbols.dtype, symbols.shape)

    @classmethod
    def from_assignment(cls, values: np.ndarray, indices: np.ndarray, bits: int = 32) -> Codebook:
        """The canonical form of any assignment: ``w = values[indices]`` with values in any order, zeros allowed.

        Values are rounded to ``bits``; equal ones are merged, zero becomes index 0, unused ones are dropped.

        Args:
            values: shape ``(k,)``, any order.
            indices: integers in ``0 .. k - 1``, the weight's shape.
            bits: 32 or 16.
        """
        rounded = np.asarray(values).astype(float_dtype(cls.kind, bits)).astype(np.float32)
        indices = np.asarray(indices)
        used = np.zeros(len(rounded), bool)
        used[indices.ravel()] = True
        centroids = np.unique(rounded[used & (rounded != 0)])
        rank = np.where(rounded == 0, 0, np.searchsorted(centroids, rounded) + 1)
        return cls(centroids, rank[indices], bits)

    def dense(self) -> np.ndarray:
        table = np.concatenate([np.zeros(1, np.float32), self.centroids.astype(np.float32)])
        return table[self.indices]

    @property
    def nonzeros(self) -> int:
        return int(np.count_nonzero(self.indices))

    def params(self) -> dict[str, int]:
        return {"bits": self.bits, "centroids": len(self.centroids)}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"centroids": self.centroids, "indices": self.indices}

    @classmethod
    def specs(cls, shape: tuple[int, ...], params: Mapping[str, int]) -> tuple[StreamSpec, ...]:
        bits, k = checked_params(cls.kind, params, cls.param_names)
        if not 0 <= k <= MAX_CENTROIDS:
            raise FormatError("codebook has too many centroids", found=k, expected=f"0 to {MAX_CENTROIDS}")
        return (
            StreamSpec("centroids", (k,), 0, float_dtype(cls.kind, bits)),
            StreamSpec("indices", checked_shape(shape), k + 1, symbol_dtype(k + 1)),
        )

    @classmethod
    def from_arrays(
        cls, shape: tuple[int, ...], params: Mapping[str, int], arrays: Mapping[str, np.ndarray]
    ) -> Codebook:
        bits, k = checked_params(cls.kind, params, cls.param_names)
        centroids = np.asarray(arrays["centroids"])
        if centroids.shape != (k,):
            raise FormatError("codebook has the wrong length", found=centroids.shape, expected=(k,))
        return cls(centroids, np.asarray(arrays["indices"]).reshape(shape), bits)
