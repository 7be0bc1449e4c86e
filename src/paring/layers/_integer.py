"""Integer arithmetic in torch, bit for bit that of ``docs/reference/arithmetic.md``, with straight-through gradients.

Codes are whole numbers in float32 tensors. Sums of products are taken in float32 where no partial sum can reach 2**24,
so that every order of summation gives the same, and in float64 otherwise; each step behind them is one IEEE float32
operation, as in the reference interpreter. Backward, rounding passes the gradient on unchanged (straight-through:
Bengio, Leonard, Courville 2013, arXiv 1308.3432) and clamping stops it outside; the scales, being tensors, get theirs
from the chain rule, which is learned step size quantization's (Esser et al. 2020, arXiv 1902.08153, section 2.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

#: Sums below this are exact in float32 in any order.
_EXACT = 2.0**24


class TensorCodes(NamedTuple):
    """What a tensor of codes stands for, ``r = scale * (q - zero_point)``, with a scale that may be trained."""

    scale: Tensor
    zero_point: int
    bits: int

    @property
    def high(self) -> int:
        """The largest code."""
        return (1 << self.bits) - 1

    @property
    def reach(self) -> int:
        """The largest magnitude of ``q - zero_point``."""
        return max(self.zero_point, self.high - self.zero_point)


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


class _Lookup(torch.autograd.Function):
    """``table[q]``; the gradient is the table's slope, half the difference of the neighbors' entries."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, table: Tensor) -> Tensor:
        index = q.long()
        last = len(table) - 1
        ctx.save_for_backward(table[(index + 1).clamp_max(last)] - table[(index - 1).clamp_min(0)])
        return table[index]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return grads[0] * slope / 2, None


def round_through(x: Tensor) -> Tensor:
    """``x`` rounded to the nearest integers, ties to even; the gradient is that of the identity."""
    return _Round.apply(x)


def clamp_codes(t: Tensor, zero_point: int, low: int, high: int) -> Tensor:
    """``clamp(round(t) + zero_point, low, high)``."""
    if not t.requires_grad:
        return torch.round(t).add_(zero_point).clamp_(low, high)
    return (round_through(t) + zero_point).clamp(low, high)


def quantize_codes(x: Tensor, codes: TensorCodes) -> Tensor:
    """Float32 numbers to codes: one division, rounding, clamping; NaN gives 0."""
    q = clamp_codes(x / codes.scale, codes.zero_point, 0, codes.high)
    return torch.where(q.isnan(), torch.zeros_like(q), q)


def dequantize_codes(q: Tensor, codes: TensorCodes) -> Tensor:
    """Codes to float32 numbers."""
    return (q - codes.zero_point) * codes.scale


def integer_weight(weight: Tensor, scales: Tensor, most: int) -> Tensor:
    """``clamp(round(weight / scale), -most, most)``; ``scales`` broadcasts over the weight."""
    return round_through(weight / scales).clamp(-most, most)


def rescale_factor(source: Tensor, target: Tensor, count: int = 1) -> Tensor:
    """``float32(float64(source) / (float64(target) * count))``."""
    return (source.double() / (target.double() * count)).float()


def integer_layer(
    product: Callable[[Tensor, Tensor], Tensor],
    q: Tensor,
    source: TensorCodes,
    codes: Tensor,
    scales: Tensor,
    bias: Tensor | None,
    target: TensorCodes,
) -> Tensor:
    """A convolution or fully connected layer up to the rounding of its result: ``float32(acc) * m``.

    Args:
        product: ``(input, weight) -> sums``, channels on axis 1, without bias, padding with zeros.
        q: codes of the input.
        source: what they stand for.
        codes: of the weight, outputs first.
        scales: of the weight, ``(outputs,)`` or ``(1,)``.
        bias: float32 ``(outputs,)``.
        target: what the result's codes will stand for.

    Returns:
        float32, the result in steps of the target's scale above its zero point.
    """
    step = source.scale.double() * scales.double()
    whole = None if bias is None else round_through(bias.double() / step)
    with torch.no_grad():
        bound = float(codes.abs().flatten(1).sum(1).max()) * source.reach
        bound += 0.0 if whole is None else float(whole.abs().max())
    kind = torch.float32 if bound < _EXACT else torch.float64
    centered = q - source.zero_point if source.zero_point else q
    sums = product(centered.to(kind), codes.to(kind))
    if whole is not None:
        column = whole.to(kind).view(1, -1, *[1] * (sums.ndim - 2))
        sums = sums + column if sums.requires_grad or column.requires_grad else sums.add_(column)
    m = (step / target.scale.double()).float().view(1, -1, *[1] * (sums.ndim - 2))
    sums = sums.float()
    return sums * m if sums.requires_grad or m.requires_grad else sums.mul_(m)


def integer_addition(a: Tensor, one: TensorCodes, b: Tensor, two: TensorCodes, target: TensorCodes) -> Tensor:
    """``p_a + p_b``, each a float32 product of codes and their multiplier, before rounding."""
    first = (a - one.zero_point) * rescale_factor(one.scale, target.scale)
    return first + (b - two.zero_point) * rescale_factor(two.scale, target.scale)


def lookup_codes(q: Tensor, table: Tensor) -> Tensor:
    """``table[q]``, a function of one number on codes."""
    return _Lookup.apply(q, table)
