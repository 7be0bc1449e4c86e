"""N:M pruning: of every M weights in a row along the input channels, the N of largest score stay.

Mishra et al., "Accelerating sparse deep neural networks", 2021, arXiv 2104.08378 (2:4); Zhou et al., "Learning N:M
fine-grained structured sparse neural networks from scratch", ICLR 2021, arXiv 2102.04010. Blocks lie along axis 1 of a
weight ``(out, in / groups, kh, kw)`` or ``(out, in)``, within one output, group and tap. Blocks are disjoint, so the
best choice within each is the best choice at all: no other N:M mask keeps a larger sum of scores.

A layer whose inputs per group are no multiple of M is refused, or its last block is filled up with weights that do not
exist (``tail="pad"``): of ``r < M`` real ones ``min(N, r)`` stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from torch import nn

from paring.errors import ArgumentError
from paring.methods._amounts import Amount, Targets
from paring.methods._registry import Trial, method
from paring.methods._report import Report
from paring.methods.pruning._magnitude import apply_masks, values
from paring.parametrize import select


def n_m_mask(score: np.ndarray, n: int, m: int, *, tail: str = "refuse") -> np.ndarray:
    """The ``n`` largest of every ``m`` along axis 1; of equal ones, the first.

    Args:
        score: float array ``(out, in / groups, ...)``; for magnitude pruning ``|w|``.
        n: kept of each block, 0 < n <= m.
        m: block length.
        tail: ``refuse`` or ``pad``, for a last block that is shorter; see this module.

    Returns:
        bool array of the same shape.

    Raises:
        ArgumentError: if ``n`` and ``m`` cannot be, blocks do not fit, or a score is not a number.
    """
    if not 0 < n <= m:
        raise ArgumentError("invalid N:M", found=f"{n}:{m}", expected="0 < N <= M")
    if tail not in ("refuse", "pad"):
        raise ArgumentError("unknown tail rule", found=repr(tail), expected="refuse or pad")
    score = np.asarray(score)
    if score.ndim < 2:
        raise ArgumentError("N:M needs input channels", found=f"shape {score.shape}", expected="(out, in, ...)")
    if np.isnan(score).any():
        raise ArgumentError("a score is not a number", fix="Train the network without divergence first")
    missing = -score.shape[1] % m
    if missing and tail == "refuse":
        raise ArgumentError(
            f"input channels per group are no multiple of {m}",
            found=score.shape[1],
            fix="Leave the layer out, or choose tail='pad'",
        )
    rows = np.moveaxis(score, 1, -1)
    if missing:  # -inf sorts behind every real score, also behind one that is -inf, because the sort is stable
        pad = np.full((*rows.shape[:-1], missing), -np.inf)
        rows = np.concatenate([rows, pad], -1)
    blocks = rows.reshape(*rows.shape[:-1], -1, m)
    order = np.argsort(-blocks, axis=-1, kind="stable")
    mask = np.zeros(blocks.shape, bool)
    np.put_along_axis(mask, order[..., :n], True, -1)
    mask = mask.reshape(rows.shape)[..., : score.shape[1]]
    return np.ascontiguousarray(np.moveaxis(mask, -1, 1))


BLOCK = Amount("block", "N:M", "such as '2:4'", lambda value: "{}:{}".format(*_parsed(value)))


@method(
    "of every M weights in a row along the inputs, N stay",
    kind="pruning",
    form="sparse",
    page="pruning.md",
    amounts=(BLOCK,),
    trial=Trial(("3:4", "2:4", "1:4"), "of every M weights, N kept", {"tail": "pad"}, usual=True),
)
def prune_n_m(
    module: nn.Module,
    targets: Targets = None,
    *,
    block: Targets = None,
    scores: Mapping[str, np.ndarray] | None = None,
    tail: Literal["refuse", "pad"] = "refuse",
    bits: int = 32,
) -> Report:
    """Prune the selected layers to N:M.

    Args:
        module: the network, changed in place.
        targets: ``"2:4"`` and the like, for all layers or by patterns.
        block: the same, named.
        scores: parameter name to an array of its shape; magnitudes where not given.
        tail: ``refuse`` or ``pad``; see :func:`n_m_mask`. A depthwise layer has one input a group and cannot be N:M.
        bits: as for :func:`paring.methods.prune`.

    Returns:
        non-zero weights of each layer before and after.

    Raises:
        ArgumentError: if a target cannot be, a pattern matches nothing, or a layer does not fit; nothing is changed.
    """
    chosen = {
        name: (target, *_parsed(target)) for name, target in select(module, BLOCK.targets(targets, block)).items()
    }
    arrays, masks = values(module, chosen), {}
    for name, (target, n, m) in chosen.items():
        score = np.abs(arrays[name]) if scores is None or name not in scores else scores[name]
        if np.shape(score) != arrays[name].shape:
            raise ArgumentError(
                "score does not fit the weight", where=name, found=np.shape(score), expected=arrays[name].shape
            )
        try:
            masks[name] = n_m_mask(score, n, m, tail=tail)
        except ArgumentError as error:
            raise ArgumentError(f"{target}: {error.what}", where=name, found=error.found, fix=error.fix) from None
    return apply_masks(module, masks, bits=bits, method="prune_n_m")


def _parsed(target: str) -> tuple[int, int]:
    kept, colon, block = str(target).partition(":")
    if not (colon and kept.isdigit() and block.isdigit() and 0 < int(kept) <= int(block)):
        raise ArgumentError("invalid N:M", found=repr(target), expected="such as '2:4', 0 < N <= M")
    return int(kept), int(block)
