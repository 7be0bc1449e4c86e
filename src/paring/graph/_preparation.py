"""How an image becomes the network's input; it travels with the network into the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from paring.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image

#: Most pixels an image may have before it is scaled; larger ones are refused before they are decoded.
MAX_PIXELS = 1 << 27


@dataclass(frozen=True)
class Preparation:
    """What is done to an 8-bit image before the network sees it.

    In this order: convert to ``channels`` (1 = grey, 3 = RGB); scale the shorter side to ``resize`` (0: scale both
    sides straight to ``height`` x ``width``); crop the centre ``height`` x ``width``; divide by 255; subtract ``mean``
    and divide by ``std`` per channel.

    Attributes:
        height: input height in pixels.
        width: input width in pixels.
        channels: 1 or 3.
        mean: per channel, in units of 0..1; one number per channel.
        std: per channel, in units of 0..1, positive.
        resize: shorter side before the centre crop, in pixels; 0 for none.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int = 0

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ArgumentError("preparation has an impossible channel count", found=self.channels, expected="1 or 3")
        if not (1 <= self.height <= 16384 and 1 <= self.width <= 16384):
            raise ArgumentError("preparation has an impossible size", found=(self.height, self.width))
        if self.resize and not max(self.height, self.width) <= self.resize <= 16384:
            raise ArgumentError("resize is smaller than the crop", found=self.resize)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels or not all(abs(v) < 1e6 for v in values):
                raise ArgumentError(f"preparation's {name} does not fit its channels", found=values)
        if not all(v > 1e-6 for v in self.std):
            raise ArgumentError("preparation's std is not positive", found=self.std)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels), the network's input shape."""
        return (self.height, self.width, self.channels)


def normalise(images: np.ndarray, preparation: Preparation) -> np.ndarray:
    """The last two steps of a preparation: ``(x / 255 - mean) / std``, every operation rounded to float32.

    Args:
        images: uint8 ``(..., channels)``.
        preparation: whose mean and std are used.

    Returns:
        float32 of the same shape. It is one table look-up per value, so an answer never depends on how many images
        were prepared together.
    """
    levels = np.arange(256, dtype=np.float32)[:, None] / np.float32(255)
    table = (levels - np.asarray(preparation.mean, np.float32)) / np.asarray(preparation.std, np.float32)
    if preparation.channels == 1:
        return table[:, 0][images]
    out = np.empty(images.shape, np.float32)
    for channel in range(preparation.channels):
        out[..., channel] = table[:, channel][images[..., channel]]
    return out


def fit(image: Image, preparation: Preparation) -> np.ndarray:
    """The first three steps of a preparation: convert, scale, crop; Pillow's bilinear filter with antialiasing.

    Args:
        image: a Pillow image, decoded or not; an orientation in its EXIF data is obeyed.
        preparation: whose channels, resize, height and width are used.

    Returns:
        uint8 ``(height, width, channels)``.

    Raises:
        DataError: if the image is too large to be decoded safely.
        OSError, ValueError, SyntaxError: as Pillow raises them on damaged images.
    """
    from PIL import Image as images
    from PIL import ImageOps

    if image.width * image.height > MAX_PIXELS:
        raise DataError("image is too large", found=f"{image.width} x {image.height}", expected=f"{MAX_PIXELS} pixels")
    image = ImageOps.exif_transpose(image) or image
    if image.mode.startswith(("I;16", "I")):  # 16-bit grey; convert() would clip it
        wide = np.asarray(image).astype(np.float64) / 257
        image = images.fromarray(np.clip(np.rint(wide), 0, 255).astype(np.uint8))
    image = image.convert("L" if preparation.channels == 1 else "RGB")
    height, width = preparation.height, preparation.width
    if preparation.resize:
        scale = preparation.resize / min(image.size)
        size = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    else:
        size = (width, height)
    if size != image.size:
        image = image.resize(size, images.Resampling.BILINEAR)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    if (left, top) != (0, 0) or image.size != (width, height):
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image, np.uint8).reshape(preparation.shape)
