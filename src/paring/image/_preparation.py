"""How an image becomes the network's input; it travels with the network into the file."""

from __future__ import annotations

from dataclasses import dataclass

from paring.errors import ArgumentError


@dataclass(frozen=True)
class Preparation:
    """What is done to an 8-bit image before the network sees it.

    In this order: convert to ``channels`` (1 = gray, 3 = RGB); scale the shorter side to ``resize`` (0: scale both
    sides straight to ``height`` x ``width``); crop the center ``height`` x ``width``; divide by 255; subtract ``mean``
    and divide by ``std`` per channel.

    Attributes:
        height: input height in pixels.
        width: input width in pixels.
        channels: 1 or 3.
        mean: per channel, in units of 0..1; one number per channel.
        std: per channel, in units of 0..1, positive.
        resize: shorter side before the center crop, in pixels; 0 for none.
        white: value that becomes 255 in images with samples of more than 8 bits; 0: 65535 of those with 16.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int = 0
    white: float = 0.0

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
        if not 0 <= self.white < 1e30:
            raise ArgumentError("invalid white level of a preparation", found=self.white, expected="0 or more")
        if not all(v > 1e-6 for v in self.std):
            raise ArgumentError("preparation's std is not positive", found=self.std)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels), the network's input shape."""
        return (self.height, self.width, self.channels)


#: Usual (mean, std) per channel in units of 0..1; one number stands for every channel.
NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": ((0.5,), (0.5,)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "none": ((0.0,), (1.0,)),
}
