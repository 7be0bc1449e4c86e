"""Batches in an order, and with distortions, that are a pure function of (seed, epoch)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from copy import copy
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from paring.errors import ArgumentError
from paring.training.augment import Augmentation, augmentation
from paring.training.augment._spec import finish, rows

#: Batches that are distorted at once by the smooth distortions; larger is no faster and takes more memory.
_CHUNK = 8


def derived_seed(*parts: object) -> int:
    """A 63-bit seed for each tuple of parts (numbers and words), without any state."""
    digest = hashlib.sha256("\x1f".join(map(repr, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*parts: object) -> torch.Generator:
    """A fresh torch generator seeded by :func:`derived_seed`."""
    return torch.Generator().manual_seed(derived_seed(*parts))


class Batch(NamedTuple):
    """What one step of training sees.

    Attributes:
        images: prepared, float32 ``(N, C, H, W)``.
        labels: int64 ``(N,)``.
        indices: int64 ``(N,)``, each image's place in its data set.
        targets: float32 ``(N, classes)``, each image's distribution over the classes where labels alone do not say it
            (mixup); ``None`` otherwise.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    targets: Tensor | None = None


class Source(Protocol):
    """Where training takes its batches from: a pure function of (seed, epoch, step).

    Attributes:
        seed: everything random is derived from it.
    """

    seed: int

    def __len__(self) -> int:
        """Batches per epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches ``start ..`` of an epoch."""


def sliced(source: Source, rank: int, world: int) -> Source:
    """The share of process ``rank`` of ``world``: the same batches, of each only its ``rank``-th part of the images.

    A source that can prepare a part without the whole offers ``sliced(rank, world)`` itself; any other one is cut
    after the fact, so that what it drew at random for a batch stays the same.

    Raises:
        ArgumentError: where a batch cannot be cut into equal parts (at the first such batch, for a source that does
            not know its ``size``).
    """
    if world == 1:
        return source
    size = getattr(source, "size", None)
    if isinstance(size, int):
        _part(size, rank, world)
    own = getattr(source, "sliced", None)
    return own(rank, world) if own is not None else _Slices(source, rank, world)


def _part(size: int, rank: int, world: int) -> slice:
    """Rows of a batch of ``size`` that are process ``rank``'s."""
    if size % world:
        near = ", ".join(str(n) for n in (size - size % world, size - size % world + world) if n)
        raise ArgumentError(
            f"{world} processes cannot share a batch evenly",
            found=f"{size} images",
            expected=f"a multiple of {world}, such as {near}",
        )
    share = size // world
    return slice(rank * share, (rank + 1) * share)


class _Slices:
    """See :func:`sliced`."""

    def __init__(self, source: Source, rank: int, world: int) -> None:
        self.source, self.rank, self.world, self.seed = source, rank, world, source.seed

    def __len__(self) -> int:
        return len(self.source)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for batch in self.source.epoch(epoch, start):
            rows = _part(len(batch.labels), self.rank, self.world)
            yield Batch(*(None if part is None else part[rows] for part in batch))  # type: ignore[arg-type]


def moved(images: Tensor, device: torch.device) -> Tensor:
    """8-bit images on a device; to a GPU out of pinned memory, so that nobody waits for the copy."""
    if device.type == "cuda":
        return images.pin_memory().to(device, non_blocking=True)
    return images.to(device)


class Batches:
    """An image set in memory, cut into shuffled, prepared, optionally distorted batches.

    Nothing is drawn from a running stream: the order of epoch ``e`` depends on ``(seed, e)`` alone and the distortion
    of a batch on ``(seed, e, batch)``, so training can go on from any step.

    Args:
        images: uint8 ``(N, H, W, C)``, or float32 in units of 0..1.
        labels: int64 ``(N,)``.
        mean: per channel, in units of 0..1.
        std: per channel, in units of 0..1.
        size: images per batch; a shorter last batch is left out.
        seed: int.
        augment: name of an augmentation or a list of steps; see :func:`paring.training.augmentation`.
        channels_last: memory layout of the images given out.
        rank: which of ``world`` equal parts of each batch is given out; the distortions are drawn for the whole batch.
        world: in how many parts a batch is cut.
        device: where images are augmented and given out; the set itself stays in main memory.

    Raises:
        ArgumentError: if there are fewer images than one batch needs, ``world`` does not divide a batch, or the
            augmentation is unknown.
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
        augment: str | Augmentation = "none",
        channels_last: bool = False,
        rank: int = 0,
        world: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        if not 1 <= size <= len(images):
            raise ArgumentError("invalid batch size", found=size, expected=f"1 to {len(images)}")
        self.images = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        self.labels = torch.from_numpy(np.asarray(labels, np.int64))
        self.device = torch.device(device)
        self.mean = torch.tensor(mean, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)
        self.size, self.seed = size, seed
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.part = _part(size, rank, world)
        steps = augmentation(augment) if isinstance(augment, str) else augment
        self.augment = steps.fitted(self.images) if steps.needs_images else steps

    def sliced(self, rank: int, world: int) -> Batches:
        """The share of one process of the same batches.

        Raises:
            ArgumentError: if ``world`` does not divide the batch size.
        """
        other = copy(self)
        other.part = _part(self.size, rank, world)
        return other

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self.labels) // self.size

    def order(self, epoch: int) -> Tensor:
        """Places of an epoch's images in their set, batch after batch, int64."""
        order = torch.randperm(len(self.labels), generator=generator(self.seed, epoch, "order"))
        return order[: len(self) * self.size]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches ``start ..`` of an epoch."""
        order = self.order(epoch)
        if self.augment and not self.augment.bends:
            yield from (self._augmented(order, epoch, step) for step in range(start, len(self)))
            return
        span = _CHUNK * self.size
        for chunk in range(start // _CHUNK, -(-len(self) // _CHUNK)):
            picked = order[chunk * span : (chunk + 1) * span]
            images, labels = self._chunk(picked, epoch, chunk), self.labels[picked]
            first = max(start - chunk * _CHUNK, 0)
            for low in range(first * self.size, len(picked), self.size):
                some = slice(low + self.part.start, low + self.part.stop)
                yield Batch(images[some], labels[some], picked[some])

    def _augmented(self, order: Tensor, epoch: int, step: int) -> Batch:
        picked = order[step * self.size : (step + 1) * self.size][self.part]
        maps, source = moved(self.images[picked], self.device), generator(self.seed, epoch, step, "augment")
        drawn = self.augment.draw(self.size, (maps.shape[1], maps.shape[2], maps.shape[3]), source)
        images = finish(maps, self.mean, self.std, self.augment, rows(drawn, self.part), layout=self.layout)
        return Batch(images, self.labels[picked], picked)

    def _chunk(self, picked: Tensor, epoch: int, chunk: int) -> Tensor:
        images = moved(self.images[picked], self.device)
        images = images.float() / 255 if images.dtype == torch.uint8 else images
        if self.augment:
            shape = (images.shape[1], images.shape[2], images.shape[3])
            drawn = self.augment.draw(len(images), shape, generator(self.seed, epoch, chunk, "distort"))
            images = self.augment.apply(images, drawn)
        images = (images - self.mean) / self.std
        return images.contiguous(memory_format=self.layout)
