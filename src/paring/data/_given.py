"""What users hold in their hands as arrays: tensors, arrays, pictures, folders, loaders of batches. Knows no torch.

A tensor is whatever has ``detach`` and ``numpy``; a loader is whatever can be iterated over. Tensors have their
channels first, as torch has them; arrays may have them first or last.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from paring.data._imagefolder import SUFFIXES
from paring.errors import ArgumentError, DataError

#: What is said where something is no image, tensor, folder or loader.
EXPECTED = "tensors, arrays, pictures, a folder, kind:where or a DataLoader"
#: Keys under which batches that are mappings keep their images and labels.
_IMAGE_KEYS = ("image", "images", "img", "pixel_values", "x")
_LABEL_KEYS = ("label", "labels", "target", "y", "fine_label")
_CHANNELS = (1, 3)


def is_tensor(x: Any) -> bool:
    """Whether this is a tensor of torch or behaves like one."""
    return hasattr(x, "detach") and hasattr(x, "numpy")


def is_picture(x: Any) -> bool:
    """Whether this is one picture: a path of a file, the bytes of one, or a PIL image."""
    if isinstance(x, str | Path):
        return not Path(x).expanduser().is_dir()
    return isinstance(x, bytes | bytearray | memoryview | BytesIO) or (hasattr(x, "convert") and hasattr(x, "mode"))


def array(x: Any) -> np.ndarray:
    """A tensor, array or list of numbers as an array; half and double precision become float32."""
    found = x.detach().cpu() if is_tensor(x) else x
    if is_tensor(found) and "bfloat16" in str(found.dtype):
        found = found.float()
    found = np.asarray(found)
    return found.astype(np.float32) if found.dtype.kind == "f" else found


def channels_last(x: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A batch of images as ``(N, H, W, C)``, of vectors as ``(N, F)``.

    Args:
        x: a tensor ``(N, C, H, W)``, or an array with the channels first or last (last, where it could be either and
            holds 8-bit numbers; first, where it holds floats, as torch has them). An axis for the channel may be
            missing from 8-bit images that are gray.
        shape: ``(H, W, C)`` of the network, where it is known; it then decides.

    Raises:
        ArgumentError: on another number of axes.
    """
    images = array(x)
    if images.ndim == 2 or (shape is not None and len(shape) == 1):
        return images
    if images.ndim == 3 and images.dtype == np.uint8:
        return images[..., None]
    if images.ndim == 3 and is_tensor(x):  # (N, C, L) is a map of height 1
        return images.transpose(0, 2, 1)[:, None]
    if images.ndim != 4:
        raise ArgumentError(
            "not a batch of images", found=f"shape {images.shape}", expected="(N, C, H, W), (N, H, W, C) or (N, F)"
        )
    first, last = images.shape[1] in _CHANNELS, images.shape[3] in (*_CHANNELS, 4)
    if is_tensor(x):
        last = False
    elif shape is not None:
        turned = (*images.shape[2:], images.shape[1])
        last = images.shape[1:] == shape or (turned != shape and last)
    elif first and last:
        last = images.dtype == np.uint8
    return images if last else np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def pictures(folder: str | Path) -> list[Path]:
    """Every picture below a folder, by path; labels, if sub-folders stand for them, are not looked at.

    Raises:
        DataError: if the folder does not exist or holds none.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError("folder does not exist", where=folder)
    found = [Path(at) / name for at, _, names in os.walk(folder) for name in names]
    found = sorted(path for path in found if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError("folder has no pictures", where=folder, expected=", ".join(sorted(SUFFIXES)))
    return found


def pair(x: Any) -> tuple[Any, Any] | None:
    """(images, labels) if that is what ``x`` is, else None."""
    if not isinstance(x, tuple | list) or len(x) != 2 or any(is_picture(part) for part in x):
        return None
    images, labels = x
    whole = hasattr(images, "shape") or isinstance(images, list | tuple)
    counted = getattr(labels, "ndim", 0) == 1 or (isinstance(labels, list | tuple) and not _nested(labels))
    if not whole or not counted:
        return None
    numbers = array(labels)
    return (images, labels) if numbers.dtype.kind in "iu" and len(numbers) == len(images) else None


def _nested(x: Any) -> bool:
    return any(hasattr(one, "__len__") for one in x)


def batch_of(item: Any) -> tuple[Any, Any]:
    """Images and labels (None if there are none) of what a loader gave."""
    if isinstance(item, Mapping):
        images = next((item[key] for key in _IMAGE_KEYS if key in item), None)
        if images is None:
            raise ArgumentError("batch has no images", found=", ".join(map(str, item)), expected=_IMAGE_KEYS[0])
        return images, next((item[key] for key in _LABEL_KEYS if key in item), None)
    if isinstance(item, tuple | list) and item and hasattr(item[0], "shape"):
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def batches(x: Any, shape: tuple[int, ...] | None = None) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Whatever holds arrays or tensors, a batch at a time: images as :func:`channels_last`, labels int64 ``(N,)``.

    Args:
        x: a tensor or array of images, a pair (images, labels), or a loader: an iterable of such, or of mappings.
        shape: as for :func:`channels_last`.

    Raises:
        ArgumentError: if it is none of these.
    """
    if hasattr(x, "shape"):
        yield channels_last(x, shape), None
        return
    both = pair(x)
    if both is None and not isinstance(x, Iterable):
        raise ArgumentError("not an image or images", found=type(x).__name__, expected=EXPECTED)
    for item in [both] if both is not None else x:
        images, labels = batch_of(item)
        if not hasattr(images, "shape") and not isinstance(images, Sequence):
            raise ArgumentError("batch is no images", found=type(images).__name__, expected="a tensor or an array")
        turned = channels_last(images, shape)
        if labels is not None:
            labels = array(labels)
            if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(turned):
                found = f"{labels.dtype} of shape {labels.shape} for {len(turned)} images"
                raise ArgumentError("labels do not fit the images", found=found, expected="an integer for each image")
            labels = labels.astype(np.int64)
        yield turned, labels


def gathered(x: Any, limit: int | None = None, shape: tuple[int, ...] | None = None) -> tuple[np.ndarray, Any]:
    """All images of :func:`batches`, or about the first ``limit``, in one array, and their labels (None if there are
    none).

    Raises:
        ArgumentError: as :func:`batches`; if images differ in shape.
        DataError: if there are none.
    """
    parts: list[tuple[np.ndarray, np.ndarray | None]] = []
    count = 0
    for images, labels in batches(x, shape):
        parts.append((images, labels))
        count += len(images)
        if limit is not None and count >= limit:
            break
    if not count:
        raise DataError("there are no images")
    shapes = {images.shape[1:] for images, _ in parts}
    if len(shapes) > 1:
        raise ArgumentError("images differ in shape", found=" and ".join(map(str, islice(sorted(shapes), 3))))
    labeled = [labels for _, labels in parts if labels is not None]
    whole = np.concatenate([images for images, _ in parts])
    return whole, np.concatenate(labeled) if len(labeled) == len(parts) else None
