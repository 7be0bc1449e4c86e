"""A split that is found and checked but not decoded: what streaming reads from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paring.data._dataset import Dataset, Source, spread
from paring.data._decode import decode
from paring.data._load import _check_arguments, _numbers, _reader, _target, measure
from paring.errors import DataError
from paring.image import Preparation

#: Images that are looked at to find size, channels, mean and std of a set that is not decoded as a whole.
SAMPLE = 512
#: How many images in a row may be damaged before the search for a readable one ends.
_SEARCH = 1000


@dataclass(frozen=True, eq=False)
class Listing:
    """One split of a data set, images still encoded and where they were.

    Attributes:
        name: as the user wrote it, ``kind:where``.
        split: ``train``, ``test`` or ``all``.
        labels: int64 ``(N,)``, all within ``classes``.
        classes: class names.
        blocks: int64 ``(N,)``, which stretch of storage each image is in, ascending; ``None`` where any order of
            reading costs the same.
        plain: True if the source holds plain pixels, in memory already (MNIST); there is nothing to stream then.
    """

    name: str
    split: str
    labels: np.ndarray
    classes: tuple[str, ...]
    blocks: np.ndarray | None
    plain: bool
    _source: Source
    _numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def place(self, position: int) -> str:
        """Where image ``position`` (0 to N - 1) is kept, in words for an error."""
        return self._source.place(int(self._numbers[position]))

    def fetch(self, positions: np.ndarray) -> Sequence[bytes | Path]:
        """The encoded images at these positions, in their order: bytes of a file, or its path."""
        positions = np.asarray(positions, np.int64)
        ascending = np.argsort(positions, kind="stable")
        found = self._source.fetch(self._numbers[positions[ascending]])
        placed: list[bytes | Path] = [b""] * len(positions)
        for position, item in zip(ascending.tolist(), found, strict=True):
            placed[position] = item
        return placed

    def preparation(
        self,
        *,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        white: float = 0.0,
        sample: int = SAMPLE,
        on_bad_image: str = "stop",
    ) -> Preparation:
        """How the images become the network's input; what is not given is found as :func:`paring.data.load` finds it,
        from ``sample`` images evenly spaced over the split.

        Raises:
            DataError: if an image of the sample is damaged, or with ``on_bad_image="skip"`` all of them are.
        """
        chosen = spread(len(self), sample)
        shape, resize = _target(self._source, self._numbers[chosen], size, channels, on_bad_image)
        if mean is None or std is None:
            plain = Preparation(*shape, (0.0,) * shape[2], (1.0,) * shape[2], resize, white)
            found_mean, found_std = measure(self.sample(plain, sample, on_bad_image))
            mean, std = mean or found_mean, std or found_std
        mean, std = (part * shape[2] if len(part) == 1 else part for part in (mean, std))
        return Preparation(*shape, mean, std, resize, white)

    def sample(self, preparation: Preparation, count: int = SAMPLE, on_bad_image: str = "stop") -> np.ndarray:
        """``count`` images evenly spaced over the split.

        Returns:
            uint8 ``(n, H, W, C)``; fewer where damaged ones were skipped.

        Raises:
            DataError: if an image is damaged, or all of them are.
        """
        chosen = spread(len(self), count)
        images, _ = decode(self.fetch(chosen), preparation, lambda n: self.place(int(chosen[n])), on_bad_image)
        if not len(images):
            raise DataError("no image could be read", where=self.name, found=f"{len(chosen)} bad ones")
        return images

    def first(self, preparation: Preparation, on_bad_image: str = "stop") -> Dataset:
        """The first image that can be read, as a set of one: what a network can be built for and tried with.

        Raises:
            DataError: if the very first one is damaged, or with ``on_bad_image="skip"`` the first thousand are.
        """
        tried = min(_SEARCH, len(self)) if on_bad_image == "skip" else 1
        for at in range(tried):
            where = [self.place(at)]
            images, good = decode(self.fetch(np.array([at])), preparation, where.__getitem__, on_bad_image)
            if good.all():
                return Dataset(self.name, self.split, images, self.labels[at : at + 1], self.classes, preparation)
        raise DataError(
            "no image could be read",
            where=f"{self.name}, from {self.place(0)} on",
            found=f"{tried:,} damaged ones in a row",
        )


def listing(spec: str, split: str = "train", *, limit: int | None = None) -> Listing:
    """Find a data set without decoding it. Memory: labels, and names of files where they are files.

    Args:
        spec: ``kind:where``, as for :func:`paring.data.load`.
        split: ``train``, ``test`` or ``all``.
        limit: take only so many samples, evenly spaced over the split.

    Raises:
        DataError: if the set is missing, empty, damaged or labeled out of range.
        ArgumentError: if an argument is invalid.
    """
    read, where = _reader(spec)
    _check_arguments(split, limit, "stop", None, ())
    source = read(where, split)
    numbers = _numbers(source, split, limit, spec)
    blocks = None if source.blocks is None else np.searchsorted(source.blocks, numbers, "right") - 1
    return Listing(
        spec, split, source.labels[numbers], source.classes, blocks, source.pixels is not None, source, numbers
    )
