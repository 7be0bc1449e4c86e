"""Batch norms folded into integer weights while they are trained: batch statistics first, long-term ones later.

Krishnamoorthi 2018, arXiv 1806.08342, section 3.2.2. Folding by a batch's own deviation ``sigma_B`` would make the
integers jump from batch to batch, so weights are always folded by the moving one,

    W_fold = W gamma / sigma,          Q(W_fold) is what is rounded

and as long as batch statistics rule, the answer is brought to what the batch norm would have given:

    y = (sigma / sigma_B) Q(W_fold) x  +  beta - gamma mu_B / sigma_B

Afterwards, and outside training, ``y = Q(W_fold) x + beta - gamma mu / sigma``: the integers and the integer bias that
the engine has. ``mu_B`` and ``sigma_B`` are those of ``W x``, real weights on the layer's rounded input, and carry
gradients, as in a batch norm.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from paring.capture import BatchNorm
from paring.errors import ArgumentError, TrainingError


class FoldedNorm(nn.Module):
    """The batch norm of one layer, as it is trained inside the layer's integers.

    Args:
        norm: the batch norm that was folded; its gain is taken as it is, signs and zeros included.
        bias: the layer's bias as it is to be at the beginning, float64 ``(outputs,)``.
        shift: the bias that folding gave, from which the mean of the layer's sums is told, float64 ``(outputs,)``.

    Attributes:
        gamma: parameter, ``(outputs,)``.
        beta: parameter, ``(outputs,)``.
        mean: moving mean of the layer's sums, without bias.
        var: moving variance of them.
    """

    gamma: Tensor
    beta: Tensor
    mean: Tensor
    var: Tensor

    def __init__(self, norm: BatchNorm, bias: np.ndarray, shift: np.ndarray) -> None:
        super().__init__()
        self.eps, self.momentum = norm.eps, 0.1 if norm.momentum is None else norm.momentum
        ratio = np.where(norm.gamma != 0, norm.deviation / np.where(norm.gamma != 0, norm.gamma, 1), 0)
        mean = (norm.beta - shift) * ratio
        self.gamma = nn.Parameter(_float(norm.gamma))
        self.beta = nn.Parameter(_float(bias + norm.gamma / norm.deviation * mean))
        self.register_buffer("mean", _float(mean))
        self.register_buffer("var", _float(norm.var))

    def unfold(self, weight: Tensor) -> Tensor:
        """The weight before folding, zero where the gain is."""
        gain = self._gain().detach()
        return torch.where(_column(gain != 0, weight), weight / _column(torch.where(gain != 0, gain, 1.0), weight), 0.0)

    def fold(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias with the moving statistics folded in."""
        gain = self._gain()
        return weight * _column(gain, weight), self.beta - self.mean * gain

    def correction(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """What batch statistics make of a layer's answer.

        The moving statistics are brought up to date, the variance without bias, as torch keeps it.

        Args:
            sums: ``W x`` with the weight before folding, ``(N, outputs, ...)``.

        Returns:
            ``sigma / sigma_B``, to multiply ``Q(W_fold) x`` by, and ``beta - gamma mu_B / sigma_B``; ``(outputs,)``.

        Raises:
            TrainingError: if a batch has one number for each channel, which has no deviation.
            ArgumentError: with several processes, whose batches' statistics would differ.
        """
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            raise ArgumentError(
                "batch statistics are of one process alone",
                fix="Freeze the norms (freeze_norms) with several processes",
            )
        count = sums.numel() // sums.shape[1]
        if count < 2:
            raise TrainingError("a batch of one number for each channel has no deviation", found=tuple(sums.shape))
        axes = [axis for axis in range(sums.ndim) if axis != 1]
        var, mean = torch.var_mean(sums, axes, correction=0)
        deviation = (var + self.eps).sqrt()
        with torch.no_grad():
            ratio = (self.var + self.eps).sqrt()
            self.mean.lerp_(mean, self.momentum)
            self.var.lerp_(var * (count / (count - 1)), self.momentum)
        return ratio / deviation, self.beta - self.gamma * mean / deviation

    def _gain(self) -> Tensor:
        return self.gamma / (self.var + self.eps).sqrt()


def _float(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float64).astype(np.float32))


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))
