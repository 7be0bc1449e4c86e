"""A data set in memory, and the promise of one that is not there yet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from paring.errors import DataError
from paring.image import Preparation, normalize

#: Most bytes of pixels a data set may take in memory.
MAX_BYTES = 8 << 30
#: One sample in so many of each class is held out where a source has no test part of its own.
HELD_OUT = 5


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a data set, images already scaled and cropped.

    Attributes:
        name: as the user wrote it, ``kind:where``.
        split: ``train``, ``test`` or ``all``.
        images: uint8 ``(N, H, W, C)``; or float32, what is left of the preparation being ``(image - mean) / std``.
        labels: int64 ``(N,)``, indices into ``classes``.
        classes: class names.
        preparation: how further images become the network's input; its mean and std also serve :meth:`prepared`.
        skipped: images left out because they could not be read; only with ``on_bad_image="skip"``.
        bad: where each of these is.
        told: False if the images came as numbers of which nobody said how they were made from pictures; the
            preparation then gives their shape and nothing more.
    """

    name: str
    split: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    preparation: Preparation
    skipped: int = 0
    bad: tuple[str, ...] = ()
    told: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def known_preparation(self) -> Preparation | None:
        """The preparation for a file; None if pictures could not be prepared by it."""
        return self.preparation if self.told else None

    def prepared(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Images ``start .. stop - 1`` as the network sees them.

        Returns:
            float32 ``(stop - start, H, W, C)``, by the runtime's own arithmetic.
        """
        images = self.images[start:stop]
        if images.dtype == np.uint8:
            return normalize(images, self.preparation)
        mean, std = (np.array(numbers, np.float32) for numbers in (self.preparation.mean, self.preparation.std))
        return (images - mean) / std

    def batches(self, size: int = 256) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All samples in order as (prepared images, labels), ``size`` at a time; the last batch may be shorter."""
        for start in range(0, len(self), size):
            yield self.prepared(start, start + size), self.labels[start : start + size]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of pixels, labels and class names, in hexadecimal: tells whether two runs saw the same data."""
        state = hashlib.sha256(repr((self.images.shape, self.classes)).encode())
        state.update(np.ascontiguousarray(self.images).data)
        state.update(np.ascontiguousarray(self.labels, "<i8").data)
        return state.hexdigest()

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        return f"Dataset({self.name} {self.split}: {len(self)} images {shape}, {len(self.classes)} classes)"


class MissingSplit(DataError):
    """The source is sound but has no such split."""


@dataclass(frozen=True, eq=False)
class Source:
    """One split of a data set that is found but not decoded.

    Attributes:
        labels: int64 ``(N,)``, not checked yet.
        classes: class names.
        fetch: sample numbers, ascending, to as many images: bytes of an image file, its path, or an array.
        place: sample number to words for an error (``train.parquet, row 7``).
        pixels: uint8 ``(N, H, W, C)`` where the source holds plain pixels; ``fetch`` is then not used.
        whole: True if the source has no test part of its own, so that one must be held out.
        blocks: int64 ``(B,)``, the first sample of each stretch that is stored together and cheapest to read as one
            (a row group of a Parquet file); ``None`` where any order costs the same.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    place: Callable[[int], str]
    fetch: Callable[[np.ndarray], Sequence[bytes | Path | np.ndarray]] = field(default=lambda numbers: [])
    pixels: np.ndarray | None = None
    whole: bool = False
    blocks: np.ndarray | None = None


def held_out(labels: np.ndarray) -> np.ndarray:
    """Which samples a data set without a test part of its own sets aside: of each class, counted in the set's order,
    every fifth (the 5th, 10th, ...). No random numbers, so the split is the same everywhere and for ever.

    Args:
        labels: integers ``(N,)``.

    Returns:
        bool ``(N,)``, True for test samples.
    """
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.searchsorted(ordered, ordered)  # first place of each sample's class
    mask = np.zeros(len(labels), bool)
    mask[order] = (np.arange(len(labels)) - starts) % HELD_OUT == HELD_OUT - 1
    return mask


def test_rows(labels: np.ndarray) -> np.ndarray:
    """As :func:`held_out`; where no class has five samples, every fifth of all."""
    mask = held_out(labels)
    if not mask.any():
        mask[HELD_OUT - 1 :: HELD_OUT] = True
    return mask


def spread(count: int, limit: int | None) -> np.ndarray:
    """Sample numbers when only ``limit`` of ``count`` are wanted: evenly spaced, so that sorted sets stay balanced."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.arange(limit) * count // limit
