"""A labeled image set as trainings, scores and calibrations take it: in memory, or on disk and decoded when needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch

from paring.data import Dataset, Listing
from paring.errors import ArgumentError
from paring.image import Preparation
from paring.training.augment import Augmentation
from paring.training.input._batches import Batch, Batches
from paring.training.input._stream import ImageStream, InOrder


class Images:
    """One split of a data set behind one face, whether it fits into memory or not.

    Args:
        data: the set in memory, or its listing, which is then streamed.
        preparation: how an image becomes the network's input; a set in memory has its own.
        workers: processes that decode a streamed set; 0 decodes in this one.
        on_bad_image: ``stop``, or ``skip`` for a streamed set that goes on without damaged images.

    Attributes:
        first: the set in memory, or the first image of a streamed one: what a network can be tried with.

    Raises:
        ArgumentError: if a listing comes without a preparation.
        DataError: if the first image of a listing is damaged.
    """

    def __init__(
        self,
        data: Dataset | Listing,
        preparation: Preparation | None = None,
        *,
        workers: int = 0,
        on_bad_image: str = "stop",
    ) -> None:
        self.listing = data if isinstance(data, Listing) else None
        self.workers, self.on_bad_image = workers, on_bad_image
        if not isinstance(data, Listing):
            self.first = data
        elif preparation is None:
            raise ArgumentError("a listing needs a preparation", where=data.name)
        else:
            self.first = data.first(preparation, on_bad_image)
        self._decoding: list[ImageStream | InOrder] = []
        self._ordered: dict[tuple[int, int, int], InOrder] = {}

    @property
    def known_preparation(self) -> Preparation | None:
        """The preparation for a file; None if pictures could not be prepared by it."""
        return self.first.known_preparation

    @property
    def name(self) -> str:
        """As the user wrote it, ``kind:where``."""
        return self.first.name

    @property
    def split(self) -> str:
        """``train``, ``test`` or ``all``."""
        return self.first.split

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        return self.first.classes

    @property
    def preparation(self) -> Preparation:
        """How an image becomes the network's input."""
        return self.first.preparation

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of a prepared image."""
        height, width, channels = self.preparation.shape
        return channels, height, width

    def __len__(self) -> int:
        return len(self.first.labels if self.listing is None else self.listing)

    @property
    def digest(self) -> str:
        """What tells this set from another; of a streamed one, whose pixels nobody has seen yet, its labels."""
        if self.listing is None:
            return self.first.digest
        words = repr((self.listing.name, self.listing.classes, self.preparation)).encode()
        return hashlib.sha256(words + self.listing.labels.astype("<i8").tobytes()).hexdigest()

    @property
    def skipped(self) -> int:
        """Damaged images that were left out when the set was opened."""
        return self.first.skipped

    @property
    def bad(self) -> dict[str, str]:
        """Every damaged image that this process left out in streaming, and what is wrong with it."""
        if self.on_bad_image == "stop":
            return {}
        return {place: reason for source in self._decoding for place, reason in source.bad.items()}

    def batches(
        self,
        *,
        size: int,
        seed: int,
        augment: str | Augmentation = "none",
        channels_last: bool = False,
        device: torch.device | None = None,
    ) -> Batches | ImageStream:
        """Shuffled, augmented batches to train on; arguments and errors as for :class:`Batches`.

        A GPU augments what it trains on. Of other devices, Metal lacks the double precision that crops are computed in.
        """
        place = device if device is not None and device.type == "cuda" else torch.device("cpu")
        if self.listing is not None:
            stream = ImageStream(
                self.listing,
                self.preparation,
                size=size,
                seed=seed,
                augment=augment,
                workers=self.workers,
                on_bad_image=self.on_bad_image,
                channels_last=channels_last,
                device=place,
            )
            self._decoding.append(stream)
            return stream
        return Batches(
            self.first.images,
            self.first.labels,
            mean=self.preparation.mean,
            std=self.preparation.std,
            size=size,
            seed=seed,
            augment=augment,
            channels_last=channels_last,
            device=place,
        )

    def in_order(self, size: int = 256, rank: int = 0, world: int = 1) -> Iterable[Batch]:
        """The share of process ``rank`` of ``world``, undistorted: every image once in one of the shares."""
        if self.listing is None:
            return self._rows(size, rank, world)
        if (size, rank, world) not in self._ordered:
            self._ordered[size, rank, world] = self._share(size, rank, world)
        return self._ordered[size, rank, world]

    def _share(self, size: int = 256, rank: int = 0, world: int = 1) -> InOrder:
        assert self.listing is not None
        options = {"size": size, "workers": self.workers, "on_bad_image": self.on_bad_image}
        share = InOrder(self.listing, self.preparation, rank=rank, world=world, **options)  # type: ignore[arg-type]
        self._decoding.append(share)
        return share

    def _rows(self, size: int, rank: int, world: int) -> Iterator[Batch]:
        labels = self.first.labels
        for start in range(rank * size, len(labels), world * size):
            stop = min(start + size, len(labels))
            numbers = torch.from_numpy(np.asarray(labels[start:stop], np.int64))
            yield Batch(_maps(self.first.prepared(start, stop)), numbers, torch.arange(start, stop))

    def arrays(self, size: int = 256) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same for an engine outside of torch: float32 images ``(N, H, W, C)`` and int64 labels ``(N,)``."""
        for batch in self.in_order(size):
            yield np.ascontiguousarray(batch.images.permute(0, 2, 3, 1).numpy()), batch.labels.numpy()

    def some(self, count: int) -> Batch:
        """``count`` images, evenly spaced, undistorted; fewer where there are fewer or damaged ones are skipped.

        Raises:
            ArgumentError: if the count is below 1.
            DataError: if one of them is damaged.
        """
        if count < 1:
            raise ArgumentError("invalid number of calibration images", found=count, expected="1 or more")
        rows = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.int64))
        if self.listing is None:
            chosen = replace(self.first, images=self.first.images[rows], labels=self.first.labels[rows])
            batch = next(iter(Images(chosen).in_order(len(rows))))
            return batch._replace(indices=torch.from_numpy(rows))
        parts = list(self._share().at(rows))
        images, labels, indices = (torch.cat([part[column] for part in parts]) for column in range(3))  # type: ignore[misc]
        return Batch(_maps(images.permute(0, 2, 3, 1).numpy()), labels, indices)


def _maps(images: np.ndarray) -> torch.Tensor:
    """``(N, H, W, C)`` as ``(N, C, H, W)``; always by this way, for torch's convolutions look at the strides of an axis
    of length 1 and round accordingly."""
    return torch.from_numpy(np.ascontiguousarray(np.array(images).transpose(0, 3, 1, 2)))
