"""From what users hold in their hands to a data set."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from paring.data._dataset import MAX_BYTES, Dataset, Source, spread, test_rows
from paring.data._given import gathered, is_picture, pictures
from paring.data._load import KINDS, Asked, load, loaded, measure
from paring.errors import ArgumentError, DataError
from paring.image import Preparation
from paring.image._prepare import picture, pixels

#: How far a float may be from a whole level of 8 bits and still be taken for it.
_LEVEL = 0.02


@dataclass(frozen=True)
class Wish:
    """How the user wants pictures prepared; None where nothing was said.

    Attributes:
        preparation: the whole of it; excludes the others.
        mean: per channel, in units of 0..1; also what images that come as floats were normalized with.
        std: likewise.
        size: height and width in pixels, or one number for both.
        white: value that becomes 255 in pictures with samples of more than 8 bits; 0: 65535 of those with 16.
    """

    preparation: Preparation | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | tuple[int, int] | None = None
    white: float = 0.0

    @classmethod
    def of(cls, options: dict[str, Any], own: Preparation | None = None) -> Wish:
        """Take the fields out of ``options``; ``own`` if there are none of them.

        Raises:
            ArgumentError: if a preparation comes with the others, or one of mean and std without the other.
        """
        given = {name: options.pop(name, None) for name in ("preparation", "mean", "std", "size", "white")}
        for name in ("mean", "std"):
            if given[name] is not None:
                given[name] = tuple(float(v) for v in np.atleast_1d(given[name]))
        others = [name for name in ("mean", "std", "size", "white") if given[name] is not None]
        if given["preparation"] is not None and others:
            raise ArgumentError("a preparation already fixes it", where=others[0], fix="Give one or the other")
        if (given["mean"] is None) != (given["std"] is None):
            raise ArgumentError("mean and std belong together", found=others[0], expected="both or neither")
        if all(value is None for value in given.values()):
            return cls(own)
        return cls(**{**given, "white": given["white"] or 0.0})

    @property
    def normal(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """(mean, std) if they are known."""
        if self.preparation is not None:
            return self.preparation.mean, self.preparation.std
        return None if self.mean is None or self.std is None else (self.mean, self.std)

    def asked(self, shape: tuple[int, int, int] | None, channels: int | None = None) -> Asked:
        """For :func:`paring.data.load`; size and channels are those of the network where nothing was said."""
        if self.preparation is not None:
            return {"size": None, "channels": None, "mean": None, "std": None, "white": 0.0}
        size = self.size if self.size is not None or shape is None else shape[:2]
        channels = shape[2] if shape is not None else channels
        return {"size": size, "channels": channels, "mean": self.mean, "std": self.std, "white": self.white}


def dataset(
    x: Any,
    wish: Wish | None = None,
    *,
    labels: bool = True,
    split: str = "train",
    limit: int | None = None,
    classes: tuple[str, ...] = (),
    shape: tuple[int, int, int] | None = None,
    channels: int | None = None,
    on_bad_image: str = "stop",
) -> Dataset:
    """Anything that holds images as a data set.

    Floats were normalized with ``wish``'s mean and std. Where nothing is said, floats in 0..1 are taken for pictures
    divided by 255; of others it is not known how they were made (``told`` is then False). Floats that are whole levels
    of 8 bits become 8 bits again.

    Args:
        x: a data set; ``kind:where``; a folder; one picture or a list of them (paths, bytes, PIL images, arrays); a
            tensor or array of images; a pair (images, labels); or a loader, an iterable of these.
        wish: how pictures are prepared.
        labels: whether labels are needed. A folder must then have a sub-folder for each class.
        split: of ``kind:where`` and folders with labels.
        limit: so many images suffice, evenly spaced over what can be counted, the first ones of a loader.
        classes: names of the classes.
        shape: ``(H, W, C)`` of the network, where it is known.
        channels: 1 or 3, where the shape is not known: pictures become gray, or in color.
        on_bad_image: for pictures: ``stop`` at a damaged one, or ``skip`` it.

    Raises:
        ArgumentError: if it is no images, or labels are needed and there are none.
        DataError: as :func:`paring.data.load`; if there are no images.
    """
    wish = wish or Wish()
    if isinstance(x, Dataset):
        return x if limit is None or limit >= len(x) else _some(x, spread(len(x), limit))
    if isinstance(x, str) and x.partition(":")[0] in KINDS:
        return _named(x, wish, split, limit, shape, channels, on_bad_image)
    if isinstance(x, str | Path) and Path(x).expanduser().is_dir():
        if labels:
            return _named(f"imagefolder:{x}", wish, split, limit, shape, channels, on_bad_image)
        return _of_pictures(pictures(x), f"folder:{x}", wish, limit, shape, channels, on_bad_image)
    if isinstance(x, str | Path) and not Path(x).expanduser().exists():
        raise DataError("no such file or folder", where=x, expected="a folder of pictures, a picture, or kind:where")
    if is_picture(x):
        x = [x]
    if isinstance(x, list | tuple) and x and all(is_picture(one) or _loose(one) for one in x):
        if labels:
            raise ArgumentError("pictures without labels", expected="a pair (images, labels) or a folder of classes")
        return _of_pictures(list(x), "pictures", wish, limit, shape, channels, on_bad_image)
    return _of_arrays(x, wish, labels, limit, classes, shape)


def is_data(x: Any) -> bool:
    """Whether ``x`` names a data set or a folder that is there."""
    return isinstance(x, str | Path) and (str(x).partition(":")[0] in KINDS or Path(x).expanduser().is_dir())


def parted(data: Dataset) -> tuple[Dataset, Dataset]:
    """A set in two: every fifth image of each class, set aside to test on, and the others.

    Raises:
        DataError: if it is too small.
    """
    test = test_rows(data.labels)
    if not test.any():
        raise DataError("data set is too small to set a test part aside", where=data.name, found=f"{len(data)} images")
    return _some(data, np.flatnonzero(~test)), replace(_some(data, np.flatnonzero(test)), split="test")


def _some(data: Dataset, rows: np.ndarray) -> Dataset:
    return replace(data, images=data.images[rows], labels=data.labels[rows])


def _loose(x: Any) -> bool:
    """Whether this is one image as an array, not a batch."""
    return isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim in (2, 3)


def _named(
    spec: str,
    wish: Wish,
    split: str,
    limit: int | None,
    shape: tuple[int, int, int] | None,
    channels: int | None,
    on_bad_image: str,
) -> Dataset:
    asked = wish.asked(shape, channels)
    return load(spec, split, preparation=wish.preparation, limit=limit, on_bad_image=on_bad_image, **asked)


def _of_pictures(
    items: list[Any],
    name: str,
    wish: Wish,
    limit: int | None,
    shape: tuple[int, int, int] | None,
    channels: int | None,
    on_bad_image: str,
) -> Dataset:
    """Pictures of any kind, without labels."""
    files = [_encoded(item) for item in items]

    def place(number: int) -> str:
        return str(items[number]) if isinstance(items[number], str | Path) else f"image {number}"

    source = Source(np.zeros(len(files), np.int64), ("",), place, lambda numbers: [files[int(n)] for n in numbers])
    found = loaded(source, name, "train", limit, wish.preparation, on_bad_image, wish.asked(shape, channels))
    if wish.normal is None:
        _warn(name, found.preparation)
    return replace(found, split="all", classes=())


def _encoded(item: Any) -> bytes | Path | np.ndarray:
    if isinstance(item, BytesIO):
        return item.getvalue()
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    return Path(item).expanduser() if isinstance(item, str | Path) else picture(item)


def _warn(name: str, used: Preparation) -> None:
    warnings.warn(
        f"{name}: how the network wants pictures normalized is not known; mean {used.mean} and std {used.std} are "
        "those of these pictures. Give mean= and std=, or preparation=",
        stacklevel=4,
    )


def _of_arrays(
    x: Any, wish: Wish, labels: bool, limit: int | None, classes: tuple[str, ...], shape: tuple[int, int, int] | None
) -> Dataset:
    images, numbers = gathered(x, limit, shape)
    if limit is not None and len(images) > limit:
        rows = spread(len(images), limit)
        images, numbers = images[rows], None if numbers is None else numbers[rows]
    if images.ndim != 4:
        raise ArgumentError("not images", found=f"shape {images.shape}", expected="(N, C, H, W) or (N, H, W, C)")
    if images.dtype not in (np.uint8, np.float32):
        raise ArgumentError("images have the wrong type", found=images.dtype, expected="float32 (prepared) or uint8")
    if images.nbytes > 4 * MAX_BYTES:
        raise DataError("images do not fit in memory", found=f"{images.nbytes / 2**30:.1f} GiB", expected="fewer")
    if labels and numbers is None:
        raise ArgumentError("images without labels", expected="(images, labels), or a loader of such pairs")
    if numbers is None:
        numbers = np.zeros(len(images), np.int64)
    elif not classes:
        classes = tuple(str(number) for number in range(int(numbers.max()) + 1))
    if labels and not 0 <= numbers.min() <= numbers.max() < len(classes):
        raise DataError(
            "label is out of range", found=f"{numbers.min()} .. {numbers.max()}", expected=f"0 .. {len(classes) - 1}"
        )
    images, preparation, told = _prepared(images, wish)
    return Dataset("arrays", "all", images, numbers, classes, preparation, told=told)


def _prepared(images: np.ndarray, wish: Wish) -> tuple[np.ndarray, Preparation, bool]:
    """Pixels, how they become the network's input, and whether that is known."""
    height, width, channels = images.shape[1:]
    if images.dtype == np.uint8:
        plain = wish.preparation or Preparation(height, width, channels, (0.0,) * channels, (1.0,) * channels)
        if plain.shape != images.shape[1:]:
            images = np.stack([pixels(image, plain) for image in images])
        if wish.preparation is not None:
            return images, plain, True
        mean, std = wish.normal or measure(images)
        plain = replace(plain, mean=_each(mean, channels), std=_each(std, channels))
        if wish.normal is None:
            _warn("images", plain)
        return images, plain, True
    if not np.isfinite(images).all():
        raise DataError("an image holds what is not a finite number")
    if channels not in (1, 3):
        raise ArgumentError("images have an impossible number of channels", found=channels, expected="1 or 3")
    told = wish.normal is not None or (images.min() >= 0 and images.max() <= 1)
    mean, std = wish.normal or ((0.0,) * channels, (1.0,) * channels)
    plain = wish.preparation or Preparation(height, width, channels, _each(mean, channels), _each(std, channels))
    if plain.shape != images.shape[1:]:
        raise ArgumentError("images do not fit the preparation", found=images.shape[1:], expected=plain.shape)
    if not told:
        return images, plain, False
    levels = (images * np.array(plain.std, np.float32) + np.array(plain.mean, np.float32)) * 255
    whole = np.rint(levels)
    if np.abs(levels - whole).max() <= _LEVEL and whole.min() >= 0 and whole.max() <= 255:
        return whole.astype(np.uint8), plain, True
    return levels / np.float32(255), plain, True


def _each(numbers: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return numbers * channels if len(numbers) == 1 else numbers
