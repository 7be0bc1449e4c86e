"""Pruning by a score other than magnitude: the first-order Taylor expansion of the loss, or any array.

Setting weight ``w`` to zero changes the loss, to first order, by ``-g w`` with ``g = dL/dw``; its square, averaged over
batches, is the weight's importance:

    I(w) = mean over batches of (g w)^2

Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance estimation for neural network pruning", CVPR 2019, arXiv
1906.10771, equation 8; the absolute value instead of the square is Molchanov, Tyree, Karras, Aila, Kautz, "Pruning
convolutional neural networks for resource efficient inference", ICLR 2017, arXiv 1611.06440, equation 7, on weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from paring.errors import ArgumentError
from paring.methods._report import Report
from paring.methods.pruning._magnitude import Pruned, apply_masks, checked_fraction
from paring.parametrize import places, select
from paring.parametrize._select import parametrization, value


def taylor_scores(
    module: nn.Module,
    loss: Callable[[nn.Module, Any], Tensor],
    batches: Iterable[Any],
    patterns: Iterable[str] = ("*",),
    *,
    squared: bool = True,
) -> dict[str, np.ndarray]:
    """Importance of every selected weight; see this module. The network is left as it was; in eval mode.

    Args:
        module: the network; weights plain or pruned.
        loss: ``(network, batch) -> scalar``.
        batches: anything ``loss`` takes.
        patterns: see :func:`paring.parametrize.select`.
        squared: ``(g w)^2``; False for ``|g w|``.

    Returns:
        parameter name to float64 array of its shape, not negative.

    Raises:
        ArgumentError: if there is no batch, a pattern matches nothing, or a weight has a form other than pruned.
    """
    there = places(module)
    names = list(select(module, dict.fromkeys(patterns, True)))
    originals = []
    for name in names:
        place, form = there[name], parametrization(there[name])
        if form is not None and not isinstance(form, Pruned):
            raise ArgumentError(f"weight is already {form.kind}", where=name, fix="Prune before anything else")
        chained = parametrize.is_parametrized(place.module, place.tensor)
        owner: Any = place.module
        originals.append(owner.parametrizations[place.tensor].original if chained else getattr(owner, place.tensor))
    weights = [value(there[name]).double() for name in names]
    total = [torch.zeros_like(weight) for weight in weights]
    count, was = 0, module.training
    module.eval()
    try:
        for batch in batches:
            grads = torch.autograd.grad(loss(module, batch), originals, allow_unused=True)
            for sum_, weight, grad in zip(total, weights, grads, strict=True):
                if grad is not None:
                    product = grad.detach().double() * weight
                    sum_ += product.square() if squared else product.abs()
            count += 1
    finally:
        module.train(was)
    if not count:
        raise ArgumentError("no batch to take gradients on")
    return {name: (sum_ / count).numpy(force=True) for name, sum_ in zip(names, total, strict=True)}


def score_mask(score: np.ndarray, keep: float) -> np.ndarray:
    """The ``round(keep * size)`` entries of largest score, sign and all; of equal ones, the first in C order.

    Args:
        score: float array of any shape.
        keep: fraction to keep, 0..1.

    Returns:
        bool array of the same shape.

    Raises:
        ArgumentError: if ``keep`` is no fraction or a score is not a number.
    """
    keep = checked_fraction(keep)
    flat = np.asarray(score, np.float64).ravel()
    if np.isnan(flat).any():
        raise ArgumentError("a score is not a number", fix="Train the network without divergence first")
    mask = np.zeros(flat.size, bool)
    mask[np.argsort(-flat, kind="stable")[: round(keep * flat.size)]] = True
    return mask.reshape(np.shape(score))


def prune_by_scores(
    module: nn.Module,
    scores: Mapping[str, np.ndarray],
    keep: float | Mapping[str, float],
    *,
    together: bool = False,
    bits: int = 32,
) -> Report:
    """Prune parameters to the weights of largest score.

    Args:
        module: the network, changed in place; what was pruned before stays pruned.
        scores: parameter name to an array of its shape.
        keep: fraction of each layer to keep, 0..1; or by pattern, for the names in ``scores`` that one matches.
        together: one threshold for all layers instead; ``keep`` is then one number.
        bits: as for :func:`paring.methods.prune`.

    Returns:
        non-zero weights of each parameter before and after.

    Raises:
        ArgumentError: if a target cannot be, a name is unknown, or a score has another shape than its weight.
    """
    there = places(module)
    for name, score in scores.items():
        if name not in there:
            raise ArgumentError("network has no such parameter", found=name, expected=", ".join(list(there)[:3]))
        if np.shape(score) != tuple(value(there[name]).shape):
            raise ArgumentError(
                "score does not fit the weight",
                where=name,
                found=np.shape(score),
                expected=tuple(value(there[name]).shape),
            )
    if together:
        if isinstance(keep, Mapping):
            raise ArgumentError("one threshold for all takes one fraction", found=dict(keep))
        masks = pooled_masks(scores, keep)
    else:
        wanted = select(module, keep) if isinstance(keep, Mapping) else dict.fromkeys(scores, keep)
        if missing := [name for name in wanted if name not in scores]:
            raise ArgumentError("weight has no score", where=missing[0], expected=", ".join(list(scores)[:3]))
        masks = {name: score_mask(scores[name], part) for name, part in wanted.items()}
    return apply_masks(module, masks, bits=bits)


def pooled_masks(scores: Mapping[str, np.ndarray], keep: float) -> dict[str, np.ndarray]:
    """One threshold for all: the ``round(keep * total)`` entries of largest score among all arrays."""
    flat = score_mask(np.concatenate([np.ravel(score) for score in scores.values()]), keep)
    pieces = np.split(flat, np.cumsum([np.size(score) for score in scores.values()])[:-1])
    return {n: piece.reshape(np.shape(scores[n])) for n, piece in zip(scores, pieces, strict=True)}


def taylor_masks(
    module: nn.Module,
    loss: Callable[[nn.Module, Any], Tensor] | None,
    batches: Iterable[Any],
    pools: Mapping[str, list[str]],
    keep: Mapping[str, float],
) -> dict[str, np.ndarray]:
    """Masks by :func:`taylor_scores`, with one threshold for the parameters of each pool."""
    if loss is None:
        raise ArgumentError("the loss's change needs a loss", fix="Give loss= and batches=, a few hundred images")
    scores = taylor_scores(module, loss, batches, list(keep))
    masks: dict[str, np.ndarray] = {}
    for names in pools.values():
        masks.update(pooled_masks({name: scores[name] for name in names}, keep[names[0]]))
    return {name: masks[name] for name in keep}
