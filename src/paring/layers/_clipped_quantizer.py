"""The activation of DoReFa-Net: clipped to [0, 1] and rounded to k bits, trained straight through.

Zhou, Wu, Ni, Zhou, Wen, Zou, 2016, arXiv 1606.06160, section 2.4, with n = 2^k - 1:

    forward    quantize_k(clip(x, 0, 1)),   quantize_k(r) = round(n r) / n
    backward   dC/dx = dC/dy where 0 <= x <= 1, else 0

It is computed as the graph's operators ``quantize`` and ``dequantize`` compute it (``docs/reference/arithmetic.md``),
bit for bit, with ``s = float32(high / n)``:

    q = clamp(rne(x / s), 0, n)             y = float32(q) * s

so that a captured network has the codes it was trained with. This differs from the formula in exact numbers by a unit
in the last place of y, and in q only where x is within a few units in the last place of a tie.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.graph import QuantParams


class _ClipAndRound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, most: int, high: float) -> Tensor:
        ctx.save_for_backward((x >= 0) & (x <= high))
        return torch.round(x / step).clamp(0, most) * step

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return torch.where(inside, grads[0], grads[0].new_zeros(())), None, None, None


class ClippedQuantizer(nn.Module):
    """``round(n clip(x / high, 0, 1)) / n * high`` with ``n = 2^bits - 1``; gradient 1 inside [0, high], else 0.

    Takes and gives a tensor of any shape. A NaN stays one in torch, so that a training that diverges shows; the
    captured operator makes it 0.

    Args:
        bits: width of the codes, 1 to 8.
        high: where the answer is cut off, 1 in the paper.

    Raises:
        ArgumentError: if either cannot be.
    """

    step: Tensor

    def __init__(self, bits: int, high: float = 1.0) -> None:
        super().__init__()
        if bits != int(bits) or not 1 <= bits <= 8:
            raise ArgumentError("invalid width of an activation", found=f"{bits} bits", expected="1 to 8")
        self.bits, self.high = int(bits), float(high)
        self.most = (1 << self.bits) - 1
        # a tensor where the activations are, not a number: CUDA divides by numbers through their reciprocal
        self.register_buffer("step", torch.tensor(high / self.most, dtype=torch.float32), persistent=False)
        QuantParams(float(self.step), 0, max(self.bits, 2))  # refuses a scale no operator takes

    def forward(self, x: Tensor) -> Tensor:
        """The rounded activation."""
        if torch.is_grad_enabled() and x.requires_grad:
            return _ClipAndRound.apply(x, self.step, self.most, self.high)
        return torch.round(x / self.step).clamp(0, self.most) * self.step

    def extra_repr(self) -> str:
        return f"bits={self.bits}, high={self.high:g}"
