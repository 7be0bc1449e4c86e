"""Mixup: training on weighted sums of two images and of their labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional as F

from paring.errors import ArgumentError
from paring.training.input._batches import Batch, Source, derived_seed, sliced


class Mixup:
    """A source whose batches are mixed (Zhang, Cisse, Dauphin, Lopez-Paz 2018, arXiv 1710.09412).

    ``x = l x_i + (1 - l) x_j`` and ``y = l y_i + (1 - l) y_j`` with one ``l ~ Beta(alpha, alpha)`` for a batch, drawn
    from (seed, epoch, step). The partner of image ``2k`` is ``2k + 1`` and the other way round: a batch is in random
    order, so neighbors are random pairs, and a process that computes an even slice of the batch needs no other one.

    Args:
        source: of batches with an even number of images.
        alpha: positive; 0.2 on ImageNet and 1 on CIFAR-10 in the paper.
        classes: how many.

    Raises:
        ArgumentError: if ``alpha`` is not positive.
    """

    def __init__(self, source: Source, alpha: float, classes: int) -> None:
        if not alpha > 0:
            raise ArgumentError("invalid mixup's alpha", found=alpha, expected="above 0")
        self.source, self.alpha, self.classes, self.seed = source, alpha, classes, source.seed

    def __len__(self) -> int:
        return len(self.source)

    def sliced(self, rank: int, world: int) -> Mixup:
        """The share of one process."""
        return Mixup(sliced(self.source, rank, world), self.alpha, self.classes)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches ``start ..`` of an epoch, mixed.

        Raises:
            ArgumentError: if a batch has an odd number of images.
        """
        for step, batch in enumerate(self.source.epoch(epoch, start), start):
            if len(batch.labels) % 2:
                raise ArgumentError("mixup needs pairs of images", found=f"{len(batch.labels)} images a process")
            drawn = np.random.default_rng(derived_seed(self.seed, epoch, step, "mixup")).beta(self.alpha, self.alpha)
            share = float(np.float32(drawn))
            partner = torch.arange(len(batch.labels)) ^ 1
            targets = batch.targets
            if targets is None:
                targets = F.one_hot(batch.labels, self.classes).float()
            images = torch.lerp(batch.images[partner], batch.images, share)
            yield batch._replace(images=images, targets=torch.lerp(targets[partner], targets, share))
