"""Scores over a whole set: shared by all processes, every image counted once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.errors import DataError
from paring.training._distributed import World, device_of
from paring.training.input import Batch, Images

#: What an evaluation is: a network, in eval mode, to named numbers; ``error`` is a fraction.
Evaluate = Callable[[nn.Module], Mapping[str, float]]
#: Classes from which on the share of images whose class is not among the five best answers is counted, too.
_MANY = 100


class Scored(Protocol):
    """A set of prepared images in a fixed order; :class:`paring.data.Dataset` is one."""

    @property
    def labels(self) -> np.ndarray:
        """Classes of the images, integers ``(N,)``."""

    def prepared(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Images ``start .. stop - 1``, float32 ``(N, H, W, C)``."""


def evaluator(data: Scored | Images, size: int = 256) -> Evaluate:
    """A function that scores a network on a set, in memory or streamed, ``size`` images at a time.

    With N processes each takes a share, and the counts are summed: the result is that of one process, without an image
    left out or counted twice.

    Args:
        data: the set.
        size: images at a time.
    """
    images = data if isinstance(data, Images) else Images(data)  # type: ignore[arg-type]

    def evaluate(network: nn.Module) -> dict[str, float]:
        world = here(network)
        return score(network, images.in_order(size, world.rank, world.size))

    return evaluate


@torch.no_grad()
def score(network: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
    """How a network does on this process's ``batches`` and those of all other processes together.

    Every process must call it, each with its own images. The network's mode is put back afterwards.

    Returns:
        ``error``, the share answered wrongly; ``loss``, the mean cross-entropy; with at least 100 classes also
        ``error_5``, the share whose class is not among the five best answers.

    Raises:
        DataError: if there is no image at all.
    """
    world, was = here(network), network.training
    network.eval()
    sums = np.zeros(4)
    try:
        for batch in batches:
            scores = network(batch.images.to(world.device)).float()
            sums += _counted(scores, batch.labels.to(world.device))
    finally:
        network.train(was)
    images, wrong, wrong_5, loss = world.total(sums.tolist())
    if not images:
        raise DataError("no images to score the network on")
    found = {"error": wrong / images, "loss": loss / images}
    return found if wrong_5 < 0 else found | {"error_5": wrong_5 / images}


def _counted(scores: Tensor, labels: Tensor) -> np.ndarray:
    """Images, wrong answers, wrong among five (-1 each where that is not counted), summed loss."""
    wrong = int((scores.argmax(1) != labels).sum())
    wrong_5 = -len(labels)
    if scores.shape[1] >= _MANY:
        wrong_5 = int((scores.topk(5, 1).indices != labels[:, None]).all(1).sum())
    loss = F.cross_entropy(scores.double(), labels, reduction="sum").item()
    return np.array([len(labels), wrong, wrong_5, loss])


def here(network: nn.Module) -> World:
    """This process's place, wherever its network is."""
    group = torch.distributed
    if not group.is_available() or not group.is_initialized():
        return World(device_of(network))
    return World(device_of(network), group.get_rank(), group.get_world_size())
