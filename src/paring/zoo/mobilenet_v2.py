"""MobileNet v2: inverted residuals with linear bottlenecks.

Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018, arXiv
1801.04381. Layer names and channel rounding are torchvision's.
"""

from __future__ import annotations

from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.zoo._blocks import init_he
from paring.zoo._registry import Card, register

PAPER = "Sandler, Howard, Zhu, Zhmoginov, Chen, MobileNetV2, CVPR 2018, arXiv 1801.04381"
LAYOUTS = {"torchvision": ()}

#: Table 2 of the paper: expansion t, output channels c, repetitions n, stride s of the first of them.
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

#: width: parameters
PARAMETERS = {1.4: 6_108_776, 1.3: 5_386_792, 1.0: 3_504_872, 0.75: 2_636_424, 0.5: 1_968_680, 0.35: 1_677_128}
#: (width, resolution): MACs in millions, top-1 % and top-5 % of the slim checkpoints
GRID = {
    (1.4, 224): (582.20, 75.0, 92.5),
    (1.3, 224): (509.37, 74.4, 92.1),
    (1.0, 224): (300.77, 71.8, 91.0),
    (1.0, 192): (221.32, 70.7, 90.1),
    (1.0, 160): (154.08, 68.8, 89.0),
    (1.0, 128): (99.07, 65.3, 86.9),
    (1.0, 96): (56.29, 60.3, 83.2),
    (0.75, 224): (209.07, 69.8, 89.6),
    (0.75, 192): (153.94, 68.7, 88.9),
    (0.75, 160): (107.30, 66.4, 87.3),
    (0.75, 128): (69.13, 63.2, 85.3),
    (0.75, 96): (39.45, 58.8, 81.6),
    (0.5, 224): (97.13, 65.4, 86.4),
    (0.5, 192): (71.70, 63.9, 85.4),
    (0.5, 160): (50.18, 61.0, 83.2),
    (0.5, 128): (32.58, 57.7, 80.8),
    (0.5, 96): (18.89, 51.2, 75.8),
    (0.35, 224): (59.29, 60.3, 82.9),
    (0.35, 192): (43.90, 58.2, 81.2),
    (0.35, 160): (30.87, 55.7, 79.1),
    (0.35, 128): (20.22, 50.8, 75.0),
    (0.35, 96): (11.93, 45.5, 70.4),
}
TRAPS = (
    "width 1.4 has 6.11 M parameters; the paper prints 6.9 M, which no reading of its table gives",
    "no activation after a block's last convolution, and none after the addition",
    "the first block has no expansion: 32 -> 16",
    "the last convolution stays at 1280 channels below width 1 and grows above",
)


class ConvBNReLU6(nn.Sequential):
    """Convolution without bias, batch norm, ReLU6."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU6(),
        )


class InvertedResidual(nn.Module):
    """1x1 to ``expansion`` times the channels, 3x3 depthwise, 1x1 back without activation; added where shapes agree.

    Args:
        channels: input channels.
        out: output channels.
        stride: of the depthwise convolution.
        expansion: t; 1 leaves the first convolution out.
    """

    def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.conv = nn.Sequential(
            *([ConvBNReLU6(channels, hidden, 1)] if expansion != 1 else []),
            ConvBNReLU6(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.use_res_connect = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, out, H / stride, W / stride)."""
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """``features`` (stem, seventeen inverted residuals, 1x1 convolution), global mean, ``classifier``.

    Attributes:
        resolution: (height, width) in pixels that the network is meant for; others work too.
    """

    def __init__(
        self, width_mult: float, resolution: int, num_classes: int, in_channels: int, dropout: float, divisor: int
    ) -> None:
        super().__init__()
        self.resolution = (resolution, resolution)
        channels = make_divisible(32 * width_mult, divisor)
        last = make_divisible(1280 * max(1.0, width_mult), divisor)
        layers: list[nn.Module] = [ConvBNReLU6(in_channels, channels, 3, 2)]
        for expansion, width, count, first_stride in BLOCKS:
            out = make_divisible(width * width_mult, divisor)
            for position in range(count):
                layers.append(InvertedResidual(channels, out, first_stride if position == 0 else 1, expansion))
                channels = out
        layers.append(ConvBNReLU6(channels, last, 1))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        init_he(self, linear_std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to ``channels`` (halves up), raised by one step if under 90 % of it."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


def _card(width: float, resolution: int) -> Card:
    macs, top1, top5 = GRID[width, resolution]
    return Card(
        paper=PAPER,
        year=2018,
        parameters=PARAMETERS[width],
        macs=macs * 1e6,
        resolution=(resolution, resolution),
        accuracy={
            "ImageNet 2012 val top-1 %": (top1, "TensorFlow slim, mobilenet/README.md"),
            "ImageNet 2012 val top-5 %": (top5, "TensorFlow slim, mobilenet/README.md"),
        },
        traps=TRAPS,
    )


def mobilenet_v2(
    *,
    width_mult: float = 1.0,
    resolution: int = 224,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.2,
    divisor: int = 8,
) -> MobileNetV2:
    """MobileNet v2 of any width, for images of any resolution.

    Args:
        width_mult: every layer's channels are multiplied by it, then rounded (:func:`make_divisible`).
        resolution: side of the images in pixels; no layer depends on it.
        num_classes: outputs.
        in_channels: channels of the image.
        dropout: before the classifier.
        divisor: every layer's channels are a multiple of it.

    Raises:
        ArgumentError: on a width, resolution or divisor that is not positive.
    """
    if width_mult <= 0 or resolution < 1 or divisor < 1:
        raise ArgumentError("width, resolution or divisor is not positive", found=(width_mult, resolution, divisor))
    return MobileNetV2(width_mult, resolution, num_classes, in_channels, dropout, divisor)


register("mobilenet_v2", card=_card(1.0, 224))(mobilenet_v2)
for _width, _resolution in GRID:
    if (_width, _resolution) != (1.0, 224):
        _name = f"mobilenet_v2_{round(100 * _width):03d}_{_resolution}"
        register(_name, card=_card(_width, _resolution), width_mult=_width, resolution=_resolution)(mobilenet_v2)
