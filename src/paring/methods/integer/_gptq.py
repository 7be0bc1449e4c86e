"""Second-order rounding: each column's error is fed back into the columns that are still real.

Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ", ICLR 2023, arXiv 2210.17323, sections 3 and 4; after optimal brain
quantization (Frantar, Singh, Alistarh 2022, arXiv 2208.11580). For a row ``w`` of the weight the error of the layer's
answer is a quadratic with the Hessian ``H``; when column ``j`` is rounded to ``q``, the best answer of the columns
behind it is

    w[k] -= (w[j] - q) / U[j, j] * U[j, k],   k > j,       H^-1 = U^T U,  U upper triangular,

which is what exact minimization over the rest gives. Columns with the largest ``H[j, j]`` come first. Two things are
ours: the row starts from the real weight that makes up best for the errors of the layers in front
(:class:`LeastSquares` holds the float network's answers, not the weight alone), and after the last column single codes
are moved while that lowers the error (coordinate descent), so the result is a minimum that no one code improves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paring.methods._least_squares import LeastSquares

#: Columns rounded between two updates of all that follow.
_BLOCK = 128


def gptq(problem: LeastSquares, scales: Tensor, most: int, *, damping: float | None = None, sweeps: int = 3) -> Tensor:
    """Codes of a layer's weight.

    Args:
        problem: the layer's second moments.
        scales: float32 ``(groups, out / groups)``.
        most: the largest code.
        damping: share of the mean diagonal added to ``H``; see :meth:`LeastSquares.damped`.
        sweeps: passes of coordinate descent afterwards.

    Returns:
        whole numbers in float32, the shape of ``problem.weight``.
    """
    h, c = problem.damped(damping)
    order = h.diagonal(dim1=1, dim2=2).argsort(1, descending=True)
    inverse_order = order.argsort(1)
    columns = order[:, None, :].expand_as(c)
    sorted_h = h.gather(1, order[:, :, None].expand_as(h)).gather(2, order[:, None, :].expand_as(h)).double()
    factor = torch.linalg.cholesky(sorted_h)
    start = torch.cholesky_solve(c.gather(2, columns).transpose(1, 2).double(), factor).transpose(1, 2).float()
    upper = torch.linalg.cholesky(torch.cholesky_inverse(factor), upper=True).float()
    codes = _feed_back(start, upper, scales, most)
    codes = codes.gather(2, inverse_order[:, None, :].expand_as(c))
    return descend(h, c, codes, scales, most, sweeps)


def _feed_back(weight: Tensor, upper: Tensor, scales: Tensor, most: int) -> Tensor:
    """Round column by column; updates within a block at once, behind it block by block."""
    weight = weight.clone()
    codes = torch.empty_like(weight)
    total = weight.shape[2]
    for first in range(0, total, _BLOCK):
        last = min(first + _BLOCK, total)
        errors = weight.new_empty(*weight.shape[:2], last - first)
        for j in range(first, last):
            column = weight[:, :, j]
            codes[:, :, j] = (column / scales).round().clamp(-most, most)
            error = (column - codes[:, :, j] * scales) / upper[:, None, j, j]
            weight[:, :, j + 1 : last] -= error[:, :, None] * upper[:, None, j, j + 1 : last]
            errors[:, :, j - first] = error
        weight[:, :, last:] -= errors @ upper[:, first:last, last:]
    return codes


def descend(h: Tensor, c: Tensor, codes: Tensor, scales: Tensor, most: int, sweeps: int = 3) -> Tensor:
    """Move single codes to their best value given all others, column by column, until nothing moves.

    Args:
        h: ``(groups, columns, columns)``.
        c: ``(groups, out / groups, columns)``; the error is ``tr(W h W^T) - 2 tr(W c^T)``.
        codes: where to begin, the shape of ``c``.
        scales: ``(groups, out / groups)``.
        most: the largest code.
        sweeps: most passes over the columns.
    """
    codes = codes.clone()
    diagonal = h.diagonal(dim1=1, dim2=2).clamp_min(1e-20)
    for _ in range(sweeps):
        gradient = (codes * scales[:, :, None]) @ h - c
        moved = False
        for j in range(codes.shape[2]):
            wanted = codes[:, :, j] - gradient[:, :, j] / (diagonal[:, None, j] * scales)
            change = wanted.round().clamp(-most, most) - codes[:, :, j]
            if change.any():
                moved = True
                codes[:, :, j] += change
                gradient += (change * scales)[:, :, None] * h[:, None, j, :]
        if not moved:
            break
    return codes


def refit(h: Tensor, c: Tensor, codes: Tensor, scales: Tensor, most: int, rounds: int = 3) -> tuple[Tensor, Tensor]:
    """The best scale for each row's codes, ``<w, c> / <w, w h>``, and the best codes for that scale, in turn.

    Args:
        h: as in :func:`descend`, and the next ones, too.
        c: second moments with the answers.
        codes: where to begin.
        scales: ``(groups, out / groups)``.
        most: the largest code.
        rounds: of both.

    Returns:
        codes and scales of which neither raises the error.
    """
    for _ in range(rounds):
        top, below = (codes * c).sum(2), ((codes @ h) * codes).sum(2)
        scales = torch.where((top > 0) & (below > 0), top / below.clamp_min(1e-30), scales)
        codes = descend(h, c, codes, scales, most, 1)
    return codes, scales
