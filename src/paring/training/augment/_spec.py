"""Augmentations by name, and lists of steps written as ``"pad-crop:4,flip,color:0.4"``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from math import prod

import torch
from torch import Tensor

from paring.errors import ArgumentError
from paring.training.augment._transforms import TRANSFORMS, Cut, Distort, Drawn, Transform

#: Named augmentations, as lists of steps.
AUGMENTATIONS: dict[str, str] = {
    "none": "",
    "shift": "distort:0:0:0:2",
    "light": "distort:5:0.05:0.05:1:0.5",
    "medium": "distort:7.5:0.075:0.075:1.25:0.75",
    "strong": "distort:10:0.1:0.1:1.5:1",
    "cifar": "pad-crop:4,flip",
    "imagenet": "resized-crop,flip",
    "alexnet": "crop:0.875,flip,pca:0.1",
}

#: Bytes of float images that are augmented and normalized at once: what fits a core's cache.
_CACHE = 1 << 20


class Augmentation:
    """Steps in a row, for whole batches.

    Args:
        transforms: the steps; one that cuts a box out of the whole image comes first.

    Attributes:
        cut: the first step if it cuts a box, else ``None``.
        transforms: the steps after it.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.cut = transforms[0] if transforms and isinstance(transforms[0], Cut) else None
        self.transforms = tuple(transforms[1:] if self.cut else transforms)
        if any(isinstance(step, Cut) for step in self.transforms):
            raise ArgumentError("resized-crop and crop cut the whole image", expected="one of them, as the first step")

    def __bool__(self) -> bool:
        return bool(self.cut or self.transforms)

    @property
    def bends(self) -> bool:
        """True if all it does is distort."""
        return bool(self) and not self.cut and all(isinstance(step, Distort) for step in self.transforms)

    @property
    def needs_images(self) -> bool:
        """True if a step takes something from the training images; see :meth:`fitted`."""
        return any(hasattr(step, "fitted") for step in self.transforms)

    def fitted(self, images: Tensor) -> Augmentation:
        """The same with color components and mean color taken from uint8 images ``(N, C, H, W)``."""
        steps = [step.fitted(images) if hasattr(step, "fitted") else step for step in self.transforms]
        return Augmentation([*([self.cut] if self.cut else []), *steps])  # type: ignore[list-item]

    def draw(
        self, count: int, shape: tuple[int, int, int], generator: torch.Generator, cut: bool = True
    ) -> list[Drawn]:
        """Everything random for a batch.

        Args:
            count: images in the batch, all processes' together.
            shape: (C, H, W) of an image.
            generator: where all randomness comes from.
            cut: with the first step, where it cuts a box.
        """
        return [step.draw(count, shape, generator) for step in self._steps(cut)]

    def apply(self, images: Tensor, drawn: Sequence[Drawn], cut: bool = True) -> Tensor:
        """The images with what was drawn for them.

        Args:
            images: uint8, or float in 0..1, ``(N, C, H, W)``.
            drawn: from :meth:`draw`, of each tensor the rows of these images.
            cut: as for :meth:`draw`.

        Returns:
            float32 in 0..1 (further with pca), ``(N, C, H, W)``; uint8 if no step needed more.
        """
        for step, tensors in zip(self._steps(cut), drawn, strict=True):
            if not step.levels and images.dtype == torch.uint8:
                images = images.contiguous().float().div_(255)  # planes of one channel: what vector code reads best
            images = step.apply(images, *(tensor.to(images.device) for tensor in tensors))
        return images

    def _steps(self, cut: bool) -> list[Transform]:
        return [*([self.cut] if self.cut and cut else []), *self.transforms]  # type: ignore[list-item]


def rows(drawn: Sequence[Drawn], some: slice) -> list[Drawn]:
    """Of everything drawn, the part of some images of the batch."""
    return [tuple(tensor[some] for tensor in tensors) for tensors in drawn]


def finish(
    images: Tensor,
    mean: Tensor,
    std: Tensor,
    augment: Augmentation | None = None,
    drawn: Sequence[Drawn] = (),
    *,
    cut: bool = True,
    layout: torch.memory_format = torch.contiguous_format,
    out: Tensor | None = None,
) -> Tensor:
    """8-bit images augmented and normalized, a cache-full at a time on a CPU.

    Args:
        images: uint8 ``(N, C, H, W)``.
        mean: per channel, in units of 0..1, ``(1, C, 1, 1)``.
        std: likewise.
        augment: the steps.
        drawn: for these images.
        cut: with the first step, where it cuts a box.
        layout: of the result.
        out: where to put it, instead.

    Returns:
        float32 ``(N, C, H, W)``.
    """
    if out is None:
        out = torch.empty(images.shape, dtype=torch.float32, device=images.device, memory_format=layout)
    chunk = max(1, _CACHE // (4 * prod(images.shape[1:]))) if images.device.type == "cpu" else max(len(images), 1)
    for start in range(0, len(images), chunk):
        some = slice(start, start + chunk)
        part = images[some] if augment is None else augment.apply(images[some], rows(drawn, some), cut)
        if part.dtype == torch.uint8 and layout == torch.contiguous_format:
            part = part.contiguous()  # turned as bytes, then widened, takes half as long as both at once
        target = out[some].copy_(part)
        if part.dtype == torch.uint8:
            target.div_(255)
        target.sub_(mean).div_(std)
    return out


def augmentation(spec: str) -> Augmentation:
    """Read an augmentation: names of :data:`AUGMENTATIONS` and steps of ``TRANSFORMS``, separated by commas.

    A step is its name, and numbers after colons in the order of its arguments: ``color:0.4:0.4:0.2:0.1``.

    Raises:
        ArgumentError: on an unknown name, with the nearest; a number that is none or cannot be; too many numbers; a
            crop of the whole image that is not the first step.
    """
    steps: list[Transform] = []
    for item in spec.split(","):
        if (name := item.strip()) in AUGMENTATIONS:
            steps += [_step(part) for part in AUGMENTATIONS[name].split(",") if part]
        else:
            steps.append(_step(name))
    return Augmentation(steps)


def _step(text: str) -> Transform:
    name, *words = (word.strip() for word in text.split(":"))
    if name.startswith(("whiten", "zca")):
        raise ArgumentError(
            "whitening is no augmentation: a network that learned from white images must be given such ever after",
            found=repr(text),
            fix="Put paring.layers.Whitening before the network; docs/reference/training.md shows how",
        )
    if name not in TRANSFORMS:
        known = [*AUGMENTATIONS, *TRANSFORMS]
        near = get_close_matches(name, known, 3) or known
        raise ArgumentError("unknown augmentation", found=repr(text), expected=" or ".join(near))
    kind = TRANSFORMS[name]
    takes = [field.name for field in fields(kind) if "Tensor" not in str(field.type)]
    if len(words) > len(takes):
        raise ArgumentError(f"{name} takes fewer numbers", found=repr(text), expected=":".join([name, *takes]))
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise ArgumentError(f"{name} takes numbers", found=repr(text), expected=":".join([name, *takes])) from None
    return kind(*numbers)
