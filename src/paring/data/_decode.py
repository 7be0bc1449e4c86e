"""Encoded images to one uint8 array, several at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np

from paring.errors import DataError, ParingError
from paring.image import Preparation
from paring.image._prepare import picture, pixels

#: An image file's bytes or path; or an image as it is, uint8 ``(H, W)`` or ``(H, W, C)``.
Encoded = bytes | Path | np.ndarray
#: Side of the crop over the shorter side before it: 224 of 256, the ImageNet custom.
CROP = 0.875


def sizes(items: Sequence[Encoded], place: Callable[[int], str], on_bad_image: str) -> set[tuple[int, int, int]]:
    """Every (height, width, channels) among encoded images, from their headers alone; channels are 1 or 3."""
    images = _pillow()
    found: set[tuple[int, int, int]] = set()
    for number, item in enumerate(items):
        if isinstance(item, np.ndarray):
            found.add((*item.shape[:2], 3 if item.ndim == 3 and item.shape[2] > 1 else 1))  # type: ignore[arg-type]
            continue
        try:
            with images.open(_file(item)) as image:
                gray = image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")
                found.add((image.height, image.width, 1 if gray else 3))
        except Exception as error:  # Pillow's decoders raise anything on a damaged file
            if on_bad_image == "stop":
                raise _bad(place(number), error) from None
    return found


def decode(
    items: Sequence[Encoded], preparation: Preparation, place: Callable[[int], str], on_bad_image: str
) -> tuple[np.ndarray, np.ndarray]:
    """Decode, scale and crop.

    Args:
        items: image files, as bytes or paths, or arrays.
        preparation: gives channels, resize, height and width.
        place: position in ``items`` to words for an error.
        on_bad_image: ``stop`` raises on the first damaged image; ``skip`` leaves it out.

    Returns:
        images: uint8 ``(n, height, width, channels)``, those that could be read.
        good: bool ``(len(items),)``, which ones those are.

    Raises:
        DataError: naming the image.
    """
    _pillow()
    out = np.empty((len(items), *preparation.shape), np.uint8)
    good = np.ones(len(items), bool)

    def one(number: int) -> None:
        try:
            out[number] = pixels(picture(items[number], preparation.white), preparation)
        except (DataError, MemoryError) as error:
            if on_bad_image == "stop":
                raise _bad(place(number), error) from None
            good[number] = False

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes outside the interpreter's lock
        try:
            for _ in pool.map(one, range(len(items))):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return (out if good.all() else out[good]), good


def _bad(where: str, error: BaseException) -> DataError:
    if isinstance(error, DataError):
        found: object = error.found if error.what == "image cannot be read" else error
    else:
        found = error if str(error) else type(error).__name__
    return DataError(
        "image cannot be read",
        where=where,
        found=str(found).splitlines()[0],
        fix="Replace it, or leave such images out with on_bad_image='skip' (--on-bad-image skip)",
    )


def _file(item: bytes | Path) -> BytesIO | Path:
    return BytesIO(item) if isinstance(item, bytes) else item


def _pillow():  # type: ignore[no-untyped-def]
    try:
        from PIL import Image
    except ImportError:
        raise ParingError("images need Pillow", fix="Install it with: pip install 'paring[data]'") from None
    return Image
