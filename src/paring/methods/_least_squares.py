"""A layer as a least-squares problem: what its rounding costs, from second moments of its inputs.

A layer's answer is linear in its weight. Over the columns ``x`` of its unfolded inputs in the quantized network, and
the answers ``y`` of the float network to the same images,

    sum |y - W x|^2  =  sum y^2 - 2 tr(W C^T) + tr(W H W^T),      H = sum x x^T,   C = sum y x^T,

so whatever chooses integers for ``W`` needs ``H`` and ``C`` alone: memory does not grow with the images. Groups of a
convolution are independent problems; a depthwise convolution is one of a few columns for every channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from paring.graph import Node

#: Widest layer whose second moments are kept: 8192 columns take 256 MiB.
MAX_COLUMNS = 8192
#: Shares of the mean diagonal that are tried as damping.
SHARES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
#: Operators that are such problems.
SOLVABLE = ("conv2d", "linear")


@dataclass
class LeastSquares:
    """Second moments of one layer, group by group.

    Attributes:
        weight: the float weight, float32 ``(groups, out / groups, columns)``.
        kernel: height and width of a convolution's window, None of a fully connected layer.
        h: sum of ``x x^T``, float32 ``(groups, columns, columns)``.
        c: sum of ``y x^T``, float32 ``(groups, out / groups, columns)``.
        count: columns of input seen.
        x: sum of ``x``, float32 ``(groups, columns, 1)``; None where it is not known.
        y: sum of ``y``, float32 ``(groups, out / groups, 1)``; likewise.
    """

    weight: Tensor
    kernel: tuple[int, int] | None
    h: Tensor
    c: Tensor
    count: int = 0
    x: Tensor | None = None
    y: Tensor | None = None

    @classmethod
    def of(cls, node: Node, weight: Tensor) -> LeastSquares:
        """An empty one for a node and its float weight."""
        attrs: Any = node.attrs
        rows = weight.detach().reshape(attrs.get("groups", 1), -1, weight[0].numel()).clone()
        groups, outputs, columns = rows.shape
        kernel = (weight.shape[2], weight.shape[3]) if weight.ndim == 4 else None
        h, c = rows.new_zeros(groups, columns, columns), rows.new_zeros(groups, outputs, columns)
        return cls(rows, kernel, h, c, 0, rows.new_zeros(groups, columns, 1), rows.new_zeros(groups, outputs, 1))

    def add(self, node: Node, inputs: Tensor, answers: Tensor, step: int = 4) -> None:
        """Count inputs ``(N, C, H, W)`` or ``(N, F)`` and the answers wanted for them, bias taken off.

        ``step`` images are unfolded at a time.
        """
        groups, outputs, _ = self.weight.shape
        step = len(inputs) if self.kernel is None else step
        for start in range(0, len(inputs), step):
            x = self._columns(node, inputs[start : start + step])
            y = answers[start : start + step]
            y = y.reshape(len(y), groups, outputs, -1).permute(1, 2, 0, 3).flatten(2)
            transposed = x.transpose(1, 2)
            self.h += x @ transposed
            self.c += y @ transposed
            self.count += x.shape[2]
            if self.x is not None and self.y is not None:
                self.x += x.sum(2, keepdim=True)
                self.y += y.sum(2, keepdim=True)

    def __add__(self, other: LeastSquares) -> LeastSquares:
        """The problem over the inputs of both."""
        sums = [None if a is None or b is None else a + b for a, b in ((self.x, other.x), (self.y, other.y))]
        return LeastSquares(
            self.weight, self.kernel, self.h + other.h, self.c + other.c, self.count + other.count, *sums
        )

    def centered(self) -> LeastSquares:
        """The problem of a layer whose bias makes up for every error of the mean.

        ``H - sum x sum x^T / n`` and ``C - sum y sum x^T / n``: inputs and answers less their means.
        """
        assert self.x is not None
        assert self.y is not None
        across = self.x.transpose(1, 2) / max(self.count, 1)
        return LeastSquares(self.weight, self.kernel, self.h - self.x @ across, self.c - self.y @ across, self.count)

    def loss(self, weight: Tensor) -> Tensor:
        """``(tr(W H W^T) - 2 tr(W C^T)) / count`` summed over the groups: the mean error up to a constant."""
        return ((weight @ self.h - 2 * self.c) * weight).sum() / max(self.count, 1)

    def damped(self, share: float | None = None) -> tuple[Tensor, Tensor]:
        """``H + d I`` and ``C + d W``: the same problem, drawn to ``W``.

        ``d`` is ``share`` of the mean diagonal; by default ``0.01 + columns / count``, so that a wide layer of which
        few inputs were seen is not fitted to these.
        """
        diagonal = self.h.diagonal(dim1=1, dim2=2)
        if share is None:
            share = 0.01 + self.h.shape[1] / max(self.count, 1)
        extra = share * diagonal.mean(1).clamp_min(1e-12)[:, None]
        return self.h + torch.diag_embed(extra.expand_as(diagonal)), self.c + extra[:, :, None] * self.weight

    def _columns(self, node: Node, x: Tensor) -> Tensor:
        """What every window sees, ``(groups, columns, N * windows)``."""
        if self.kernel is None:
            return x.t()[None]
        a: Any = node.attrs
        groups = len(self.weight)
        top, bottom, left, right = a["padding"]
        x = F.pad(x, (left, right, top, bottom)) if any(a["padding"]) else x
        if self.kernel == (1, 1):
            windows = x[:, :, :: a["stride"][0], :: a["stride"][1]].flatten(2)
        else:
            windows = F.unfold(x, self.kernel, a["dilation"], 0, a["stride"])
        return windows.unflatten(1, (groups, -1)).permute(1, 2, 0, 3).flatten(2)


def held_out_damping(fit: LeastSquares, others: LeastSquares) -> float:
    """The damping with which real weights fitted to one set of inputs have the least error on another.

    How many inputs were seen says little: the pixels of an image are much alike.
    """

    def error(share: float) -> float:
        h, c = fit.damped(share)
        factor, failed = torch.linalg.cholesky_ex(h)
        if failed.any():
            return float("inf")
        return float(others.loss(torch.cholesky_solve(c.transpose(1, 2), factor).transpose(1, 2)))

    return min(SHARES, key=error)
