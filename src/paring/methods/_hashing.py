"""HashedNets: a hash says which few values the weights of a layer share, so no index is stored.

Chen, Wilson, Tyree, Weinberger, Chen, "Compressing neural networks with the hashing trick", ICML 2015, arXiv
1504.04788. A layer has ``K`` real weights ``v``, the buckets, and

    W[i] = s(i) v[h(i)],        dL/dv[k] = sum over i with h(i) = k of  s(i) dL/dW[i],

where ``i`` is the weight's number in C order, ``h`` a hash to ``0 .. K - 1`` and ``s`` a second hash to -1 or 1: XXH32
with ``seed`` and ``seed + 1``, exactly as in :class:`paring.forms.Hashed`. Only ``v`` is trained and stored. The layer
computes as much as before; the paper's compression factor is ``K`` against the number of weights, biases kept apart.
"""

from __future__ import annotations

from math import prod
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.forms import Hashed, hashed_places
from paring.methods._amounts import Amount, Targets, read_share, show_share
from paring.methods._registry import Trial, method
from paring.methods._report import Report, Row
from paring.parametrize import FormParametrization, attach, round_half, select
from paring.parametrize._select import value
from paring.parametrize._untouched import untouched

#: How the buckets begin.
INITIALIZATIONS = ("least-squares", "fresh")
#: Weights hashed at a time.
_CHUNK = 1 << 20


def bucket_count(size: int, fraction: float) -> int:
    """``round(fraction * size)``, at least 1.

    Raises:
        ArgumentError: if ``fraction`` is not in 0..1, zero excluded.
    """
    if not 0 < fraction <= 1:
        raise ArgumentError(
            "invalid fraction of real weights",
            found=f"{fraction:.6g}",
            expected="more than 0, at most 1",
            fix="A compression factor of 8 is 1/8" if fraction > 1 else None,
        )
    return max(1, round(fraction * size))


KEEP = Amount(
    "keep",
    "fraction of real weights",
    "more than 0, at most 1",
    lambda value: bucket_count(1, value) and float(value),
    read_share,
    show_share,
    complement="amount",
)


def hash_buckets(weight: np.ndarray, buckets: int, *, seed: int = 0, init: str = "least-squares") -> np.ndarray:
    """Values for the buckets of a weight.

    Args:
        weight: float array of any shape.
        buckets: ``K``, 1 to the number of weights.
        seed: of the hashes, below 2^32.
        init: ``least-squares``: the values that minimize ``sum (W[i] - s(i) v[h(i)])^2``, the means of ``s(i) W[i]``
            over each bucket, for a trained weight. ``fresh``: ``s(i) W[i]`` of each bucket's first weight, so that the
            values are distributed as the weights are; for a layer just initialized, whose variance a mean over ``n``
            weights would divide by ``n``. A bucket without a weight is 0 either way.

    Returns:
        float32 ``(buckets,)``.

    Raises:
        ArgumentError: on an unknown ``init`` or a weight that is not finite.
    """
    if init not in INITIALIZATIONS:
        raise ArgumentError("unknown start of the buckets", found=repr(init), expected=" or ".join(INITIALIZATIONS))
    flat = np.asarray(weight).ravel()
    if not np.isfinite(flat).all():
        raise ArgumentError("a weight is not finite", fix="Train the network without divergence first")
    sums, counts = np.zeros(buckets), np.zeros(buckets, np.int64)
    for start in range(0, flat.size, _CHUNK):
        piece = flat[start : start + _CHUNK].astype(np.float64)
        members, negated = hashed_places(start, piece.size, buckets, seed)
        np.negative(piece, out=piece, where=negated)
        if init == "fresh":
            members, first = np.unique(members, return_index=True)
            new = counts[members] == 0
            members, piece = members[new], piece[first[new]]
        sums += np.bincount(members, piece, buckets)
        counts += np.bincount(members, minlength=buckets)
    return (sums / np.maximum(counts, 1)).astype(np.float32)


class _Expand(torch.autograd.Function):
    """``weight = cat(v, -v)[index]``; backward sums each bucket's members with their signs."""

    @staticmethod
    def forward(ctx, values: Tensor, index: Tensor, shape: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(index)
        ctx.count = len(values)
        return torch.cat([values, -values]).index_select(0, index).view(shape)

    @staticmethod
    def backward(ctx, *grads: Tensor):
        (index,) = ctx.saved_tensors
        # summed in double precision: a bucket may have hundreds of thousands of members
        summed = torch.bincount(index, grads[0].reshape(-1).double(), minlength=2 * ctx.count)
        return (summed[: ctx.count] - summed[ctx.count :]).to(grads[0].dtype), None, None


class HashedWeights(FormParametrization):
    """``weight[i] = s(i) values[h(i)]``; the trained original is the vector of buckets.

    The hashes are computed once and cached, 4 bytes a weight; a checkpoint holds the seed instead.

    Args:
        shape: the weight's.
        values: float ``(K,)``, the start of training.
        seed: of the hashes, below 2^32.
        bits: width of a bucket in training and in the file, 32 or 16.
    """

    kind = "hashed"
    index: Tensor

    def __init__(self, shape: tuple[int, ...], values: Tensor, seed: int = 0, bits: int = 32) -> None:
        super().__init__()
        self.shape, self.seed, self.bits = tuple(shape), seed, bits
        self.buckets = values.numel()
        self._start: Tensor | None = values
        self.register_buffer("index", _signed_index(prod(shape), self.buckets, seed), persistent=False)

    @classmethod
    def blank(cls, shape: tuple[int, ...], buckets: int = 1, seed: int = 0, bits: int = 32) -> HashedWeights:
        """One with all buckets zero, to load a state into."""
        return cls(shape, torch.zeros(buckets), seed, bits)

    def options(self) -> dict[str, int]:
        return {"buckets": self.buckets, "seed": self.seed, "bits": self.bits}

    def forward(self, values: Tensor) -> Tensor:
        """The weight, of ``shape``."""
        table = round_half(values) if self.bits == 16 else values
        return _Expand.apply(table, self.index, self.shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The buckets; which values they begin with was chosen when this was made."""
        if self._start is None:
            raise ArgumentError("a hashed weight cannot be assigned", fix="Train its buckets, or bake it first")
        start, self._start = self._start, None
        return start.to(weight.dtype).to(weight.device)

    def form(self, original: Tensor) -> Hashed:
        return Hashed(self.shape, original.numpy(force=True), self.seed, self.bits)


@method(
    "a hash function says which few values the weights of a layer share",
    kind="sharing",
    form="hashed",
    page="hashing.md",
    amounts=(KEEP,),
    trial=Trial((0.5, 0.25, 0.125), "weights that are real"),
)
def hash(
    module: nn.Module,
    targets: Targets = None,
    *,
    keep: Targets = None,
    amount: Targets = None,
    seed: int = 0,
    init: Literal["least-squares", "fresh"] = "least-squares",
    bits: int = 32,
) -> Report:
    """Make the weights of each selected layer share hashed values, ready to be trained.

    Args:
        module: the network, changed in place; make the optimizer afterwards.
        targets: as ``keep``; or patterns alone.
        keep: share of a layer's weights that are real, above 0, for all layers or by patterns
            (:func:`paring.parametrize.select`): the inverse of the paper's compression factor; 1/8 leaves a layer of
            8,000 weights 1,000 buckets.
        amount: share that goes, instead.
        seed: of the first selected parameter's hashes; the next ones have ``seed + 2``, ``seed + 4`` ..., as ``seed``
            and ``seed + 1`` are its two hashes.
        init: ``least-squares`` for a trained network, ``fresh`` for one to be trained from scratch, as in the paper;
            see :func:`hash_buckets`.
        bits: 32, or 16 to train and store the buckets in half precision.

    Returns:
        weights and buckets of each layer.

    Raises:
        ArgumentError: if a target, the seed or ``bits`` cannot be, a pattern matches nothing, a parameter has a form
            already or is shared between modules, or a weight is not finite; nothing is changed.
    """
    if bits not in (32, 16):
        raise ArgumentError("invalid width of a bucket", found=bits, expected="32 or 16")
    if not 0 <= seed < 1 << 32:
        raise ArgumentError("seed is no 32-bit number", found=seed, expected="0 to 2^32 - 1")
    chosen = select(module, KEEP.targets(targets, keep, amount))
    there, made = untouched(module, chosen), {}
    for number, (name, fraction) in enumerate(chosen.items()):
        weight = value(there[name])
        own = (seed + 2 * number) % (1 << 32)
        try:
            buckets = bucket_count(weight.numel(), fraction)
            values = hash_buckets(weight.numpy(force=True), buckets, seed=own, init=init)
        except ArgumentError as error:
            raise ArgumentError(
                error.what, where=name, found=error.found, expected=error.expected, fix=error.fix
            ) from None
        made[name] = HashedWeights(tuple(weight.shape), torch.from_numpy(values), own, bits).to(weight.device)
    for name, form in made.items():
        attach(there[name], form)
    rows = [Row(name, prod(form.shape), form.buckets) for name, form in made.items()]
    summary = f"{len(rows)} weights share {sum(row.after for row in rows):,} buckets"
    return Report(method="hash", unit="buckets", rows=tuple(rows), summary=summary, network=module)


def _signed_index(size: int, buckets: int, seed: int) -> Tensor:
    """Each weight's place in ``cat(v, -v)``, int32 ``(size,)``."""
    index = np.empty(size, np.int32)
    for start in range(0, size, _CHUNK):
        piece = index[start : start + _CHUNK]
        members, negated = hashed_places(start, piece.size, buckets, seed)
        piece[:] = members + buckets * negated
    return torch.from_numpy(index)
