"""From an 8-bit image to what the network sees: the one arithmetic for training, the interpreter and the engine."""

from __future__ import annotations

import math
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from paring.errors import ArgumentError, DataError, ParingError
from paring.image._preparation import Preparation

#: Fractional bits of a resampling weight; with 8-bit pixels, sums stay inside 32 bits.
_WEIGHT_BITS = 22
#: Largest number of pixels of an image that is opened.
MAX_PIXELS = 1 << 28


def prepare(image: np.ndarray, preparation: Preparation) -> np.ndarray:
    """An image as the network's input, in the steps :class:`paring.image.Preparation` lists.

    Args:
        image: uint8, ``(H, W)`` gray, ``(H, W, 1)`` gray, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA (alpha is dropped).
        preparation: what to do.

    Returns:
        float32 ``(preparation.height, preparation.width, preparation.channels)``.

    Raises:
        DataError: if ``image`` is no such array.
    """
    return normalize(pixels(image, preparation), preparation)


def pixels(image: np.ndarray, preparation: Preparation) -> np.ndarray:
    """The image converted, resized and cropped, still uint8 ``(height, width, channels)``; arguments as for
    :func:`prepare`."""
    image = _converted(np.asarray(image), preparation.channels)
    height, width = image.shape[:2]
    target = (preparation.height, preparation.width)
    if not preparation.resize:
        return resize(image, *target)
    short = preparation.resize
    if height <= width:
        image = resize(image, short, max(short, int(short * width / height)))
    else:
        image = resize(image, max(short, int(short * height / width)), short)
    top, left = (round((size - side) / 2) for size, side in zip(image.shape, target, strict=False))
    return np.ascontiguousarray(image[top : top + target[0], left : left + target[1]])


def normalize(image: np.ndarray, preparation: Preparation) -> np.ndarray:
    """``(image / 255 - mean) / std`` per channel, by a table of all 256 values.

    Args:
        image: uint8 with the channels last, any number of axes in front.
        preparation: whose ``mean`` and ``std`` to use.

    Returns:
        float32 of the same shape.
    """
    table = _normal_table(preparation.mean, preparation.std)
    if preparation.channels == 1:
        return table[0][image]
    return np.stack([table[c][image[..., c]] for c in range(preparation.channels)], axis=-1)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear resampling with antialiasing.

    Each output pixel is the mean of the input under a triangle as wide as the reduction (never narrower than one
    pixel to each side), columns first, then rows, rounded to 8 bits after each; weights have 22 fractional bits. That
    is the arithmetic of Pillow's ``BILINEAR`` filter: the same bits along one axis, within one level along both, since
    Pillow's newer releases may take the rows first.

    Args:
        image: uint8 ``(H, W, C)``.
        height: rows wanted.
        width: columns wanted.

    Returns:
        uint8 ``(height, width, C)``.
    """
    if image.shape[1] != width:
        image = _resampled(image, width, axis=1)
    if image.shape[0] != height:
        image = _resampled(image, height, axis=0)
    return np.ascontiguousarray(image)


def picture(source: Any) -> np.ndarray:
    """One picture of any kind as an array.

    Args:
        source: a path; a file's bytes, or a ``BytesIO`` of them; a PIL image; or an array, given back as it is.

    Raises:
        ArgumentError: if it is something else.
        DataError: as :func:`open_image`.
    """
    if isinstance(source, np.ndarray):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        source = BytesIO(source)
    if isinstance(source, str | Path | BytesIO):
        return as_array(open_image(source))
    if hasattr(source, "convert") and hasattr(source, "mode"):
        return as_array(source)
    expected = "a path, bytes, BytesIO, PIL image or NumPy array"
    raise ArgumentError("not an image", found=type(source).__name__, expected=expected)


def open_image(path: str | Path | BytesIO) -> Any:
    """The image in a file, turned upright by its EXIF note, as a PIL image.

    Raises:
        ParingError: if Pillow is not installed.
        DataError: if there is no such file, it is no image, or it is damaged.
    """
    where = "bytes" if isinstance(path, BytesIO) else path
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise ParingError(
            "opening image files needs Pillow",
            where=where,
            fix="Run `pip install 'paring[cli]'`, or pass a uint8 array",
        ) from None
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError("image is too large", where=where, found=image.size, expected=f"{MAX_PIXELS} pixels")
            image.load()
            return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise DataError("image does not exist", where=where) from None
    except IsADirectoryError:
        raise DataError("is a folder, not an image", where=where, fix="Name the images in it") from None
    except UnidentifiedImageError:
        raise DataError("file is not an image", where=where) from None
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise anything on a damaged file, NotImplementedError and more
        raise DataError("image cannot be read", where=where, found=error) from None


def as_array(image: Any) -> np.ndarray:
    """A PIL image as a uint8 array, ``(H, W)`` or ``(H, W, 3)``; deeper samples are scaled down to 8 bits.

    Raises:
        DataError: if the image's mode has no 8-bit equivalent.
    """
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    if image.mode.startswith("I;16") or image.mode == "I":
        return (np.clip(np.asarray(image), 0, 65535).astype(np.uint16) >> 8).astype(np.uint8)
    if image.mode == "F":
        raise DataError("floating-point images have no fixed scale", found="mode F", expected="an 8- or 16-bit image")
    return np.asarray(image.convert("RGB"))


def _converted(image: np.ndarray, channels: int) -> np.ndarray:
    """uint8 ``(H, W, channels)``; gray is the ITU-R 601 luma in 16-bit fixed point, as in Pillow."""
    expected = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
    if image.dtype != np.uint8:
        raise DataError("image has the wrong type", found=image.dtype, expected="uint8")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise DataError("image has the wrong shape", found=image.shape, expected=expected)
    if 0 in image.shape:
        raise DataError("image is empty", found=image.shape)
    if channels == 1 and image.shape[2] > 1:
        red, green, blue = (image[..., c].astype(np.uint32) for c in range(3))
        return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)[..., None]
    if channels == 3 and image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return image[..., :channels]


@lru_cache(maxsize=64)
def _normal_table(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """``(channels, 256)`` float32: the normal value of each 8-bit value."""
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    table = (levels - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]
    table.flags.writeable = False
    return table


def _resampled(image: np.ndarray, size: int, axis: int) -> np.ndarray:
    """One axis of :func:`resize`."""
    first, weights = _triangles(image.shape[axis], size)
    total = np.full((*image.shape[:axis], size, *image.shape[axis + 1 :]), 1 << (_WEIGHT_BITS - 1), np.int32)
    spread = (slice(None), *[None] * (image.ndim - axis - 1))
    for tap in range(weights.shape[1]):
        # Weights are zero past a triangle's end, so any pixel may stand there.
        pixel = np.take(image, np.minimum(first + tap, image.shape[axis] - 1), axis=axis)
        total += pixel.astype(np.int32) * weights[:, tap][spread]
    return np.clip(total >> _WEIGHT_BITS, 0, 255).astype(np.uint8)


@lru_cache(maxsize=16)
def _triangles(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``new`` outputs the first input it reads, ``(new,)``, and its weights, int32 ``(new, taps)``."""
    scale = old / new
    reach = max(scale, 1.0)
    centers = (np.arange(new) + 0.5) * scale
    first = np.maximum((centers - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + reach + 0.5).astype(np.int64), old)
    taps = np.arange(math.ceil(reach) * 2 + 1)
    distance = np.abs(first[:, None] + taps - centers[:, None] + 0.5) * (1.0 / reach)
    weights = np.where(taps < (last - first)[:, None], np.maximum(1.0 - distance, 0.0), 0.0)
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # summed from left to right: the same bits everywhere
    return first, np.floor(weights * (1 << _WEIGHT_BITS) + 0.5).astype(np.int32)
