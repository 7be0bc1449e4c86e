"""Batches in an order, and with distortions, that are a pure function of (seed, epoch)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from paring.errors import ArgumentError
from paring.training._augment import augmentation, distort

#: Batches that are distorted at once; larger is no faster and takes more memory.
_CHUNK = 8


def derived_seed(*parts: object) -> int:
    """A 63-bit seed for each tuple of parts (numbers and words), without any state."""
    digest = hashlib.sha256("\x1f".join(map(repr, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*parts: object) -> torch.Generator:
    """A fresh torch generator seeded by :func:`derived_seed`."""
    return torch.Generator().manual_seed(derived_seed(*parts))


class Batches:
    """An image set in memory, cut into shuffled, prepared, optionally distorted batches.

    Nothing is drawn from a running stream: the order of epoch ``e`` depends on ``(seed, e)`` alone and the distortion
    of a batch on ``(seed, e, batch)``, so training can go on from any step.

    Args:
        images: uint8 ``(N, H, W, C)``.
        labels: int64 ``(N,)``.
        mean: per channel, in units of 0..1.
        std: per channel, in units of 0..1.
        size: images per batch; a shorter last batch is left out.
        seed: int.
        augment: name of an augmentation; see :data:`paring.training.AUGMENTATIONS`.
        channels_last: memory layout of the images given out.

    Raises:
        ArgumentError: if there are fewer images than one batch needs, or the augmentation is unknown.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        mean: tuple[float, ...] = (0.0,),
        std: tuple[float, ...] = (1.0,),
        size: int = 128,
        seed: int = 0,
        augment: str = "none",
        channels_last: bool = False,
    ) -> None:
        if not 1 <= size <= len(images):
            raise ArgumentError("batch size cannot be", found=size, expected=f"1 to {len(images)}")
        self.images = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        self.labels = torch.from_numpy(np.asarray(labels, np.int64))
        self.mean = torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1)
        self.size, self.seed, self.augment = size, seed, augmentation(augment)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self.labels) // self.size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches ``start ..`` of an epoch: float32 ``(size, C, H, W)`` and int64 ``(size,)``."""
        order = torch.randperm(len(self.labels), generator=generator(self.seed, epoch, "order"))
        order = order[: len(self) * self.size]
        span = _CHUNK * self.size
        for chunk in range(start // _CHUNK, -(-len(self) // _CHUNK)):
            picked = order[chunk * span : (chunk + 1) * span]
            images, labels = self._chunk(picked, epoch, chunk), self.labels[picked]
            first = max(start - chunk * _CHUNK, 0)
            for low in range(first * self.size, len(picked), self.size):
                yield images[low : low + self.size], labels[low : low + self.size]

    def _chunk(self, picked: Tensor, epoch: int, chunk: int) -> Tensor:
        images = self.images[picked].float() / 255
        if self.augment:
            images = distort(images, generator(self.seed, epoch, chunk, "distort"), **self.augment)
        images = (images - self.mean) / self.std
        return images.contiguous(memory_format=self.layout)
