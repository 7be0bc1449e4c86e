"""From ``kind:where`` to a data set in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from math import prod
from typing import TypedDict

import numpy as np

from paring.data._dataset import MAX_BYTES, Dataset, MissingSplit, Source, spread, test_rows
from paring.data._decode import CROP, decode, sizes
from paring.data._hub import read_hub
from paring.data._imagefolder import read_imagefolder
from paring.data._mnist import read_mnist, read_mnist5k
from paring.data._parquet import read_parquet
from paring.errors import ArgumentError, DataError
from paring.image import Preparation
from paring.image._prepare import pixels

#: Every kind of data set: ``(where, split) -> Source``.
KINDS: dict[str, Callable[[str, str], Source]] = {
    "mnist5k": read_mnist5k,
    "mnist": read_mnist,
    "imagefolder": read_imagefolder,
    "parquet": read_parquet,
    "hub": read_hub,
}
_SPLITS = ("train", "test", "all")


class Asked(TypedDict):
    """How the user wants images prepared; see :func:`load`."""

    size: int | tuple[int, int] | None
    channels: int | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    white: float


def load(
    spec: str,
    split: str = "train",
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    white: float = 0.0,
    limit: int | None = None,
    preparation: Preparation | None = None,
    on_bad_image: str = "stop",
) -> Dataset:
    """Read a data set into memory.

    What is not given is found: the size is that of the images if they all have one, else 224 pixels (a shorter side
    of 256 and a center crop); channels are the images' own; mean and std per channel are measured on the training
    split (on the split itself where there is no training split) and rounded to four decimals.

    Args:
        spec: ``mnist5k``, ``mnist:FOLDER``, ``imagefolder:FOLDER``, ``parquet:GLOB`` or ``hub:NAME``.
        split: ``train``, ``test`` or ``all``. A source without a test part of its own holds out every fifth sample of
            each class.
        size: height and width in pixels, or one number for both.
        channels: 1 (gray) or 3 (RGB).
        mean: per channel, in units of 0..1.
        std: per channel, in units of 0..1.
        white: value that is white in images of more than 8 bits; 0: 65535 of 16-bit ones.
        limit: take only so many samples, evenly spaced over the split.
        preparation: use exactly this one (a network's own); excludes size, channels, mean and std.
        on_bad_image: ``stop`` or ``skip`` (named in :attr:`Dataset.bad`).

    Raises:
        DataError: if the set is missing, empty, damaged, too large for memory or labeled out of range.
        ArgumentError: if an argument is invalid.
    """
    read, where = _reader(spec)
    _check_arguments(split, limit, on_bad_image, preparation, (size, channels, mean, std))
    asked: Asked = {"size": size, "channels": channels, "mean": mean, "std": std, "white": white}
    return loaded(read(where, split), spec, split, limit, preparation, on_bad_image, asked)


def test_part(spec: str) -> str:
    """The split of a set that the user names to test on: its test part, or all of it where it has no parts."""
    read, where = _reader(spec)
    return "all" if read(where, "test").whole else "test"


def loaded(
    source: Source,
    spec: str,
    split: str,
    limit: int | None,
    preparation: Preparation | None,
    on_bad_image: str,
    asked: Asked,
) -> Dataset:
    """A source read into memory; arguments and errors as of :func:`load`."""
    size, channels, mean, std, white = asked["size"], asked["channels"], asked["mean"], asked["std"], asked["white"]
    numbers = _numbers(source, split, limit, spec)
    if preparation is None:
        shape, resize = _target(source, numbers, size, channels, on_bad_image)
        plain = Preparation(*shape, (0.0,) * shape[2], (1.0,) * shape[2], resize, white)
        images, good = _images(source, numbers, plain, spec, on_bad_image)
        mean, std = _statistics(spec, split, plain, limit, images, on_bad_image, mean, std)
        mean, std = (part * shape[2] if len(part) == 1 else part for part in (mean, std))  # one number for all channels
        preparation = Preparation(*shape, mean, std, resize, white)
    else:
        images, good = _images(source, numbers, preparation, spec, on_bad_image)
    if not len(images):
        raise DataError("no image could be read", where=spec, found=f"{len(good)} bad ones")
    bad = tuple(source.place(int(number)) for number in numbers[~good])
    return Dataset(spec, split, images, source.labels[numbers][good], source.classes, preparation, len(bad), bad)


def _reader(spec: str) -> tuple[Callable[[str, str], Source], str]:
    kind, colon, where = spec.partition(":")
    if kind not in KINDS:
        near = get_close_matches(kind, KINDS, 2) or list(KINDS)
        raise DataError(
            "unknown kind of data set",
            found=repr(kind),
            expected=" or ".join(near),
            fix="Write kind:where, for example mnist:FOLDER or imagefolder:FOLDER",
        )
    if kind != "mnist5k" and not where:
        raise DataError(f"{kind} lacks a place", found=repr(spec), expected=f"{kind}:WHERE")
    return KINDS[kind], where if colon else ""


def _check_arguments(
    split: str, limit: int | None, on_bad_image: str, preparation: Preparation | None, others: tuple[object, ...]
) -> None:
    if split not in _SPLITS:
        raise ArgumentError("unknown split", found=repr(split), expected=" or ".join(_SPLITS))
    if limit is not None and limit < 1:
        raise ArgumentError("limit must be at least 1", found=limit)
    if on_bad_image not in ("stop", "skip"):
        raise ArgumentError("invalid on_bad_image", found=repr(on_bad_image), expected="stop or skip")
    if preparation is not None and any(value is not None for value in others):
        raise ArgumentError("a preparation already fixes size, channels, mean and std", fix="Give one or the other")


def _numbers(source: Source, split: str, limit: int | None, spec: str) -> np.ndarray:
    """The samples wanted, after the labels were checked."""
    labels, count = source.labels, len(source.classes)
    if not len(labels):
        raise DataError("data set is empty", where=spec)
    if len(bad := np.flatnonzero((labels < 0) | (labels >= count))):
        raise DataError(
            "label is out of range",
            where=source.place(int(bad[0])),
            found=int(labels[bad[0]]),
            expected=f"0 .. {count - 1}",
        )
    numbers = np.arange(len(labels))
    if source.whole and split != "all":
        test = test_rows(labels)
        numbers = np.flatnonzero(test if split == "test" else ~test)
        if not len(numbers):
            raise DataError(f"data set is too small to have a {split} part", where=spec, found=f"{len(labels)} samples")
    return numbers[spread(len(numbers), limit)]


def _target(
    source: Source, numbers: np.ndarray, size: int | tuple[int, int] | None, channels: int | None, on_bad_image: str
) -> tuple[tuple[int, int, int], int]:
    """(height, width, channels) and the shorter side before the crop (0: none)."""
    if source.pixels is not None:
        found = {source.pixels.shape[1:]}
    else:
        found = sizes(source.fetch(numbers), lambda number: source.place(int(numbers[number])), on_bad_image)
    if not found:
        raise DataError("no image could be read", where=source.place(int(numbers[0])))
    if channels is None:
        channels = max(shape[2] for shape in found)
    plain = {shape[:2] for shape in found}
    if size is None:
        height, width = next(iter(plain)) if len(plain) == 1 else (224, 224)
    else:
        height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ArgumentError("size must be at least 1 pixel", found=(height, width))
    one_shape = len(plain) == 1 and all(h * width == w * height for h, w in plain)
    return (height, width, channels), 0 if one_shape else round(max(height, width) / CROP)


def _images(
    source: Source, numbers: np.ndarray, preparation: Preparation, spec: str, on_bad_image: str
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of these samples, and which could be read."""
    need = len(numbers) * prod(preparation.shape)
    if need > MAX_BYTES:
        fewer = "Take fewer images (--limit) or smaller ones (--size)"
        raise DataError(
            "data set does not fit in memory",
            where=spec,
            found=f"{need / 2**30:.1f} GiB",
            expected=f"up to {MAX_BYTES / 2**30:g} GiB",
            fix=fewer
            if source.pixels is not None
            else f"{fewer}; training reads all as they are needed with --workers N",
        )
    if source.pixels is None:
        return decode(
            source.fetch(numbers), preparation, lambda number: source.place(int(numbers[number])), on_bad_image
        )
    images = source.pixels[numbers]
    if images.shape[1:] != preparation.shape:
        images = np.stack([pixels(image, preparation) for image in images])
    return images, np.ones(len(numbers), bool)


def _statistics(
    spec: str,
    split: str,
    plain: Preparation,
    limit: int | None,
    images: np.ndarray,
    on_bad_image: str,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std per channel, measured where not given."""
    if mean is not None and std is not None:
        return mean, std
    if split != "train":
        with suppress(MissingSplit):
            images = load(spec, "train", limit=limit, preparation=plain, on_bad_image=on_bad_image).images
    measured_mean, measured_std = measure(images)
    return mean or measured_mean, std or measured_std


def measure(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel in units of 0..1, rounded to four decimals.

    Exact, from a histogram of the 256 values. A channel that hardly varies (std below 0.001) gets 1.

    Args:
        images: uint8 ``(N, H, W, C)``.
    """
    means, deviations = [], []
    for channel in range(images.shape[3]):
        counts = np.zeros(256)
        for image in images:  # one at a time: counting widens every pixel to 8 bytes
            counts += np.bincount(image[..., channel].ravel(), minlength=256)
        levels = np.arange(256) / 255
        average = counts @ levels / counts.sum()
        deviation = float(np.sqrt(max(0.0, counts @ (levels - average) ** 2 / counts.sum())))
        means.append(round(float(average), 4))
        deviations.append(round(deviation, 4) if deviation >= 1e-3 else 1.0)
    return tuple(means), tuple(deviations)
