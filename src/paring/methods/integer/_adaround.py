"""Learned rounding: whether each weight goes down or up is trained, layer by layer.

Nagel, Amjad, van Baalen, Louizos, Blankevoort, "Up or down? Adaptive rounding for post-training quantization", ICML
2020, arXiv 2004.10568, section 3. With ``V`` real and a rectified sigmoid,

    W~ = s clamp(floor(W / s) + h(V), -n, n),       h(V) = clamp(1.2 sigmoid(V) - 0.1, 0, 1),
    minimize   error of the layer's answer  +  lambda sum (1 - |2 h(V) - 1|^beta)

with ``beta`` falling, so that every ``h`` ends at 0 or 1. The error is that of the layer's linear answer against the
float network's, for inputs from the quantized network (the paper's asymmetric reconstruction, without its activation
function), and is a quadratic whose second moments are kept (:class:`LeastSquares`): every step sees all calibration
images at the price of one product with ``H``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paring.methods._least_squares import LeastSquares

#: The rectified sigmoid's ends.
_STRETCH = (-0.1, 1.1)


def rectified_sigmoid(v: Tensor) -> Tensor:
    """``clamp(1.2 sigmoid(v) - 0.1, 0, 1)``."""
    low, high = _STRETCH
    return (torch.sigmoid(v) * (high - low) + low).clamp(0, 1)


def adaround(
    problem: LeastSquares,
    scales: Tensor,
    most: int,
    *,
    steps: int = 300,
    lr: float = 0.05,
    weight: float = 0.1,
    damping: float | None = None,
) -> Tensor:
    """Codes of a layer's weight.

    Args:
        problem: the layer's second moments.
        scales: float32 ``(groups, out / groups)``.
        most: the largest code.
        steps: steps of Adam.
        lr: its learning rate.
        weight: lambda, the price of indecision, where the error is in units of a weight's step at mean curvature.
        damping: share of the mean diagonal added to ``H``; see :meth:`LeastSquares.damped`.

    Returns:
        whole numbers in float32, the shape of ``problem.weight``; each the weight rounded down or up.
    """
    h, c = problem.damped(damping)
    column = scales[:, :, None]
    unit = h.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    down = (problem.weight / column).floor()
    low, high = _STRETCH
    share = ((problem.weight / column - down).clamp(0.01, 0.99) - low) / (high - low)
    v = torch.logit(share).requires_grad_()
    optimizer = torch.optim.Adam([v], lr)
    for step in range(steps):
        progress = step / max(steps - 1, 1)
        raised = rectified_sigmoid(v)
        w = column * (down + raised).clamp(-most, most)
        gradient_scale = 1 / (unit * column**2)
        loss = ((0.5 * (w @ h) - c) * w * gradient_scale).sum()
        if progress > 0.2:
            beta = 2 + 18 * (1 - (progress - 0.2) / 0.8)
            loss = loss + weight * 10 * progress * (1 - (2 * raised - 1).abs().pow(beta)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return (down + (rectified_sigmoid(v) >= 0.5)).clamp(-most, most)
