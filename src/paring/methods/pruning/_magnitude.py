"""Magnitude pruning: weights of small magnitude become zero, the survivors are retrained from their values.

Han, Pool, Tran, Dally, "Learning both weights and connections for efficient neural networks", NIPS 2015, arXiv
1506.02626, section 3. A layer with weights ``W`` keeps

    M = |W| > t,      W <- M * W

where the threshold ``t`` is either given by a fraction to keep (the magnitude of the last weight kept) or is
``quality * std(W)``, as in the paper. Pruning and retraining are repeated, and a weight that was pruned stays zero.

A threshold may also be common to many layers ("global"); which layers then keep how much is left to the training.
Between two masks the fraction kept falls as in Zhu, Gupta, "To prune, or not to prune", 2017, arXiv 1710.01878,
equation 1:

    keep(p) = last + (first - last) * (1 - p)^3,      p from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.forms import Sparse
from paring.methods._amounts import Amount, Targets, number, share_of
from paring.methods._registry import Trial, method
from paring.methods._report import Report, Row
from paring.parametrize import FormParametrization, attach, places, round_half, select
from paring.parametrize._select import parametrization, value

KEEP = share_of("weights")
QUALITY = Amount("quality", "quality parameter", "a number that is not negative", number(0, 1e30), float)
#: By what :func:`prune` chooses.
SCORES = ("magnitude", "taylor")


def magnitude_mask(weight: np.ndarray, keep: float) -> np.ndarray:
    """The ``round(keep * size)`` entries of largest magnitude; of equal ones, the first in C order.

    Args:
        weight: float array of any shape.
        keep: fraction to keep, 0..1.

    Returns:
        bool array of the same shape.

    Raises:
        ArgumentError: if ``keep`` is no fraction or a weight is not a number.
    """
    keep = checked_fraction(keep)
    magnitude = np.abs(np.asarray(weight)).ravel()
    if np.isnan(magnitude).any():
        raise ArgumentError("a weight is not a number", fix="Train the network without divergence first")
    count = round(keep * magnitude.size)
    mask = np.zeros(magnitude.size, bool)
    if count:
        last = np.partition(magnitude, magnitude.size - count)[magnitude.size - count]
        mask = magnitude > last
        ties = np.flatnonzero(magnitude == last)
        mask[ties[: count - int(mask.sum())]] = True
    return mask.reshape(np.shape(weight))


def quality_mask(weight: np.ndarray, quality: float) -> np.ndarray:
    """``|w| > quality * std(w)`` with the standard deviation over the weights that are not zero.

    Args:
        weight: float array of any shape.
        quality: the paper's quality parameter, not negative.

    Returns:
        bool array of the same shape.

    Raises:
        ArgumentError: if ``quality`` is negative or not a number.
    """
    if not 0 <= quality < np.inf:
        raise ArgumentError("invalid quality parameter", found=quality, expected="a number that is not negative")
    weight = np.asarray(weight)
    alive = weight[weight != 0].astype(np.float64)
    return np.abs(weight) > (quality * alive.std() if alive.size else 0.0)


def global_masks(weights: Mapping[str, np.ndarray], keep: float) -> dict[str, np.ndarray]:
    """One threshold for all: the ``round(keep * total)`` entries of largest magnitude among all arrays.

    Args:
        weights: name to float array.
        keep: fraction of all entries together to keep, 0..1.

    Returns:
        name to bool array of the weight's shape.
    """
    flat = np.concatenate([np.ravel(weight) for weight in weights.values()]) if weights else np.zeros(0)
    kept = magnitude_mask(flat, keep)
    ends = np.cumsum([np.size(weight) for weight in weights.values()])
    pieces = np.split(kept, ends[:-1]) if weights else []
    return {
        name: piece.reshape(np.shape(weight)) for (name, weight), piece in zip(weights.items(), pieces, strict=True)
    }


def cubic(first: float, last: float, progress: float) -> float:
    """The fraction to keep after ``progress`` (0..1) of the pruning; equation 1 of arXiv 1710.01878."""
    return last + (first - last) * (1 - min(max(progress, 0.0), 1.0)) ** 3


def checked_fraction(keep: float) -> float:
    """``keep`` as a float in 0..1.

    Raises:
        ArgumentError: if it is not.
    """
    if not 0 <= keep <= 1:
        raise ArgumentError("invalid fraction of weights to keep", found=f"{keep:.6g}", expected="0 to 1 (0 to 100 %)")
    return float(keep)


class Pruned(FormParametrization):
    """``weight = mask * original``; a zero of the mask also stops the gradient.

    Args:
        mask: bool tensor of the weight's shape.
        bits: 32, or 16 to train with weights rounded to half precision.
    """

    kind = "pruned"
    mask: Tensor

    def __init__(self, mask: Tensor, bits: int = 32) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("mask", mask.bool())

    @classmethod
    def blank(cls, shape: tuple[int, ...], bits: int = 32) -> Pruned:
        """One that keeps everything, to load a state into."""
        return cls(torch.ones(shape, dtype=torch.bool), bits)

    def options(self) -> dict[str, int]:
        return {"bits": self.bits}

    def forward(self, original: Tensor) -> Tensor:
        """The weight, of ``original``'s shape."""
        # where, not a product: -1 * 0 would be the other zero
        kept = torch.where(self.mask, original, original.new_zeros(()))
        return round_half(kept) if self.bits == 16 else kept

    def right_inverse(self, weight: Tensor) -> Tensor:
        """A weight is its own original."""
        return weight

    def form(self, original: Tensor) -> Sparse:
        mask = self.mask.numpy(force=True)
        dense = self.forward(original).numpy(force=True)
        return Sparse(mask, dense[mask], self.bits)


def apply_masks(module: nn.Module, masks: Mapping[str, np.ndarray], *, bits: int = 32, method: str = "prune") -> Report:
    """Prune these parameters; what was pruned before stays pruned.

    Args:
        module: the network, changed in place.
        masks: parameter name to bool array of the parameter's shape, True where it is kept.
        bits: width the survivors are trained and stored in.
        method: whose report it is.

    Returns:
        non-zero weights of each parameter before and after.

    Raises:
        ArgumentError: if a weight already has a form that cannot be pruned any more; nothing is changed.
    """
    there = places(module)
    for name in masks:
        form = parametrization(there[name])
        if form is not None and not isinstance(form, Pruned):
            raise ArgumentError(f"weight is already {form.kind}", where=name, fix="Prune before anything else")
    rows = []
    for name, mask in masks.items():
        place = there[name]
        form, weight = parametrization(place), value(place)
        # copied: a mask with odd strides along axes of length 1 would turn the weight to channels last
        keep = torch.from_numpy(np.array(mask, order="C")).to(weight.device)
        if form is None:
            form = Pruned(torch.ones_like(keep), bits)
            attach(place, form)
        assert isinstance(form, Pruned)
        before, after = int(torch.count_nonzero(weight)), int(torch.count_nonzero(weight * keep))
        form.mask.logical_and_(keep)
        rows.append(Row(name, before, after, f"{after / max(weight.numel(), 1):.1%} of its weights"))
    report = Report(method=method, unit="non-zero weights", rows=tuple(rows), summary="", network=module)
    return replace(report, summary=f"{report.removed:,} weights became zero")


@method(
    "weights of the smallest magnitude, or of the smallest effect on the loss, become zero",
    kind="pruning",
    form="sparse",
    page="pruning.md",
    amounts=(KEEP, QUALITY),
    trial=Trial((0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05), "weights kept", usual=True),
    calibrate=512,
)
def prune(
    module: nn.Module,
    targets: Targets = None,
    *,
    keep: Targets = None,
    amount: Targets = None,
    quality: Targets = None,
    score: Literal["magnitude", "taylor"] = "magnitude",
    together: bool = False,
    bits: int = 32,
    batches: Iterable[Any] = (),
    loss: Callable[[nn.Module, Any], Tensor] | None = None,
) -> Report:
    """Prune each selected layer to its own share of weights.

    A share that stands behind the network without a name is the share that is kept: ``prune(network, 0.2)``.

    Args:
        module: the network, changed in place.
        targets: as ``keep``; or patterns alone.
        keep: share of a layer's weights to keep, 0..1: for all layers, or by patterns
            (:func:`paring.parametrize.select`).
        amount: share that becomes zero, instead.
        quality: instead, the factor of each layer's standard deviation below which magnitudes go, the paper's rule.
        score: ``magnitude``, or ``taylor``: by what the loss on ``batches`` would change
            (:func:`paring.methods.pruning.taylor_scores`).
        together: all layers that one pattern matches have one threshold, instead of each layer its own.
        bits: 32, or 16 to train and store the survivors in half precision.
        batches: for ``taylor``: what ``loss`` takes.
        loss: for ``taylor``: ``(network, batch) -> scalar``.

    Returns:
        non-zero weights of each layer before and after.

    Raises:
        ArgumentError: if an amount cannot be or a pattern matches nothing; nothing is changed.
    """
    if score not in SCORES:
        raise ArgumentError("unknown score", found=repr(score), expected=" or ".join(SCORES))
    if quality is not None:
        if not targets is keep is amount is None or score != "magnitude" or together:
            raise ArgumentError("quality is a threshold on magnitudes, layer by layer", fix="Give quality= alone")
        chosen = select(module, QUALITY.targets(quality))
        arrays = values(module, chosen)
        return apply_masks(module, {name: quality_mask(arrays[name], at) for name, at in chosen.items()}, bits=bits)
    patterns = KEEP.targets(targets, keep, amount)
    pools: dict[str, list[str]] = {}
    for name, pattern in select(module, {pattern: pattern for pattern in patterns}).items():
        pools.setdefault(pattern if together else name, []).append(name)
    chosen = select(module, patterns)
    if score == "taylor":
        from paring.methods.pruning._scores import taylor_masks

        return apply_masks(module, taylor_masks(module, loss, batches, pools, chosen), bits=bits)
    arrays, masks = values(module, chosen), {}
    for names in pools.values():
        masks.update(global_masks({name: arrays[name] for name in names}, chosen[names[0]]))
    return apply_masks(module, {name: masks[name] for name in chosen}, bits=bits)


def values(module: nn.Module, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The present values of these parameters as arrays."""
    there = places(module)
    return {name: value(there[name]).numpy(force=True) for name in names}
