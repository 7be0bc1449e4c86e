"""Batch normalization whose statistics are over all processes' images.

With N processes each sees a slice of the batch; normalizing each slice by its own statistics would train another
network than one process does. PyTorch's SyncBatchNorm refuses processors, so this one is written on ``all_reduce``.

For ``n`` values of a channel in all slices together, ``m = sum x / n``, ``v = sum (x - m)^2 / n``,
``y = (x - m) / sqrt(v + eps)``; its gradient (Ioffe, Szegedy 2015, arXiv 1502.03167, section 3) is

    dx = (g - sum g / n - y sum(g y) / n) / sqrt(v + eps),

where the sums run over all slices and ``g`` is the gradient of ``y``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Normalize(torch.autograd.Function):
    """``x`` to ``y`` above; also gives out mean, biased variance and ``n``, which carry no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        wide = x.to(_wide(x))
        count = torch.full((1,), float(x.numel() // x.shape[1]), dtype=wide.dtype, device=x.device)
        sums = _summed(torch.cat([wide.sum(axes), count]))
        n, mean = sums[-1:], sums[:-1] / sums[-1:]
        # A second pass over the deviations: the difference of mean square and squared mean would cancel.
        centered = wide - _column(mean, x)
        variance = _summed((centered * centered).sum(axes)) / n
        inverse = (variance + eps).rsqrt()
        y = (centered * _column(inverse, x)).to(x.dtype)
        ctx.save_for_backward(y, inverse, n)
        ctx.mark_non_differentiable(mean, variance, n)
        return y, mean, variance, n

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        y, inverse, n = ctx.saved_tensors
        axes = [axis for axis in range(y.ndim) if axis != 1]
        g, wide = gradients[0].to(inverse.dtype), y.to(inverse.dtype)
        sums = _summed(torch.cat([g.sum(axes), (g * wide).sum(axes)]))
        first, second = (sums / n).chunk(2)
        dx = (g - _column(first, y) - wide * _column(second, y)) * _column(inverse, y)
        return dx.to(y.dtype), None


def _wide(x: Tensor) -> torch.dtype:
    """Sums of half floats are kept in float32."""
    return torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.view(1, -1, *(1,) * (like.ndim - 2))


def _summed(values: Tensor) -> Tensor:
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(values)
    return values


def _forward(module: _BatchNorm, input: Tensor) -> Tensor:
    """What ``module`` computes with the statistics of all slices; in eval mode nothing changes."""
    if not module.training and module.running_mean is not None:
        return _BatchNorm.forward(module, input)
    module._check_input_dim(input)
    y, mean, variance, n = _Normalize.apply(input, module.eps)
    if module.training and module.running_mean is not None:
        _remember(module, mean, variance, n)
    if module.weight is not None:
        y = y * _column(module.weight, y).to(y.dtype) + _column(module.bias, y).to(y.dtype)
    return y


@torch.no_grad()
def _remember(module: _BatchNorm, mean: Tensor, variance: Tensor, n: Tensor) -> None:
    """The moving averages; the variance without bias, as torch keeps it."""
    assert module.running_mean is not None
    assert module.running_var is not None
    assert module.num_batches_tracked is not None
    module.num_batches_tracked += 1
    share = module.momentum if module.momentum is not None else 1 / float(module.num_batches_tracked)
    module.running_mean.lerp_(mean.to(module.running_mean.dtype), share)
    module.running_var.lerp_((variance * n / (n - 1).clamp(min=1)).to(module.running_var.dtype), share)


@contextmanager
def synchronized(network: nn.Module) -> Iterator[Sequence[nn.Module]]:
    """While it lasts, every batch normalization of ``network`` takes its statistics over all processes.

    Modules keep their class, parameters and names, so optimizers, checkpoints and trainable forms stay valid. A
    normalization with a ``forward`` of its own is left alone.

    Yields:
        the modules that were changed.
    """
    changed = [m for m in network.modules() if isinstance(m, _BatchNorm) and type(m).forward is _BatchNorm.forward]
    for module in changed:
        module.forward = partial(_forward, module)  # type: ignore[method-assign]
    try:
        yield changed
    finally:
        for module in changed:
            vars(module).pop("forward", None)
