"""What a decoding process does: encoded images to 8-bit ones, straight into memory it shares with the trainer.

Nothing here is random: which box to cut out of an image comes with the task.
"""

from __future__ import annotations

import signal
import struct
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from paring.errors import DataError, ParingError
from paring.image import Preparation
from paring.image._prepare import MAX_PIXELS, as_array, open_image, pixels
from paring.training.augment._transforms import Cut


class Task(NamedTuple):
    """Some images of one batch.

    Attributes:
        slot: where in the shared memory they go.
        items: encoded images, as bytes of a file or its path.
        drawn: per image, the numbers the cut takes; ``None`` without a cut.
    """

    slot: int
    items: Sequence[bytes | Path]
    drawn: np.ndarray | None


#: What comes back: of the images that could not be read, their number in the task and why.
Bad = list[tuple[int, str]]


class Decoder(Dataset[Bad]):
    """A data set in torch's sense: indexed by tasks, it fills the shared memory.

    Args:
        memory: uint8 ``(slots, images, H, W, C)``, shared.
        preparation: how an image becomes the network's input.
        cut: the first step of the augmentation, if it cuts a box.
    """

    def __init__(self, memory: Tensor, preparation: Preparation, cut: Cut | None) -> None:
        self.memory, self.preparation, self.cut = memory, preparation, cut

    def __getitem__(self, task: Task) -> Bad:
        bad: Bad = []
        slot = self.memory[task.slot]
        for number, item in enumerate(task.items):
            drawn = None if task.drawn is None else task.drawn[number].tolist()
            try:
                decode_into(slot[number], item, self.preparation, self.cut, drawn)
            except DataError as error:
                bad.append((number, str(error.found or error.what).splitlines()[0]))
        return bad


def ignore_interrupts(number: int) -> None:
    """Ctrl-C goes to the whole terminal; the trainer alone decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def decode_into(
    out: Tensor, item: bytes | Path, preparation: Preparation, cut: Cut | None, drawn: list[float] | None
) -> None:
    """One image, decoded.

    Without a cut it is exactly the runtime's arithmetic. With one, the box is cut out of the upright image and scaled
    by torch's 8-bit bilinear filter with antialiasing, within one level of Pillow's and several times as fast; a JPEG
    whose box is at least twice the input's size both ways is decoded at 1/2, 1/4 or 1/8 of its size.

    Args:
        out: uint8 ``(H, W, C)``, written.
        item: bytes of an image file, or its path.
        preparation: how an image becomes the network's input.
        cut: the box's rule.
        drawn: its numbers.

    Raises:
        DataError: if the image cannot be read.
    """
    file = BytesIO(item) if isinstance(item, bytes) else item
    try:
        if cut is None or drawn is None:
            out.numpy()[:] = pixels(as_array(open_image(file), preparation.white), preparation)  # type: ignore[arg-type]
        else:
            _fit(out, _boxed(file, preparation, cut, drawn))
    except (EOFError, IndexError, KeyError, MemoryError, struct.error, ZeroDivisionError) as error:  # hostile files
        raise DataError("image cannot be read", found=f"{type(error).__name__}: {error}") from None


def _boxed(file: BytesIO | Path, preparation: Preparation, cut: Cut, drawn: list[float]) -> np.ndarray:
    """The box of an image, at its own resolution or a draft's: uint8 ``(h, w, C)``."""
    image = _opened(file)
    try:
        with image:
            turned = image.format != "JPEG" or bool({"exif", "xmp"} & image.info.keys())
            if turned:  # its size is known only upright, which needs its pixels
                from PIL import ImageOps

                image.load()
                image = ImageOps.exif_transpose(image)
            width, height = image.size
            top, left, high, wide = cut.box(drawn, height, width)
            if not turned and high >= 2 * preparation.height and wide >= 2 * preparation.width:
                image.draft(None, (width * preparation.width // wide, height * preparation.height // high))
                scale = round(width / image.size[0])  # a draft's pixel stands for so many, squared; the last for fewer
                bottom, right = round((top + high) / scale), round((left + wide) / scale)
                top, left = round(top / scale), round(left / scale)
                high, wide = bottom - top, right - left
            part = image.crop((left, top, left + wide, top + high))
    except Exception as error:  # Pillow's decoders raise anything on a damaged file
        raise DataError("image cannot be read", found=error) from None
    array = as_array(part, preparation.white) if part.mode != "RGB" else np.array(part)
    return _channels(array, preparation.channels)


def _opened(file: BytesIO | Path) -> Any:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ParingError("images need Pillow", fix="Install it with: pip install 'paring[data]'") from None
    try:
        image = Image.open(file)
    except FileNotFoundError:
        raise DataError("image does not exist") from None
    except UnidentifiedImageError:
        raise DataError("file is not an image") from None
    except Exception as error:
        raise DataError("image cannot be read", found=error) from None
    if image.width * image.height > MAX_PIXELS:
        raise DataError("image is too large", found=image.size, expected=f"{MAX_PIXELS} pixels")
    return image


def _channels(array: np.ndarray, channels: int) -> np.ndarray:
    plain = Preparation(array.shape[0], array.shape[1], channels, (0.0,) * channels, (1.0,) * channels)
    return array if array.ndim == 3 and array.shape[2] == channels else pixels(array, plain)


def _fit(out: Tensor, box: np.ndarray) -> None:
    if box.shape == out.shape:
        out.numpy()[:] = box
        return
    box = box if box.flags.writeable else box.copy()  # as torch wants it
    maps = torch.from_numpy(box)[None].permute(0, 3, 1, 2)  # the layout torch's vector code takes for uint8
    size = (out.shape[0], out.shape[1])
    out.copy_(F.interpolate(maps, size=size, mode="bilinear", antialias=True)[0].permute(1, 2, 0))
