"""What a specialist is trained on: half of the images from its classes, half at random from the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paring.distillation.specialists._network import check_classes
from paring.errors import ArgumentError, DataError
from paring.training.input import Batch, Batches, generator


class SpecialistBatches(Batches):
    """Batches of which one half shows the specialist's classes and the other half anything else, the dustbin.

    Hinton, Vinyals, Dean 2015, arXiv 1503.02531, section 5.2. In an epoch every image of the specialist's classes comes
    once (but for those that fill no last batch) and as many images from the rest, drawn without one coming twice before
    every one came once. All orders depend on (seed, epoch) alone, and batch s holds the s-th piece of both, shuffled,
    so training goes on from any step. Images and augmentation are those of :class:`Batches`; labels are 0 .. m - 1 in
    the order of ``classes`` and m for the dustbin; ``indices`` stay those of the whole set.

    Args:
        images: uint8 ``(N, H, W, C)``, of all classes.
        labels: int64 ``(N,)``, of all classes.
        classes: the specialist's m classes.
        size: images per batch, even.
        options: whatever else :class:`Batches` takes.

    Raises:
        ArgumentError: if the classes or the size cannot be.
        DataError: if no image, or every image, is of these classes.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, classes: Sequence[int], *, size: int = 128, **options: Any
    ) -> None:
        super().__init__(images, labels, size=size, **options)
        known = int(self.labels.max()) + 1
        self.classes = tuple(check_classes(classes, max(known, max(classes, default=0) + 1)))
        self.table = torch.full((max(known, max(self.classes) + 1),), len(self.classes), dtype=torch.int64)
        self.table[list(self.classes)] = torch.arange(len(self.classes))
        own = self.table[self.labels] < len(self.classes)
        self.own, self.rest = torch.nonzero(own).flatten(), torch.nonzero(~own).flatten()
        if not len(self.own) or not len(self.rest):
            which = "no image" if not len(self.own) else "every image"
            raise DataError(f"{which} is of the specialist's classes", found=list(self.classes))
        if size % 2 or size // 2 > len(self.own):
            raise ArgumentError("invalid batch size", found=size, expected=f"even, 2 to {2 * len(self.own)}")

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self.own) // (self.size // 2)

    def order(self, epoch: int) -> Tensor:
        """Places in the whole set of all images of an epoch, batch after batch, each batch in random order."""
        half = self.size // 2
        wanted = len(self) * half
        own = self.own[torch.randperm(len(self.own), generator=generator(self.seed, epoch, "own"))[:wanted]]
        rounds = -(-wanted // len(self.rest))
        draws = [
            torch.randperm(len(self.rest), generator=generator(self.seed, epoch, "rest", turn))
            for turn in range(rounds)
        ]
        rest = self.rest[torch.cat(draws)[:wanted]]
        both = torch.cat([own.view(-1, half), rest.view(-1, half)], 1)
        mixed = torch.rand(both.shape, generator=generator(self.seed, epoch, "mix"), dtype=torch.float64).argsort(1)
        return both.gather(1, mixed).flatten()

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches ``start ..`` of an epoch, labels and targets counted over the specialist's classes."""
        for batch in super().epoch(epoch, start):
            targets = None if batch.targets is None else self._gathered(batch.targets)
            yield batch._replace(labels=self.table[batch.labels], targets=targets)

    def _gathered(self, targets: Tensor) -> Tensor:
        own = targets[:, list(self.classes)]
        return torch.cat([own, (targets.sum(1) - own.sum(1))[:, None]], 1)
