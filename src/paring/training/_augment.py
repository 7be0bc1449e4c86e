"""Augmentation of whole batches on tensors: small affine maps and smooth displacements."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from paring.errors import ArgumentError


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
    n, _, height, width = images.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) * 2 - 1

    angle, stretch = uniform(n) * (rotation * pi / 180), 1 + uniform(n, 2) * scale
    lean = uniform(n) * shear
    move = uniform(n, 2) * (2 * shift / torch.tensor([width, height]))
    cos, sin = angle.cos(), angle.sin()
    rows = [
        torch.stack([cos * stretch[:, 0], lean - sin * stretch[:, 1], move[:, 0]], 1),
        torch.stack([sin * stretch[:, 0], cos * stretch[:, 1], move[:, 1]], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    if elastic:
        noise = torch.randn(n, 2, coarse, coarse, generator=generator) * elastic
        field = F.interpolate(noise, size=(height, width), mode="bicubic", align_corners=True)
        grid = grid + field.permute(0, 2, 3, 1) * (2 / torch.tensor([width, height]))
    return F.grid_sample(images, grid.to(images.dtype), align_corners=False)


#: Named strengths of :func:`distort`; ``none`` leaves images alone.
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "shift": {"shift": 2.0},
    "light": {"rotation": 5.0, "scale": 0.05, "shear": 0.05, "shift": 1.0, "elastic": 0.5},
    "medium": {"rotation": 7.5, "scale": 0.075, "shear": 0.075, "shift": 1.25, "elastic": 0.75},
    "strong": {"rotation": 10.0, "scale": 0.1, "shear": 0.1, "shift": 1.5, "elastic": 1.0},
}


def augmentation(name: str) -> dict[str, Any]:
    """The named strength's arguments for :func:`distort`.

    Raises:
        ArgumentError: on an unknown name.
    """
    if name not in AUGMENTATIONS:
        raise ArgumentError("unknown augmentation", found=repr(name), expected=" or ".join(AUGMENTATIONS))
    return AUGMENTATIONS[name]
