"""Whitening: decorrelate features and give each the same variance.

With centered samples ``x``, ``Sigma = E[x x^T] = U diag(l) U^T``:

    PCA whitening   W = diag(1 / sqrt(l + eps)) U^T        components may be dropped
    ZCA whitening   W = U diag(1 / sqrt(l + eps)) U^T      symmetric, the whitened data closest to the data

The covariance of ``W x`` has the eigenvalues ``l / (l + eps)``: the identity for eps = 0. ``eps`` is in squared units
of the data; images in [0, 1] usually take 1e-5, contrast-normalized CIFAR pipelines 0.1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.errors import ArgumentError

Data = np.ndarray | Tensor


class Whitening(nn.Module):
    """A fitted whitening transform that is also a layer; its weights are buffers, so it is saved with the model.

    Make one with :meth:`fit`. Calling it whitens ``(N, ...)``; PCA that drops components, or over features, gives
    ``(N, components)``, everything else keeps the shape. ``over="channels"`` is a 1x1 convolution.

    Args:
        mean: (D,) mean of the features.
        matrix: (K, D) whitening matrix ``W``.
        inverse: (D, K) matrix back; exact when no component was dropped.
        over: "features" (one vector per sample, D = all its values) or "channels" (one vector per pixel, D = C).
        keep_shape: whether the output takes the input's shape.
    """

    mean: Tensor
    matrix: Tensor
    inverse_matrix: Tensor

    def __init__(self, mean: Tensor, matrix: Tensor, inverse: Tensor, over: str, keep_shape: bool) -> None:
        super().__init__()
        self.over = over
        self.keep_shape = keep_shape
        self.register_buffer("mean", mean)
        self.register_buffer("matrix", matrix)
        self.register_buffer("inverse_matrix", inverse)

    @classmethod
    def fit(
        cls,
        data: Data,
        method: str = "zca",
        *,
        eps: float = 1e-5,
        components: int | None = None,
        over: str = "features",
        dtype: torch.dtype = torch.float32,
    ) -> Whitening:
        """Estimate mean and covariance in float64 and form the whitening matrix.

        Args:
            data: (N, ...) samples, any real type; for ``over="channels"`` (N, C, H, W).
            method: "zca" or "pca".
            eps: added to the eigenvalues.
            components: PCA only: keep this many, largest variance first.
            over: "features" or "channels".
            dtype: of the transform.

        Raises:
            ArgumentError: on an unknown method, too few samples, values that are not finite, or with ``eps=0`` a
                covariance without full rank.
        """
        if method not in ("zca", "pca") or over not in ("features", "channels"):
            raise ArgumentError("no such whitening", found=f"{method!r} over {over!r}", expected="'zca' or 'pca'")
        rows = _rows(torch.as_tensor(data), over)
        if rows.shape[0] < 2:
            raise ArgumentError("whitening needs at least two samples", found=rows.shape[0])
        mean, covariance = moments(rows)
        if not bool(torch.isfinite(covariance).all()):
            raise ArgumentError("the data holds values that are not finite", expected="finite numbers")
        values, vectors = torch.linalg.eigh(covariance)
        values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
        keep = len(values) if components is None else components
        if not 1 <= keep <= len(values) or (method == "zca" and keep != len(values)):
            raise ArgumentError("cannot keep that many components", found=keep, expected=f"1 to {len(values)}, PCA")
        values, vectors = values[:keep], vectors[:, :keep]
        if float(values[-1]) + eps <= float(values[0]) * 1e-13:
            raise ArgumentError(
                "the covariance has no full rank",
                found=f"smallest eigenvalue {float(values[-1]):.2g}",
                fix="Give eps above 0, more samples, or PCA with fewer components",
            )
        scale = (values + eps).sqrt()
        matrix, inverse = (vectors / scale).T, vectors * scale
        if method == "zca":
            matrix, inverse = vectors @ matrix, inverse @ vectors.T
        keep_shape = keep == len(values) and (method == "zca" or over == "channels")
        return cls(mean.to(dtype), matrix.to(dtype), inverse.to(dtype), over, keep_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Whiten (N, ...) tensors; the result has the transform's type."""
        x = x.to(self.matrix.dtype)
        shift = -(self.matrix @ self.mean)
        if self.over == "channels":
            return F.conv2d(x, self.matrix[:, :, None, None], shift)
        y = F.linear(x.flatten(1), self.matrix, shift)
        return y.reshape(x.shape) if self.keep_shape else y

    def inverse(self, y: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        """Back to the data's space: the data itself, or with dropped components its projection.

        Args:
            y: what :meth:`forward` gave.
            shape: of one sample, where ``y`` has lost it.
        """
        y = y.to(self.matrix.dtype)
        if self.over == "channels":
            return F.conv2d(y, self.inverse_matrix[:, :, None, None], self.mean)
        x = F.linear(y.flatten(1), self.inverse_matrix, self.mean)
        kept = tuple(y.shape[1:]) if self.keep_shape else None
        return x.reshape(len(x), *(shape or kept or x.shape[1:]))


def moments(rows: Tensor, chunk: int = 4096) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of (N, D) samples, divisor N, in float64; two passes in chunks of rows."""
    count, width = rows.shape
    mean = torch.zeros(width, dtype=torch.float64)
    for part in rows.split(chunk):
        mean += part.to(torch.float64).sum(0)
    mean /= count
    covariance = torch.zeros(width, width, dtype=torch.float64)
    for part in rows.split(chunk):
        centered = part.to(torch.float64) - mean
        covariance.addmm_(centered.T, centered)
    return mean, covariance / count


def _rows(data: Tensor, over: str) -> Tensor:
    if over == "features":
        return data.flatten(1)
    if data.ndim != 4:
        raise ArgumentError("whitening over channels needs maps", found=tuple(data.shape), expected="(N, C, H, W)")
    return data.movedim(1, -1).flatten(0, 2)
