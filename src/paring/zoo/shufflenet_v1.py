"""ShuffleNet v1: grouped 1x1 convolutions, with a channel shuffle between them.

Zhang, Zhou, Lin, Sun, "ShuffleNet: an extremely efficient convolutional neural network for mobile devices", CVPR 2018,
arXiv 1707.01083.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.layers import ChannelShuffle
from paring.zoo._registry import Card, register

PAPER = "Zhang, Zhou, Lin, Sun, ShuffleNet, CVPR 2018, arXiv 1707.01083"

#: Table 1 of the paper: groups to output channels of stage 2, at width 1; stages 3 and 4 double them.
CHANNELS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
REPEATS = (4, 8, 4)
#: Channels of the stem at the published widths; at others it is 24 times the width.
STEM = {0.25: 6, 0.5: 12, 1.0: 24, 1.5: 24, 2.0: 48}

#: The authors' later code.
LAYOUTS = {
    "megvii": (
        (r"first_conv\.", "stem."),
        (r"(features\.\d+)\.branch_main_1\.([01])\.", r"\1.compress.\2."),
        (r"(features\.\d+)\.branch_main_1\.3\.", r"\1.depthwise.0."),
        (r"(features\.\d+)\.branch_main_1\.4\.", r"\1.depthwise.1."),
        (r"(features\.\d+)\.branch_main_2\.", r"\1.expand."),
        (r"classifier\.0\.", "classifier."),
    )
}


def _conv_bn(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


class ShuffleUnit(nn.Module):
    """Grouped 1x1, shuffle, 3x3 depthwise, grouped 1x1; added to the input, or at stride 2 appended to its mean pool.

    Args:
        channels: input channels.
        out: output channels.
        groups: of both 1x1 convolutions and of the shuffle.
        stride: 1, or 2, where ``out`` must exceed ``channels`` by a multiple of the groups.
        first: the network's first unit, whose first 1x1 convolution is not grouped.
        release: as in the authors' later code, shuffle after the depthwise convolution and in the other direction.
    """

    def __init__(self, channels: int, out: int, groups: int, stride: int, first: bool, release: bool) -> None:
        super().__init__()
        middle = _multiple(out / 4, groups)
        self.compress = _conv_bn(channels, middle, 1, groups=1 if first else groups)
        self.compress.append(nn.ReLU())
        self.shuffle = ChannelShuffle(groups, inverse=release)
        self.depthwise = _conv_bn(middle, middle, 3, stride, groups=middle)
        self.expand = _conv_bn(middle, out - channels if stride == 2 else out, 1, groups=groups)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.relu = nn.ReLU()
        self.release = release

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, out, H / stride, W / stride)."""
        y = self.compress(x)
        y = self.shuffle(self.depthwise(y)) if self.release else self.depthwise(self.shuffle(y))
        y = self.expand(y)
        return self.relu(x + y if self.pool is None else torch.cat([self.pool(x), y], 1))


class ShuffleNetV1(nn.Module):
    """``stem`` (3x3/2 convolution), 3x3/2 max pool, sixteen units in ``features``, global mean, ``classifier``."""

    def __init__(
        self, stem: int, stages: tuple[int, int, int], groups: int, num_classes: int, in_channels: int, release: bool
    ) -> None:
        super().__init__()
        self.stem = _conv_bn(in_channels, stem, 3, stride=2)
        self.stem.append(nn.ReLU())
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.features = nn.Sequential()
        channels = stem
        for out, count in zip(stages, REPEATS, strict=True):
            for position in range(count):
                stride, first = (1 if position else 2), len(self.features) == 0
                self.features.append(ShuffleUnit(channels, out, groups, stride, first, release))
                channels = out
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(channels, num_classes, bias=not release)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        x = self.features(self.maxpool(self.stem(x)))
        return self.classifier(self.flatten(self.avgpool(x)))


def _multiple(channels: float, divisor: int) -> int:
    """The smallest multiple of ``divisor`` that is at least ``channels``."""
    return int(-(-channels // divisor)) * divisor


def plan(width_mult: float, groups: int) -> tuple[int, tuple[int, int, int]]:
    """Channels of the stem and of stages 2, 3 and 4.

    The paper does not say what it does where groups do not divide. Here channels grow until they do, which leaves every
    row that divides as it is: inner channels of a unit to the next multiple of the groups, and the stem until what the
    first unit adds to it is one (at 0.5x with 8 groups 12 become 16, as in the authors' code).
    """
    second = _multiple(CHANNELS[groups] * width_mult, groups)
    stem = STEM.get(width_mult, max(1, round(24 * width_mult)))
    while (second - stem) % groups:
        stem += 1
    if stem >= second:
        raise ArgumentError("width is too small for these groups", found=f"{width_mult} with {groups} groups")
    return stem, (second, 2 * second, 4 * second)


def shufflenet_v1(
    *,
    width_mult: float = 1.0,
    groups: int = 3,
    num_classes: int = 1000,
    in_channels: int = 3,
    release: bool = False,
) -> ShuffleNetV1:
    """ShuffleNet v1 of any width, for images of any size.

    Args:
        width_mult: every layer's channels, the stem's included, are multiplied by it (:func:`plan`).
        groups: 1, 2, 3, 4 or 8.
        num_classes: outputs.
        in_channels: channels of the image.
        release: as in the authors' later code, whose weights this loads (layout "megvii"): shuffled the other way and
            behind the depthwise convolution, classifier without bias.

    Raises:
        ArgumentError: on other groups, or a width that leaves nothing.
    """
    if groups not in CHANNELS:
        raise ArgumentError("no such number of groups", found=groups, expected="1, 2, 3, 4 or 8")
    if width_mult <= 0:
        raise ArgumentError("width is not positive", found=width_mult)
    stem, stages = plan(width_mult, groups)
    return ShuffleNetV1(stem, stages, groups, num_classes, in_channels, release)


#: (width, groups): parameters, MACs in millions, top-1 error % in the paper
GRID = {
    (1.0, 1): (1_531_936, 143.08, 33.6),
    (1.0, 2): (1_733_848, 140.84, 32.7),
    (1.0, 3): (1_865_728, 137.46, 32.6),
    (1.0, 4): (1_968_344, 134.34, 32.8),
    (1.0, 8): (2_434_768, 138.37, 32.4),
    (0.5, 1): (534_484, 38.52, 45.1),
    (0.5, 2): (643_932, 38.57, 44.4),
    (0.5, 3): (718_324, 37.59, 43.2),
    (0.5, 4): (778_040, 37.47, 41.6),
    (0.5, 8): (1_011_448, 40.47, 42.3),
    (0.25, 1): (209_746, 11.00, 57.1),
    (0.25, 2): (267_486, 11.52, 56.8),
    (0.25, 3): (305_902, 11.01, 55.0),
    (0.25, 4): (339_252, 12.39, 54.2),
    (0.25, 8): (454_504, 12.43, 52.7),
    (1.5, 3): (3_442_168, 292.44, 28.5),
    (2.0, 3): (5_450_776, 524.05, 26.3),
}
TRAPS = (
    "the 38 M of width 0.5 need a stem of 12 channels: it shrinks with the width, which the paper does not say",
    "the paper prints 13 M for width 0.25; the same rule gives 11 M",
    "where groups do not divide the paper's channels they are rounded up here (see plan)",
    "the authors' later code shuffles the other way: its weights need release=True",
    "the first 1x1 convolution of stage 2 is not grouped",
)


def _card(width: float, groups: int) -> Card:
    parameters, macs, error = GRID[width, groups]
    return Card(
        paper=PAPER,
        year=2017,
        parameters=parameters,
        macs=macs * 1e6,
        accuracy={"ImageNet 2012 val top-1 %": (round(100 - error, 1), "the paper, tables 2 and 5")},
        traps=TRAPS,
    )


register("shufflenet_v1", card=_card(1.0, 3))(shufflenet_v1)
for _width, _groups in GRID:
    if (_width, _groups) != (1.0, 3):
        _name = f"shufflenet_v1_x{_width}_g{_groups}".replace(".", "_")
        register(_name, card=_card(_width, _groups), width_mult=_width, groups=_groups)(shufflenet_v1)
