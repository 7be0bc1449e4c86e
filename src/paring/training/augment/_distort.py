"""Augmentation of whole batches on tensors: small affine maps and smooth displacements."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor
from torch.nn import functional as F


def distort(
    images: Tensor,
    generator: torch.Generator,
    *,
    rotation: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
    shift: float = 0.0,
    elastic: float = 0.0,
    coarse: int = 4,
) -> Tensor:
    """Each image rotated, scaled, sheared, shifted and bent on its own, sampled bilinearly, zero outside.

    The affine parameters are uniform in plus and minus the given bound. The displacement field is normal noise of
    standard deviation ``elastic`` on a ``coarse`` x ``coarse`` grid, enlarged bicubically; it stands for the smoothed
    random fields of Simard, Steinkraus, Platt, "Best practices for convolutional neural networks", ICDAR 2003.

    Args:
        images: float ``(N, C, H, W)``, background 0.
        generator: where all randomness comes from.
        rotation: degrees.
        scale: fraction, each axis on its own.
        shear: horizontal shift per vertical unit.
        shift: pixels, each axis on its own.
        elastic: pixels.
        coarse: side of the noise grid.

    Returns:
        float ``(N, C, H, W)``.
    """
    strengths = {"rotation": rotation, "scale": scale, "shear": shear, "shift": shift, "elastic": elastic}
    size = (images.shape[2], images.shape[3])
    return bend(images, *drawn_bends(len(images), size, generator, coarse=coarse, **strengths))


def drawn_bends(
    count: int,
    size: tuple[int, int],
    generator: torch.Generator,
    *,
    rotation: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
    shift: float = 0.0,
    elastic: float = 0.0,
    coarse: int = 4,
) -> tuple[Tensor, ...]:
    """What :func:`distort` draws for ``count`` images of ``size`` (height, width).

    Returns:
        affine maps, float32 ``(count, 2, 3)``; with ``elastic``, also the coarse displacements in pixels, float32
        ``(count, 2, coarse, coarse)``.
    """
    height, width = size

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) * 2 - 1

    angle, stretch = uniform(count) * (rotation * pi / 180), 1 + uniform(count, 2) * scale
    lean = uniform(count) * shear
    move = uniform(count, 2) * (2 * shift / torch.tensor([width, height]))
    cos, sin = angle.cos(), angle.sin()
    rows = [
        torch.stack([cos * stretch[:, 0], lean - sin * stretch[:, 1], move[:, 0]], 1),
        torch.stack([sin * stretch[:, 0], cos * stretch[:, 1], move[:, 1]], 1),
    ]
    maps = torch.stack(rows, 1)
    return (maps, torch.randn(count, 2, coarse, coarse, generator=generator) * elastic) if elastic else (maps,)


def bend(images: Tensor, maps: Tensor, noise: Tensor | None = None) -> Tensor:
    """Images sampled bilinearly through affine maps and displacements, as :func:`drawn_bends` gives them."""
    height, width = images.shape[2:]
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    if noise is not None:
        field = F.interpolate(noise, size=(height, width), mode="bicubic", align_corners=True)
        grid = grid + field.permute(0, 2, 3, 1) * (2 / torch.tensor([width, height], device=noise.device))
    return F.grid_sample(images, grid.to(images.dtype), align_corners=False)
