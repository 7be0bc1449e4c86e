"""The steps an augmentation is made of: each draws for a batch, and applies what was drawn.

Drawing and applying are apart so that a process that computes a slice of a batch can draw for the whole of it: every
drawn tensor has one row per image of the batch.

Images are ``(N, C, H, W)``, uint8 or float in 0..1. To add a step, write a dataclass here whose fields are the numbers
a user may write after its name, and give it a row in :data:`TRANSFORMS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from paring.errors import ArgumentError
from paring.training.augment import _color as colors
from paring.training.augment import _geometry as geometry
from paring.training.augment._distort import bend, drawn_bends

Drawn = tuple[Tensor, ...]


class Transform(Protocol):
    """One step.

    Attributes:
        levels: True if it takes uint8 images as they are; else they are float in 0..1.
    """

    levels: bool

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        """What is random, for ``count`` images of shape (C, H, W); tensors of ``count`` rows."""

    def apply(self, images: Tensor, *drawn: Tensor) -> Tensor:
        """The images, changed."""


class Cut:
    """A step that cuts a box out of the whole image and brings it to the input's size; the first of a list only.

    Where images are decoded one by one, the box is cut before resizing, at the image's own resolution.
    """

    levels = False

    def box(self, drawn: list[float], height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of the box in an image of that size."""
        raise NotImplementedError

    def apply(self, images: Tensor, *drawn: Tensor) -> Tensor:
        height, width = images.shape[2:]
        boxes = torch.tensor([self.box(row, height, width) for row in drawn[0].tolist()]).view(-1, 4)
        return geometry.resample(images, boxes, height, width)


@dataclass(frozen=True)
class ResizedCrop(Cut):
    """``resized-crop``: a box of random area and shape, see :func:`paring.training.rectangle`."""

    smallest: float = 0.08
    largest: float = 1.0
    narrowest: float = 3 / 4
    widest: float = 4 / 3

    def __post_init__(self) -> None:
        _check(0 < self.smallest <= self.largest <= 1, "resized-crop's area", (self.smallest, self.largest), "0 to 1")
        _check(0 < self.narrowest <= self.widest, "resized-crop's shape", (self.narrowest, self.widest), "above 0")

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (torch.rand(count, geometry.DRAWS, generator=generator),)

    def box(self, drawn: list[float], height: int, width: int) -> tuple[int, int, int, int]:
        area, ratio = (self.smallest, self.largest), (self.narrowest, self.widest)
        return geometry.rectangle(drawn, height, width, area, ratio)


@dataclass(frozen=True)
class Crop(Cut):
    """``crop``: a square somewhere in the central square of the image, its side a share of the shorter side."""

    side: float = 0.875

    def __post_init__(self) -> None:
        _check(0 < self.side <= 1, "crop's side", self.side, "a share of the shorter side, 0 to 1")

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (torch.rand(count, 2, generator=generator),)

    def box(self, drawn: list[float], height: int, width: int) -> tuple[int, int, int, int]:
        return geometry.square(drawn, height, width, self.side)


@dataclass(frozen=True)
class Flip:
    """``flip``: mirrored left to right with a probability."""

    probability: float = 0.5
    levels = True

    def __post_init__(self) -> None:
        _check(0 <= self.probability <= 1, "flip's probability", self.probability, "0 to 1")

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (torch.rand(count, generator=generator) < self.probability,)

    def apply(self, images: Tensor, *drawn: Tensor) -> Tensor:
        return geometry.flip(images, drawn[0])


@dataclass(frozen=True)
class PadCrop:
    """``pad-crop``: moved by up to ``pad`` pixels each way, zeros let in at the edge."""

    pad: float = 4
    levels = True

    def __post_init__(self) -> None:
        _check(self.pad == int(self.pad) and 1 <= self.pad <= 1024, "pad-crop's pad", self.pad, "whole pixels, from 1")

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        top, left = torch.randint(0, 2 * int(self.pad) + 1, (count, 2), generator=generator).unbind(1)
        return top, left

    def apply(self, images: Tensor, *drawn: Tensor) -> Tensor:
        return geometry.pad_crop(images, drawn[0], drawn[1], int(self.pad))


@dataclass(frozen=True)
class Color:
    """``color``: brightness, contrast, saturation, each times ``1 +- b``; hue turned by up to ``hue`` of the circle.

    Always in this order. Contrast and saturation are as brightness where not given.
    """

    brightness: float = 0.4
    contrast: float | None = None
    saturation: float | None = None
    hue: float = 0.0
    levels = False

    def __post_init__(self) -> None:
        for name, value in zip(("brightness", "contrast", "saturation"), self.spans, strict=True):
            _check(0 <= value <= 1, f"color's {name}", value, "0 to 1")
        _check(0 <= self.hue <= 0.5, "color's hue", self.hue, "0 to 0.5 of a circle")

    @property
    def spans(self) -> tuple[float, float, float]:
        """Largest relative change of brightness, contrast and saturation."""
        first = self.brightness
        contrast, saturation = (first if value is None else value for value in (self.contrast, self.saturation))
        return first, contrast, saturation

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        uniform = torch.rand(count, 4, generator=generator) * 2 - 1
        return (uniform * torch.tensor([*self.spans, self.hue]),)

    def apply(self, images: Tensor, *drawn: Tensor) -> Tensor:
        changes = (colors.brightness, colors.contrast, colors.saturation)
        for change, span, column in zip(changes, self.spans, drawn[0].T, strict=False):
            if span:
                images = change(images, 1 + column)
        return colors.hue(images, drawn[0][:, 3]) if self.hue else images


@dataclass(frozen=True)
class Pca:
    """``pca``: AlexNet's color noise; its components are those of the training images."""

    std: float = 0.1
    components: tuple[Tensor, Tensor] | None = None
    levels = False

    def __post_init__(self) -> None:
        _check(0 <= self.std <= 10, "pca's standard deviation", self.std, "0 to 10")

    def fitted(self, images: Tensor) -> Pca:
        """The same noise with the color components of uint8 images ``(N, C, H, W)``."""
        return replace(self, components=colors.color_components(images))

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return (torch.randn(count, shape[0], generator=generator) * self.std,)

    def apply(self, images: Tensor, *drawn: Tensor) -> Tensor:
        if self.components is None:
            raise ArgumentError("pca noise lacks the data's color components", fix="Call fitted(images) first")
        values, vectors = (part.to(images.device) for part in self.components)
        return colors.pca_noise(images, drawn[0], values, vectors)


@dataclass(frozen=True)
class Erase:
    """``erase``: with a probability, a box of random area and shape painted in the training images' mean color."""

    probability: float = 0.25
    smallest: float = 0.02
    largest: float = 1 / 3
    color: Tensor | None = None
    levels = False

    def __post_init__(self) -> None:
        _check(0 <= self.probability <= 1, "erase's probability", self.probability, "0 to 1")
        _check(0 < self.smallest <= self.largest <= 1, "erase's area", (self.smallest, self.largest), "0 to 1")

    def fitted(self, images: Tensor) -> Erase:
        """The same with the mean color of uint8 images ``(N, C, H, W)``."""
        sums = sum(some.sum((0, 2, 3), dtype=torch.float64) for some in images.split(256))
        return replace(self, color=torch.as_tensor(sums) / (255 * images.numel() / images.shape[1]))

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        uniform = torch.rand(count, geometry.DRAWS + 1, generator=generator).tolist()
        area, ratio = (self.smallest, self.largest), (0.3, 1 / 0.3)
        boxes = [
            geometry.rectangle(row[1:], *shape[1:], area, ratio) if row[0] < self.probability else (0, 0, 0, 0)
            for row in uniform
        ]
        return (torch.tensor(boxes, dtype=torch.int64).view(-1, 4),)

    def apply(self, images: Tensor, *drawn: Tensor) -> Tensor:
        if self.color is None:
            raise ArgumentError("erase lacks the data's mean color", fix="Call fitted(images) first")
        return geometry.erase(images, drawn[0], self.color)


@dataclass(frozen=True)
class Distort:
    """``distort``: small affine maps and smooth displacements, see :func:`paring.training.distort`."""

    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    levels = False

    def draw(self, count: int, shape: tuple[int, int, int], generator: torch.Generator) -> Drawn:
        return drawn_bends(
            count,
            shape[1:],
            generator,
            rotation=self.rotation,
            scale=self.scale,
            shear=self.shear,
            shift=self.shift,
            elastic=self.elastic,
        )

    def apply(self, images: Tensor, *drawn: Tensor) -> Tensor:
        return bend(images, *drawn)


#: Every step by the name a user writes.
TRANSFORMS: dict[str, type] = {
    "resized-crop": ResizedCrop,
    "crop": Crop,
    "pad-crop": PadCrop,
    "flip": Flip,
    "color": Color,
    "pca": Pca,
    "erase": Erase,
    "distort": Distort,
}


def _check(right: bool, what: str, found: object, expected: str) -> None:
    if not right:
        raise ArgumentError(f"invalid {what}", found=found, expected=expected)
