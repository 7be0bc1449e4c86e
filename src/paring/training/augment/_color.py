"""Augmentation that changes colors. Images are float in 0..1; each function takes what was drawn, and draws nothing.

Gray is the ITU-R 601 luma, ``0.299 R + 0.587 G + 0.114 B``, as everywhere in Paring.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paring.errors import ArgumentError

_LUMA = (0.299, 0.587, 0.114)


def gray(images: Tensor) -> Tensor:
    """The luma of images ``(N, C, H, W)``, ``(N, 1, H, W)``; one channel is its own."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2]).unsqueeze(1)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Each image times its factor ``(N,)``, cut to 0..1."""
    return (images * _each(factor)).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Each image blended with its mean gray: ``factor x + (1 - factor) mean``, cut to 0..1; factors ``(N,)``."""
    factor = _each(factor)
    mean = gray(images.mean((2, 3), keepdim=True))  # of the gray image: the luma is linear
    return (images * factor).add_((1 - factor) * mean).clamp_(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Each image blended with its gray self: ``factor x + (1 - factor) gray``, cut to 0..1; factors ``(N,)``."""
    if images.shape[1] == 1:
        return images
    factor = _each(factor)
    return (images * factor).add_(gray(images).mul_(1 - factor)).clamp_(0, 1)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """The hue of each image turned by its share of the color circle; saturation and value in HSV stay.

    Args:
        images: ``(N, 3, H, W)`` in 0..1; gray images ``(N, 1, H, W)`` have no hue.
        turn: ``(N,)``, in full turns: 1/3 makes red green.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    # Sorted by swapping, without a branch: torch.where takes longer than all that is here. The hue in sixths of the
    # circle is |place + (middle - least) / chroma|, where place says which swaps there were.
    larger, least = torch.maximum(green, blue), torch.minimum(green, blue)
    place = green.lt(blue).to(images).mul_(-6)
    swapped = red.lt(larger).to(images)
    place.addcmul_(swapped, 2 * place + 2, value=-1)
    value, middle = torch.maximum(red, larger), torch.minimum(red, larger)
    chroma = value - torch.minimum(middle, least)
    sixths = middle.sub_(least).div_(chroma + 1e-20).add_(place).abs_().add_((6 * turn.to(images)).view(-1, 1, 1))
    sixths.sub_(torch.floor(sixths / 6), alpha=6)
    turned, low = torch.empty_like(images), value.sub_(chroma)
    # How much of the chroma each color has: a trapezium around its own place on the circle.
    for channel, (at, slope, offset) in enumerate(((3, 1, -1), (2, -1, 2), (4, -1, 2))):
        part = (sixths - at).abs_().mul_(slope).add_(offset).clamp_(0, 1)
        turned[:, channel] = part.mul_(chroma).add_(low)
    return turned


def pca_noise(images: Tensor, amount: Tensor, values: Tensor, vectors: Tensor) -> Tensor:
    """AlexNet's color noise: ``[p1, p2, p3] [a1 l1, a2 l2, a3 l3]^T`` added to every pixel of an image.

    Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012,
    section 4.1: ``p`` and ``l`` are eigenvectors and eigenvalues of the covariance of the pixels' colors, ``a`` is
    normal with standard deviation 0.1. ``l`` is a variance, so the noise depends on the unit of a pixel; here it is
    0..1. The sum is not cut to 0..1.

    Args:
        images: ``(N, C, H, W)``.
        amount: ``(N, C)``, the ``a``.
        values: ``(C,)``.
        vectors: ``(C, C)``, one per column.
    """
    noise = (amount.to(vectors.dtype) * values) @ vectors.T
    return images + noise.to(images)[:, :, None, None]


def color_components(images: Tensor) -> tuple[Tensor, Tensor]:
    """Principal components of the colors of all pixels, for :func:`pca_noise`.

    Args:
        images: uint8, ``(N, C, H, W)``.

    Returns:
        values: float64 ``(C,)``, eigenvalues of the covariance (divisor N H W) in squared units of 0..1, largest first.
        vectors: float64 ``(C, C)``, unit eigenvectors as columns; of each, the entry largest in size is positive.

    Raises:
        ArgumentError: if there are no images, or they are not 8-bit.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
        raise ArgumentError("colors need 8-bit images", found=f"{images.dtype} {tuple(images.shape)}")
    channels = images.shape[1]
    total, products = torch.zeros(channels, dtype=torch.float64), torch.zeros(channels, channels, dtype=torch.float64)
    for some in images.split(64):
        colors = some.transpose(0, 1).flatten(1).to(torch.float64).cpu() / 255
        total += colors.sum(1)
        products += colors @ colors.T
    count = images.numel() // channels
    mean = total / count
    values, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    signs = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    return values, vectors * signs


def _each(factor: Tensor) -> Tensor:
    return factor.view(-1, 1, 1, 1)
