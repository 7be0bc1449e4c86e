"""Losses on labels."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from paring.errors import ArgumentError
from paring.training.input import Batch

#: What a loss is: ``(network, batch) -> scalar``, a mean over the batch.
Loss = Callable[[nn.Module, Batch], Tensor]


def cross_entropy(smoothing: float = 0.0) -> Loss:
    """Softmax cross-entropy, with label smoothing (Szegedy et al. 2016, arXiv 1512.00567, section 7).

    Raises:
        ArgumentError: if ``smoothing`` is not in 0 to below 1.
    """
    if not 0 <= smoothing < 1:
        raise ArgumentError("invalid label smoothing", found=smoothing, expected="0 to below 1")

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(scores(network(batch.images)), hard_target(batch), label_smoothing=smoothing)

    return loss


def scores(answer: object) -> Tensor:
    """A network's answer, if it is one tensor.

    Raises:
        ArgumentError: if it is not.
    """
    if not isinstance(answer, Tensor):
        raise ArgumentError(
            "network answers with more than one tensor while it trains",
            found=type(answer).__name__,
            expected="a tensor (N, classes)",
            fix="Let it return the scores alone (aux_logits=False and the like), or give a loss that takes all",
        )
    return answer


def hard_target(batch: Batch) -> Tensor:
    """What the labels say: each image's distribution where it has one (mixup), else its class."""
    return batch.labels if batch.targets is None else batch.targets
