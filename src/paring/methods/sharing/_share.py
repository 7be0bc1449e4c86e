"""Trained weight sharing: the survivors of a layer share a few values, which are then trained.

Han, Mao, Dally, "Deep compression", ICLR 2016, arXiv 1510.00149, section 3. The weights of one layer that are not
zero are clustered on a line; every weight becomes its cluster's centroid,

    W[i] = C[I[i]],        dL/dC[k] = sum over i with I[i] = k of  dL/dW[i],

the assignment ``I`` is fixed and only the centroids are trained. Zero is not a centroid and stays zero, so sharing
follows pruning without undoing it.

The rate of sharing alone, for ``n`` weights of ``b`` bits: ``n b / (n log2 k + k b)``.
"""

from __future__ import annotations

from math import log2
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.forms import Codebook
from paring.methods._amounts import Amount, Targets, number
from paring.methods._registry import Trial, method
from paring.methods._report import Report, Row
from paring.methods.sharing._clustering import INITIALIZATIONS, boundaries, initial_centroids, lloyd, nearest
from paring.methods.sharing._exact_kmeans import exact_kmeans, symbols_between
from paring.methods.sharing._kmeans_reference import checked_centroids
from paring.parametrize import FormParametrization, attach, places, round_half, select
from paring.parametrize._select import parametrization, value

CENTROIDS = Amount("centroids", "number of centroids", "1 to 65535", number(1, 65535, whole=True), int)


def share_values(
    weight: np.ndarray, k: int, *, init: str = "linear", penalty: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster the non-zero weights of a layer.

    Args:
        weight: float array of any shape.
        k: largest number of centroids.
        init: ``linear``, ``density``, ``random`` or ``exact``; see :func:`paring.methods.initial_centroids`.
        penalty: price of a bit of the symbol's ideal code, in units of the weights' variance; 0 is plain k-means.
        seed: for ``random``.

    Returns:
        centroids, float64 ascending, shape ``(<= k,)``, empty if every weight is zero; and int32 indices of the
        weight's shape, 0 for a zero weight and ``i + 1`` for ``centroids[i]``.

    Raises:
        ArgumentError: if ``k`` or ``init`` cannot be.
    """
    k = checked_centroids(k)
    weight = np.asarray(weight)
    alive = weight != 0
    survivors = weight[alive]
    indices = np.zeros(weight.shape, np.int32)
    if not survivors.size:
        return np.zeros(0), indices
    if init == "exact" and not penalty:
        centroids = exact_kmeans(survivors, k)
        edges = boundaries(centroids, np.zeros(len(centroids)))
    else:
        survivors = survivors.astype(np.float64)
        centroids = lloyd(survivors, initial_centroids(survivors, k, init, seed), penalty)
        price = symbol_price(survivors, centroids, penalty)
        edges = boundaries(centroids, np.zeros(len(centroids)) if price is None else price)
    indices[alive] = symbols_between(survivors, edges)
    indices[alive] += 1
    return centroids, indices


def symbol_price(values: np.ndarray, centroids: np.ndarray, penalty: float) -> np.ndarray | None:
    """What each centroid costs under ``penalty``, from how often it is the nearest; ``None`` without a penalty."""
    if not penalty:
        return None
    counts = np.bincount(nearest(values, centroids), minlength=len(centroids)) + 0.5
    return penalty * float(np.var(values)) * -np.log2(counts / counts.sum())


def sharing_rate(n: int, k: int, bits: int = 32) -> float:
    """Rate of sharing alone, ``n b / (n log2 k + k b)``, for ``n`` weights of ``bits`` bits and ``k`` centroids."""
    return n * bits / (n * log2(checked_centroids(k)) + k * bits)


class _Gather(torch.autograd.Function):
    """``weight[members] = centroids[symbols]``, zero elsewhere; backward sums each centroid's members."""

    @staticmethod
    def forward(ctx, centroids: Tensor, members: Tensor, symbols: Tensor, shape: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(members, symbols)
        ctx.count = len(centroids)
        weight = centroids.new_zeros(shape)
        weight.view(-1)[members] = centroids[symbols]
        return weight

    @staticmethod
    def backward(ctx, *grads: Tensor):
        members, symbols = ctx.saved_tensors
        pulled = grads[0].reshape(-1)[members]
        # summed in double precision: a centroid may have hundreds of thousands of members
        summed = torch.bincount(symbols, pulled.double(), minlength=ctx.count)
        return summed.to(pulled.dtype), None, None, None


class Shared(FormParametrization):
    """``weight = centroids[indices - 1]``, zero where the index is zero; the trained original is the codebook.

    Args:
        indices: integer tensor of the weight's shape, 0 for a pruned weight.
        centroids: shape ``(k,)``, the start of training.
        bits: width of a centroid in training and in the file, 32 or 16.
    """

    kind = "shared"
    indices: Tensor
    members: Tensor
    symbols: Tensor

    def __init__(self, indices: Tensor, centroids: Tensor, bits: int = 32) -> None:
        super().__init__()
        self.bits = bits
        self._start: Tensor | None = centroids
        self.register_buffer("indices", indices.to(torch.int32))
        self.register_buffer("members", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("symbols", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.refresh()

    @classmethod
    def blank(cls, shape: tuple[int, ...], bits: int = 32, centroids: int = 0) -> Shared:
        """One with everything zero, to load a state into; call :meth:`refresh` after it."""
        return cls(torch.zeros(shape, dtype=torch.int32), torch.zeros(centroids), bits)

    def refresh(self) -> None:
        """Rebuild what is derived from ``indices``; needed after they were changed."""
        flat = self.indices.reshape(-1)
        self.members = torch.nonzero(flat).reshape(-1)
        self.symbols = flat[self.members].long() - 1

    def options(self) -> dict[str, int]:
        count = self._start.numel() if self._start is not None else self.count
        return {"bits": self.bits, "centroids": count}

    def forward(self, centroids: Tensor) -> Tensor:
        """The weight, of ``indices``' shape."""
        table = round_half(centroids) if self.bits == 16 else centroids
        return _Gather.apply(table, self.members, self.symbols, self.indices.shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The centroids; the weight they stand for was chosen when this was made."""
        if self._start is None:
            raise ArgumentError("a shared weight cannot be assigned", fix="Train its centroids, or bake it first")
        start, self._start = self._start, None
        self.count = start.numel()
        return start.to(weight.dtype).to(weight.device)

    def form(self, original: Tensor) -> Codebook:
        table = np.concatenate([np.zeros(1, np.float32), original.numpy(force=True)])
        return Codebook.from_assignment(table, self.indices.numpy(force=True), self.bits)


@method(
    "the weights of a layer share a few values",
    kind="sharing",
    form="codebook",
    page="weight_sharing.md",
    amounts=(CENTROIDS,),
    trial=Trial((64, 32, 16, 8, 4, 2), "centroids", {"init": "exact"}, usual=True),
)
def share(
    module: nn.Module,
    targets: Targets = None,
    *,
    centroids: Targets = None,
    init: Literal["linear", "density", "random", "exact"] = "linear",
    bits: int = 32,
    penalty: float = 0.0,
    seed: int = 0,
) -> Report:
    """Make the non-zero weights of each selected layer share at most so many values, ready to be trained.

    Args:
        module: the network, changed in place; a pruned weight's zeros stay.
        targets: largest number of centroids of a layer, for all layers or by patterns
            (:func:`paring.parametrize.select`).
        centroids: the same, named.
        init: ``linear``, ``density``, ``random`` or ``exact``.
        bits: 32, or 16 to train and store the centroids in half precision.
        penalty: price of a bit in units of each layer's variance; see :func:`share_values`.
        seed: for ``random``.

    Returns:
        non-zero weights of each layer, and the values that they share now.

    Raises:
        ArgumentError: if a target cannot be, a pattern matches nothing or a weight is already shared.
    """
    chosen = select(module, CENTROIDS.targets(targets, centroids))
    if init not in INITIALIZATIONS:
        raise ArgumentError(
            "unknown initialization of centroids", found=repr(init), expected=" or ".join(INITIALIZATIONS)
        )
    there, rows = places(module), []
    for name in chosen:
        if isinstance(parametrization(there[name]), Shared):
            raise ArgumentError("weight is already shared", where=name, fix="Bake it first: paring.parametrize.detach")
    for name, k in chosen.items():
        weight = value(there[name])
        table, indices = share_values(weight.numpy(force=True), k, init=init, penalty=penalty, seed=seed)
        on = weight.device
        attach(
            there[name],
            Shared(torch.from_numpy(indices).to(on), torch.from_numpy(table).to(weight.dtype).to(on), bits),
        )
        rows.append(Row(name, int(np.count_nonzero(indices)), len(table)))
    counts = [row.after for row in rows]
    summary = f"{len(rows)} weights share {min(counts)} to {max(counts)} values" if rows else "no weight was selected"
    return Report(method="share", unit="values", rows=tuple(rows), summary=summary, network=module)
