"""A layer as a least-squares problem: what its rounding costs, from second moments of its inputs.

A layer's answer is linear in its weight. Over the columns ``x`` of its unfolded inputs in the quantised network, and
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
    """

    weight: Tensor
    kernel: tuple[int, int] | None
    h: Tensor
    c: Tensor
    count: int = 0

    @classmethod
    def of(cls, node: Node, weight: Tensor) -> LeastSquares:
        """An empty one for a node and its float weight."""
        attrs: Any = node.attrs
        rows = weight.detach().reshape(attrs.get("groups", 1), -1, weight[0].numel()).clone()
        groups, outputs, columns = rows.shape
        kernel = (weight.shape[2], weight.shape[3]) if weight.ndim == 4 else None
        return cls(rows, kernel, rows.new_zeros(groups, columns, columns), rows.new_zeros(groups, outputs, columns))

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

    def loss(self, weight: Tensor) -> Tensor:
        """``(tr(W H W^T) - 2 tr(W C^T)) / count`` summed over the groups: the mean error up to a constant."""
        return ((weight @ self.h - 2 * self.c) * weight).sum() / max(self.count, 1)

    def damped(self, share: float = 0.01) -> tuple[Tensor, Tensor]:
        """``H + d I`` and ``C + d W``: the same problem, drawn to ``W``.

        ``d`` is ``share + columns / count`` of the mean diagonal, so that a wide layer of which few inputs were seen
        is not fitted to these.
        """
        diagonal = self.h.diagonal(dim1=1, dim2=2)
        share = share + self.h.shape[1] / max(self.count, 1)
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
