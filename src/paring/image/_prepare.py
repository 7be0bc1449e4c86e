"""From an 8-bit image to what the network sees: the one arithmetic for training, the interpreter and the engine."""

from __future__ import annotations

import math
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from paring.errors import ArgumentError, DataError, ParingError
from paring.image._preparation import Preparation

#: Fractional bits of a resampling weight; with 8-bit pixels, sums stay inside 32 bits.
_WEIGHT_BITS = 22
#: Largest number of pixels of an image that is opened.
MAX_PIXELS = 1 << 28
#: Input pixels that one output pixel may be made of along an axis before means of blocks are taken first.
_MOST_TAPS = 512
#: Pixels between the two passes of a resizing from which the cheaper order of the passes is taken.
_MOST_BETWEEN = 1 << 22


class Span(NamedTuple):
    """Part of an axis that is scaled.

    Attributes:
        old: pixels of the whole axis before.
        new: pixels of the whole axis after.
        start: first pixel wanted of those after.
        stop: behind the last one.
        offset: how many of the pixels before were cut off in front already.
    """

    old: int
    new: int
    start: int
    stop: int
    offset: int = 0

    def reads(self, size: int) -> slice:
        """Pixels before that the wanted ones are made of."""
        if self.old == self.new:
            return slice(self.start, self.stop)
        if self.old >= 2 * self.new * _MOST_TAPS:  # blocks of pixels begin at the edge
            return slice(0, size)
        reach = max(self.old / self.new, 1.0)
        first = int((self.start + 0.5) * self.old / self.new - reach) - 1
        last = int((self.stop - 0.5) * self.old / self.new + reach) + 2
        return slice(max(first, 0), min(last, size))

    def behind(self, offset: int) -> Span:
        """The same where the first ``offset`` pixels were cut off."""
        return self._replace(offset=offset)


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
    :func:`prepare`. Only what the crop shows is computed, so that a thin picture costs no more than a square one."""
    image = np.asarray(image)
    _check(image)
    rows, columns = _spans(image.shape[0], image.shape[1], preparation)
    above, beside = rows.reads(image.shape[0]), columns.reads(image.shape[1])
    image = _converted(image[above, beside], preparation.channels)
    image = _scaled(image, rows.behind(above.start), columns.behind(beside.start))
    return image if image.shape[2] == preparation.channels else np.repeat(image, preparation.channels, axis=2)


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
    Pillow's newer releases may take the rows first. Thin pictures, whose columns would need much memory, take the rows
    first; where one pixel stands for more than 512, means of blocks come before.

    Args:
        image: uint8 ``(H, W, C)``.
        height: rows wanted.
        width: columns wanted.

    Returns:
        uint8 ``(height, width, C)``.
    """
    rows, columns = Span(image.shape[0], height, 0, height), Span(image.shape[1], width, 0, width)
    return _scaled(image, rows, columns)


def picture(source: Any, white: float = 0.0) -> np.ndarray:
    """One picture of any kind as an array.

    Args:
        source: a path; a file's bytes, or a ``BytesIO`` of them; a PIL image; or an array, given back as it is.
        white: see :func:`as_array`.

    Raises:
        ArgumentError: if it is something else.
        DataError: as :func:`open_image`.
    """
    if isinstance(source, np.ndarray):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        source = BytesIO(source)
    if isinstance(source, str | Path | BytesIO):
        return as_array(open_image(source), white)
    if hasattr(source, "convert") and hasattr(source, "mode"):
        return as_array(source, white)
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


def as_array(image: Any, white: float = 0.0) -> np.ndarray:
    """A PIL image as a uint8 array, ``(H, W)`` or ``(H, W, 3)``.

    Args:
        image: of any mode of Pillow's.
        white: value that becomes 255 where samples have more than 8 bits; 0: 65535 of 16-bit ones.

    Raises:
        DataError: if the samples are deep and nothing says which value is white: 32-bit integers, floating-point
            numbers, and 16-bit samples of which none needs more than 12 bits.
    """
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    if image.mode.startswith("I") or image.mode == "F":
        return to_8_bits(np.asarray(image), white, short=image.mode.startswith("I;16") or image.format == "PNG")
    return np.asarray(image.convert("RGB"))


def to_8_bits(samples: np.ndarray, white: float, short: bool = False) -> np.ndarray:
    """Deep samples as 8-bit ones: ``samples / white * 255``, rounded to the nearest and cut off at 0 and 255; without a
    white level the upper 8 bits of 16.

    Args:
        samples: any real numbers.
        white: value that becomes 255; 0 where it is not known.
        short: the samples are 16-bit integers.

    Raises:
        DataError: if ``white`` is 0 and the samples do not say what it is.
    """
    highest = samples.max(initial=0)
    if not white and not (short and highest >= 1 << 12):
        kind = "12 bits or less in 16" if short else str(samples.dtype)
        raise DataError(
            "nothing says which value of the image is white",
            found=f"{kind}, up to {highest:g}",
            fix="Give its value: --white 4095, white=1.0, Preparation(white=...); or save the images with 8 bits",
        )
    if not white:
        return (samples.astype(np.uint16) >> 8).astype(np.uint8)
    return np.rint(np.clip(np.nan_to_num(samples.astype(np.float64)) * (255 / white), 0, 255)).astype(np.uint8)


def _check(image: np.ndarray) -> None:
    """Raises: DataError: if this is no image of 8 bits."""
    if image.dtype != np.uint8:
        raise DataError("image has the wrong type", found=image.dtype, expected="uint8")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        expected = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
        raise DataError("image has the wrong shape", found=image.shape, expected=expected)
    if 0 in image.shape:
        raise DataError("image is empty", found=image.shape)


def _spans(height: int, width: int, preparation: Preparation) -> tuple[Span, Span]:
    """Rows and columns: what they are scaled to, and which of them are in the crop."""
    short = preparation.resize
    if not short:
        tall, wide = preparation.height, preparation.width
    elif height <= width:
        tall, wide = short, max(short, int(short * width / height))
    else:
        tall, wide = max(short, int(short * height / width)), short
    top, left = round((tall - preparation.height) / 2), round((wide - preparation.width) / 2)
    return (
        Span(height, tall, top, top + preparation.height),
        Span(width, wide, left, left + preparation.width),
    )


def _converted(image: np.ndarray, channels: int) -> np.ndarray:
    """uint8 ``(H, W, channels)``, or ``(H, W, 1)`` of a gray image; gray is the ITU-R 601 luma in 16-bit fixed point,
    as in Pillow."""
    if image.ndim == 2:
        image = image[..., None]
    if channels == 1 and image.shape[2] > 1:
        red, green, blue = (image[..., c].astype(np.uint32) for c in range(3))
        return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)[..., None]
    return image[..., :channels]


@lru_cache(maxsize=64)
def _normal_table(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """``(channels, 256)`` float32: the normal value of each 8-bit value."""
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    table = (levels - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]
    table.flags.writeable = False
    return table


def _scaled(image: np.ndarray, rows: Span, columns: Span) -> np.ndarray:
    """Both axes of :func:`resize`."""
    height, width = rows.stop - rows.start, columns.stop - columns.start
    between, other = image.shape[0] * width, height * image.shape[1]
    order = ((rows, 0), (columns, 1)) if _MOST_BETWEEN < between > other else ((columns, 1), (rows, 0))
    for span, axis in order:
        image = _resampled(image, span, axis)
    return np.ascontiguousarray(image)


def _resampled(image: np.ndarray, span: Span, axis: int) -> np.ndarray:
    """One axis of :func:`resize`."""
    if span.old == span.new:
        start = span.start - span.offset
        return image[(slice(None),) * axis + (slice(start, start + span.stop - span.start),)]
    block = span.old // (span.new * _MOST_TAPS)
    if block >= 2:
        image, span = _block_means(image, axis, block), span._replace(old=-(-span.old // block), offset=0)
    first, weights = _triangles(span.old, span.new, span.start, span.stop)
    size = span.stop - span.start
    total = np.full((*image.shape[:axis], size, *image.shape[axis + 1 :]), 1 << (_WEIGHT_BITS - 1), np.int32)
    spread = (slice(None), *[None] * (image.ndim - axis - 1))
    for tap in range(weights.shape[1]):
        # Weights are zero past a triangle's end, so any pixel may stand there.
        pixel = np.take(image, np.minimum(first - span.offset + tap, image.shape[axis] - 1), axis=axis)
        total += pixel.astype(np.int32) * weights[:, tap][spread]
    return np.clip(total >> _WEIGHT_BITS, 0, 255).astype(np.uint8)


def _block_means(image: np.ndarray, axis: int, block: int) -> np.ndarray:
    """Means of so many neighbors along an axis, rounded; the last block may be smaller."""
    starts = np.arange(0, image.shape[axis], block)
    sums = np.add.reduceat(image, starts, axis=axis, dtype=np.uint32)
    counts = np.diff(np.append(starts, image.shape[axis])).astype(np.uint32)
    counts = counts.reshape([-1 if place == axis else 1 for place in range(image.ndim)])
    return ((sums + counts // 2) // counts).astype(np.uint8)


@lru_cache(maxsize=16)
def _triangles(old: int, new: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of the outputs ``start .. stop - 1`` of ``new`` the first input it reads, ``(n,)``, and its weights,
    int32 ``(n, taps)``."""
    scale = old / new
    reach = max(scale, 1.0)
    centers = (np.arange(start, stop) + 0.5) * scale
    first = np.maximum((centers - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + reach + 0.5).astype(np.int64), old)
    taps = np.arange(math.ceil(reach) * 2 + 1)
    distance = np.abs(first[:, None] + taps - centers[:, None] + 0.5) * (1.0 / reach)
    weights = np.where(taps < (last - first)[:, None], np.maximum(1.0 - distance, 0.0), 0.0)
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # summed from left to right: the same bits everywhere
    return first, np.floor(weights * (1 << _WEIGHT_BITS) + 0.5).astype(np.int32)
