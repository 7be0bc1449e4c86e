"""SqueezeNet: fire modules squeeze the channels before they expand them again.

Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
<0.5MB model size", 2016, arXiv 1602.07360. Layer names are torchvision's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.zoo._registry import Card, register

PAPER = "Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, SqueezeNet, 2016, arXiv 1602.07360"
LAYOUTS = {"torchvision": ()}

#: (squeeze, expand) of fire2 ... fire9; the expanded width is half 1x1 and half 3x3 filters.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
#: version: (channels of conv1, its window, fires after which a 3x3/2 pool follows; 1 is conv1 itself)
VERSIONS = {"1.0": (96, 7, (1, 4, 8)), "1.1": (64, 3, (1, 3, 5))}
BYPASS = ("none", "simple", "complex")


class Fire(nn.Module):
    """1x1 to ``squeeze`` channels, then 1x1 and 3x3 side by side to ``expand`` channels each; ReLU after each.

    Args:
        channels: input channels.
        squeeze: channels in between.
        expand: channels of either half of the output.
        bypass: added to the output where given.
    """

    def __init__(self, channels: int, squeeze: int, expand: int, bypass: nn.Module | None = None) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = nn.ReLU()
        self.bypass = bypass

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 2 expand, H, W)."""
        squeezed = self.squeeze_activation(self.squeeze(x))
        ones = self.expand1x1_activation(self.expand1x1(squeezed))
        threes = self.expand3x3_activation(self.expand3x3(squeezed))
        output = torch.cat([ones, threes], 1)
        return output if self.bypass is None else output + self.bypass(x)


class SqueezeNet(nn.Module):
    """``features`` (conv1, pools, eight fires) and ``classifier`` (dropout, 1x1 convolution, ReLU, global mean)."""

    def __init__(self, features: nn.Sequential, channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.features = features
        last = nn.Conv2d(channels, num_classes, 1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), last, nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.flatten = nn.Flatten()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(last.weight, 0.0, 0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax; all outputs are at least 0."""
        return self.flatten(self.classifier(self.features(x)))


def _bypass(kind: str, channels: int, out: int) -> nn.Module | None:
    """What goes around a fire: nothing; the identity where widths agree; else, for "complex", a 1x1 convolution."""
    if kind == "none" or (kind == "simple" and channels != out):
        return None
    return nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)


def _card(parameters: int, macs: float, top1: float, top5: float) -> Card:
    return Card(
        paper=PAPER,
        year=2016,
        parameters=parameters,
        macs=macs,
        accuracy={
            "ImageNet 2012 val top-1 %": (top1, "torchvision 0.29 metadata"),
            "ImageNet 2012 val top-5 %": (top5, "torchvision 0.29 metadata"),
        },
        traps=(
            "conv1 has no padding: 109x109 from 224 pixels (111x111 from 227), and pools round up",
            "a ReLU follows the last convolution too: no class score is below 0",
            "the 1.72 and 0.72 GFLOPS of the authors' notes count a multiply-accumulate twice",
        ),
    )


@register("squeezenet1_0", card=_card(1_248_424, 818.92e6, 58.092, 80.420), version="1.0")
@register("squeezenet1_1", card=_card(1_235_496, 349.15e6, 58.178, 80.624), version="1.1")
@register(
    "squeezenet1_0_simple_bypass",
    card=Card(
        paper=PAPER,
        year=2016,
        parameters=1_248_424,
        macs=818.92e6,
        traps=("identities go around fire 3, 5, 7 and 9 only, where the widths agree; no weights are added",),
    ),
    version="1.0",
    bypass="simple",
)
def squeezenet(
    *,
    version: str = "1.1",
    bypass: str = "none",
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.5,
) -> SqueezeNet:
    """SqueezeNet for images of any size from 21 (1.0) or 17 (1.1) pixels.

    Args:
        version: "1.0" (the paper), or "1.1" (2.4 times fewer MACs at the same accuracy).
        bypass: "none", "simple" (identities where a fire keeps the width) or "complex" (1x1 convolutions elsewhere).
        num_classes: outputs.
        in_channels: channels of the image.
        dropout: before the last convolution.

    Raises:
        ArgumentError: on another version or bypass.
    """
    if version not in VERSIONS:
        raise ArgumentError("no such SqueezeNet", found=repr(version), expected=" or ".join(VERSIONS))
    if bypass not in BYPASS:
        raise ArgumentError("no such bypass", found=repr(bypass), expected=" or ".join(BYPASS))
    channels, kernel, pools = VERSIONS[version]
    layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, kernel, stride=2), nn.ReLU()]
    for number, (squeeze, expand) in enumerate(((0, 0), *FIRES), start=1):
        if number > 1:
            layers.append(Fire(channels, squeeze, expand, _bypass(bypass, channels, 2 * expand)))
            channels = 2 * expand
        if number in pools:
            layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
    return SqueezeNet(nn.Sequential(*layers), channels, num_classes, dropout)
