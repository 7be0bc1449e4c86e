"""ShuffleNet v2: channel split, equal widths, no grouped 1x1 convolutions, no addition.

Ma, Zhang, Zheng, Sun, "ShuffleNet V2: practical guidelines for efficient CNN architecture design", ECCV 2018, arXiv
1807.11164. Layer names are torchvision's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.layers import ChannelShuffle
from paring.zoo._registry import Card, register

PAPER = "Ma, Zhang, Zheng, Sun, ShuffleNet V2, ECCV 2018, arXiv 1807.11164"
LAYOUTS = {"torchvision": ()}

#: Table 5 of the paper: width to output channels of stages 2, 3, 4 and of conv5.
CHANNELS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
REPEATS = (4, 8, 4)
STEM = 24


def _pointwise(channels: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False), nn.BatchNorm2d(channels)]


class ShuffleUnitV2(nn.Module):
    """Half the channels pass untouched (stride 1) or through ``branch1`` (stride 2), the rest through ``branch2``."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        half = out // 2
        self.stride = stride
        self.branch1 = nn.Sequential(*(_depthwise(channels, 2) + _pointwise(channels, half) if stride == 2 else []))
        self.branch2 = nn.Sequential(
            *_pointwise(channels if stride == 2 else half, half), *_depthwise(half, stride), *_pointwise(half, half)
        )
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, out, H / stride, W / stride)."""
        if self.stride == 2:
            return self.shuffle(torch.cat([self.branch1(x), self.branch2(x)], 1))
        kept, worked = x.chunk(2, 1)
        return self.shuffle(torch.cat([kept, self.branch2(worked)], 1))


class ShuffleNetV2(nn.Module):
    """``conv1``, 3x3/2 max pool, ``stage2`` to ``stage4``, 1x1 ``conv5``, global mean, ``fc``."""

    stage2: nn.Sequential
    stage3: nn.Sequential
    stage4: nn.Sequential

    def __init__(self, widths: tuple[int, int, int, int], num_classes: int, in_channels: int) -> None:
        super().__init__()
        first = nn.Conv2d(in_channels, STEM, 3, stride=2, padding=1, bias=False)
        self.conv1 = nn.Sequential(first, nn.BatchNorm2d(STEM), nn.ReLU())
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = STEM
        for stage, (out, count) in enumerate(zip(widths[:3], REPEATS, strict=True), start=2):
            units = [ShuffleUnitV2(channels, out, 2), *(ShuffleUnitV2(out, out, 1) for _ in range(count - 1))]
            self.add_module(f"stage{stage}", nn.Sequential(*units))
            channels = out
        self.conv5 = nn.Sequential(*_pointwise(channels, widths[3]))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(widths[3], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.stage4(self.stage3(self.stage2(x))))
        return self.fc(self.flatten(self.avgpool(x)))


def _card(parameters: int, macs: float, top1: float) -> Card:
    return Card(
        paper=PAPER,
        year=2018,
        parameters=parameters,
        macs=macs * 1e6,
        accuracy={"ImageNet 2012 val top-1 %": (top1, "torchvision 0.29 metadata")},
        traps=(
            "the printed 41, 146, 299 and 591 MFLOPs are 1 % above the products counted here",
            "another network circulates as plain ShuffleNetV2, with 4.4 M parameters at width 1.5",
        ),
    )


@register("shufflenet_v2_x0_5", card=_card(1_366_792, 40.48, 60.552), width_mult=0.5)
@register("shufflenet_v2_x1_0", card=_card(2_278_604, 144.91, 69.362), width_mult=1.0)
@register("shufflenet_v2_x1_5", card=_card(3_503_624, 295.76, 72.996), width_mult=1.5)
@register("shufflenet_v2_x2_0", card=_card(7_393_996, 583.25, 76.230), width_mult=2.0)
def shufflenet_v2(*, width_mult: float = 1.0, num_classes: int = 1000, in_channels: int = 3) -> ShuffleNetV2:
    """ShuffleNet v2 for images of any size.

    Args:
        width_mult: 0.5, 1, 1.5 or 2; the channels are a table, not a product.
        num_classes: outputs.
        in_channels: channels of the image.

    Raises:
        ArgumentError: on another width.
    """
    if width_mult not in CHANNELS:
        raise ArgumentError("no such width", found=width_mult, expected=", ".join(map(str, CHANNELS)))
    return ShuffleNetV2(CHANNELS[width_mult], num_classes, in_channels)
