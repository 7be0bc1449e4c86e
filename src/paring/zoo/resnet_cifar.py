"""CIFAR ResNets: 6n + 2 layers of 16, 32 and 64 channels, shortcuts by option A (the paper) or B.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, arXiv 1512.03385, section 4.2.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from paring.errors import ArgumentError
from paring.zoo._blocks import init_he
from paring.zoo._registry import Card, register
from paring.zoo.resnet import projection

PAPER = "He, Zhang, Ren, Sun, Deep residual learning for image recognition, CVPR 2016, arXiv 1512.03385, section 4.2"

#: The layout of the widely used CIFAR repositories: `shortcut` where torchvision says `downsample`, `linear` for `fc`.
LAYOUTS = {"cifar": ((r"(layer\d\.\d+)\.shortcut\.", r"\1.downsample."), (r"linear\.", "fc."))}


class PaddedShortcut(nn.Module):
    """Option A: every second row and column, zeros for the new channels, half in front and half behind. No weights."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.front = (out - channels) // 2
        self.back = out - channels - self.front

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.front, self.back))


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the shortcut, ReLU after the addition."""

    def __init__(self, channels: int, out: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            option_a = shortcut == "A"
            self.downsample = PaddedShortcut(channels, out, stride) if option_a else projection(channels, out, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu2(y + (x if self.downsample is None else self.downsample(x)))


class CifarResNet(nn.Module):
    """3x3 convolution to 16 channels, three stages of n blocks at 32, 16 and 8 pixels, global pool, linear layer."""

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential

    def __init__(self, n: int, shortcut: str = "A", num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        channels = 16
        for stage, width in enumerate((16, 32, 64)):
            blocks = []
            for position in range(n):
                blocks.append(Block(channels, width, 2 if stage and not position else 1, shortcut))
                channels = width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(64, num_classes)
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.flatten(self.avgpool(x)))


def _card(parameters: int, macs: float, error: float) -> Card:
    return Card(
        paper=PAPER,
        year=2015,
        parameters=parameters,
        macs=macs,
        resolution=(32, 32),
        accuracy={"CIFAR-10 test %": (round(100 - error, 2), "the paper, table 6")},
        traps=(
            "not torchvision's ResNet-18 with a small first layer, which has 11 M parameters",
            "options A and B differ by 2,752 parameters: a checkpoint of one does not fit the other",
        ),
    )


@register("resnet20", card=_card(269_722, 40.55e6, 8.75), depth=20)
@register("resnet32", card=_card(464_154, 68.86e6, 7.51), depth=32)
@register("resnet44", card=_card(658_586, 97.17e6, 7.17), depth=44)
@register("resnet56", card=_card(853_018, 125.49e6, 6.97), depth=56)
@register("resnet110", card=_card(1_727_962, 252.89e6, 6.43), depth=110)
@register("resnet1202", card=_card(19_421_274, 2829.24e6, 7.93), depth=1202)
def resnet_cifar(*, depth: int, shortcut: str = "A", num_classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """ResNet for 32x32 images.

    Args:
        depth: 6n + 2 for any n from 1.
        shortcut: "A" (stride and zero channels, no weights, the paper's) or "B" (1x1 convolution and batch norm).
        num_classes: outputs.
        in_channels: channels of the image.

    Raises:
        ArgumentError: on another depth or shortcut.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ArgumentError("no such CIFAR ResNet", found=f"depth {depth}", expected="6n + 2: 20, 32, 44, 56, 110 ...")
    if shortcut not in ("A", "B"):
        raise ArgumentError("no such shortcut", found=repr(shortcut), expected="'A' or 'B'")
    return CifarResNet((depth - 2) // 6, shortcut, num_classes, in_channels)
