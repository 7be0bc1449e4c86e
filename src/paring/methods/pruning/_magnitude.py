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

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.forms import Sparse
from paring.parametrize import FormParametrization, attach, places, round_half, select
from paring.parametrize._select import parametrization, value


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


def apply_masks(module: nn.Module, masks: Mapping[str, np.ndarray], *, bits: int = 32) -> int:
    """Prune these parameters; what was pruned before stays pruned.

    Args:
        module: the network, changed in place.
        masks: parameter name to bool array of the parameter's shape, True where it is kept.
        bits: width the survivors are trained and stored in.

    Returns:
        number of weights that were not zero before and are now.

    Raises:
        ArgumentError: if a weight already has a form that cannot be pruned any more.
    """
    dropped, there = 0, places(module)
    for name, mask in masks.items():
        place = there[name]
        form = parametrization(place)
        if form is not None and not isinstance(form, Pruned):
            raise ArgumentError(f"weight is already {form.kind}", where=name, fix="Prune before anything else")
        weight = value(place)
        # copied: a mask with odd strides along axes of length 1 would turn the weight to channels last
        keep = torch.from_numpy(np.array(mask, order="C")).to(weight.device)
        if form is None:
            form = Pruned(torch.ones_like(keep), bits)
            attach(place, form)
        dropped += int(torch.count_nonzero(weight) - torch.count_nonzero(weight * keep))
        form.mask.logical_and_(keep)
    return dropped


def prune(module: nn.Module, targets: Mapping[str, float], *, bits: int = 32) -> int:
    """Prune each selected layer to its own fraction, by magnitude.

    Args:
        module: the network, changed in place.
        targets: pattern (see :func:`paring.parametrize.select`) to the fraction of the layer's weights to keep, 0..1.
        bits: 32, or 16 to train and store the survivors in half precision.

    Returns:
        number of weights that became zero.

    Raises:
        ArgumentError: if a target cannot be or a pattern matches nothing.
    """
    chosen = select(module, {pattern: checked_fraction(keep) for pattern, keep in targets.items()})
    arrays = values(module, chosen)
    return apply_masks(module, {name: magnitude_mask(arrays[name], keep) for name, keep in chosen.items()}, bits=bits)


def prune_global(module: nn.Module, keep: float, patterns: Iterable[str] = ("*",), *, bits: int = 32) -> int:
    """Prune the selected layers with one threshold for all; arguments and errors as :func:`prune`."""
    chosen = select(module, dict.fromkeys(patterns, keep))
    return apply_masks(module, global_masks(values(module, chosen), keep), bits=bits)


def prune_by_quality(module: nn.Module, targets: Mapping[str, float], *, bits: int = 32) -> int:
    """Prune weights below ``quality * std`` of their layer, the paper's rule; errors as :func:`prune`."""
    chosen = select(module, targets)
    arrays = values(module, chosen)
    return apply_masks(module, {name: quality_mask(arrays[name], target) for name, target in chosen.items()}, bits=bits)


def values(module: nn.Module, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The present values of these parameters as arrays."""
    there = places(module)
    return {name: value(there[name]).numpy(force=True) for name in names}
