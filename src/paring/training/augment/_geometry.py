"""Augmentation that moves pixels: flips, crops, erased rectangles. Each takes what was drawn, and draws nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

#: How often a rectangle of random area and shape is drawn before the fallback.
TRIES = 10
#: Uniform numbers that :func:`rectangle` takes.
DRAWS = 2 * TRIES + 2


def flip(images: Tensor, which: Tensor) -> Tensor:
    """Images mirrored left to right where told.

    Args:
        images: any type, ``(N, C, H, W)``.
        which: bool ``(N,)``.
    """
    if images.device.type != "cpu" or not len(images):
        return torch.where(which.view(-1, 1, 1, 1), images.flip(3), images)
    # An image at a time: torch.where and indexing read 8-bit images byte by byte.
    return torch.cat(
        [image.flip(3) if told else image for image, told in zip(images.split(1), which.tolist(), strict=True)]
    )


def pad_crop(images: Tensor, top: Tensor, left: Tensor, pad: int) -> Tensor:
    """Zeros put around each image and a window of the old size cut out (He et al. 2015, arXiv 1512.03385, 4.2).

    Args:
        images: any type, ``(N, C, H, W)``.
        top: int64 ``(N,)``, first row of the window in the padded image, 0 to ``2 pad``.
        left: int64 ``(N,)``, its first column.
        pad: pixels on every side.
    """
    n, channels, height, width = images.shape
    padded = F.pad(images, [pad] * 4)
    rows = top.view(-1, 1, 1) + torch.arange(height, device=images.device).view(1, -1, 1)
    columns = left.view(-1, 1, 1) + torch.arange(width, device=images.device)
    place = (rows * (width + 2 * pad) + columns).view(n, 1, -1).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, place).view(images.shape)


def rectangle(
    drawn: Sequence[float],
    height: int,
    width: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[int, int, int, int]:
    """A rectangle inside an image, of random area and shape (Szegedy et al. 2014, arXiv 1409.4842, section 6).

    Its area is uniform in ``area`` times the image's, the logarithm of width over height uniform between those of
    ``ratio``; the first of ten drawn that fits is placed uniformly. If none fits: the largest central one whose shape
    is nearest the image's own and within ``ratio``.

    Args:
        drawn: :data:`DRAWS` numbers uniform in 0..1: areas, shapes, place.
        height: of the image, pixels.
        width: of the image, pixels.
        area: smallest and largest share of the image's area.
        ratio: smallest and largest width over height.

    Returns:
        top, left, height, width, in whole pixels.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for share, shape in zip(drawn[:TRIES], drawn[TRIES : 2 * TRIES], strict=True):
        pixels = (area[0] + (area[1] - area[0]) * share) * height * width
        aspect = math.exp(low + (high - low) * shape)
        h, w = round(math.sqrt(pixels / aspect)), round(math.sqrt(pixels * aspect))
        if 0 < h <= height and 0 < w <= width:
            top, left = (
                min(int(u * (room + 1)), room)
                for u, room in zip(drawn[2 * TRIES : DRAWS], (height - h, width - w), strict=True)
            )
            return top, left, h, w
    h = min(height, max(1, round(width / ratio[0])))
    w = min(width, max(1, round(height * ratio[1])))
    return (height - h) // 2, (width - w) // 2, h, w


def square(drawn: Sequence[float], height: int, width: int, side: float) -> tuple[int, int, int, int]:
    """A square placed uniformly inside the central square of an image: AlexNet's 224 of 256 for ``side`` 0.875.

    Args:
        drawn: two numbers uniform in 0..1.
        height: of the image, pixels.
        width: of the image, pixels.
        side: of the square, as a share of the image's shorter side.

    Returns:
        top, left, height, width, in whole pixels.
    """
    short = min(height, width)
    cut = max(1, round(side * short))
    room = short - cut
    top, left = (min(int(u * (room + 1)), room) for u in drawn)
    return (height - short) // 2 + top, (width - short) // 2 + left, cut, cut


def resample(images: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """A box of each image, brought to one size: bilinear with antialiasing.

    Each output pixel is the mean of the box's pixels under a triangle as wide as the reduction, never narrower than
    one pixel to each side: what ``F.interpolate(antialias=True)`` does to one crop, for a batch of different crops as
    two batched matrix products, ``R X C^T``.

    Args:
        images: float ``(N, C, H, W)``.
        boxes: int64 ``(N, 4)``, top, left, height and width in pixels.
        height: rows wanted.
        width: columns wanted.

    Returns:
        float ``(N, C, height, width)``.
    """
    n, channels, old_height, old_width = images.shape
    boxes = boxes.to(images.device)
    rows = _triangles(boxes[:, 0], boxes[:, 2], old_height, height, images.dtype)
    columns = _triangles(boxes[:, 1], boxes[:, 3], old_width, width, images.dtype)
    narrow = torch.bmm(images.reshape(n, channels * old_height, old_width), columns.transpose(1, 2))
    stacked = narrow.view(n, channels, old_height, width).transpose(1, 2).reshape(n, old_height, channels * width)
    return torch.bmm(rows, stacked).view(n, height, channels, width).transpose(1, 2).contiguous()


def _triangles(first: Tensor, length: Tensor, old: int, new: int, dtype: torch.dtype) -> Tensor:
    """``(N, new, old)``: how much of each old pixel is in each new one; rows sum to 1."""
    first, length = first.view(-1, 1, 1), length.view(-1, 1, 1)
    scale = length.to(torch.float64) / new
    reach = scale.clamp_min(1)
    center = first + (torch.arange(new, device=first.device).view(1, -1, 1) + 0.5) * scale
    pixel = torch.arange(old, device=first.device).view(1, 1, -1)
    weight = (1 - (pixel + 0.5 - center).abs() / reach).clamp_min(0)
    weight = torch.where((pixel >= first) & (pixel < first + length), weight, 0)
    return (weight / weight.sum(2, keepdim=True)).to(dtype)


def erase(images: Tensor, boxes: Tensor, fill: Tensor) -> Tensor:
    """A box of each image painted over (Zhong et al. 2017, arXiv 1708.04896).

    Args:
        images: any type, ``(N, C, H, W)``.
        boxes: int64 ``(N, 4)``, top, left, height and width in pixels; height 0 leaves an image alone.
        fill: ``(C,)``, the color painted, in the images' own units.
    """
    top, left, high, wide = boxes.to(images.device)[:, :, None].unbind(1)
    row = torch.arange(images.shape[2], device=images.device)
    column = torch.arange(images.shape[3], device=images.device)
    rows, columns = (row >= top) & (row < top + high), (column >= left) & (column < left + wide)
    inside = (rows[:, :, None] & columns[:, None, :])[:, None]
    return torch.where(inside, fill.to(images).view(1, -1, 1, 1), images)
