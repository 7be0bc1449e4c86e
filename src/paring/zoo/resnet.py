"""ResNet for ImageNet: 18, 34, 50, 101 and 152 layers, and the network class ResNeXt shares.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, arXiv 1512.03385.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.zoo._blocks import init_he
from paring.zoo._registry import Card, register

PAPER = "He, Zhang, Ren, Sun, Deep residual learning for image recognition, CVPR 2016, arXiv 1512.03385"

LAYOUTS = {"torchvision": ()}


class BasicBlock(nn.Module):
    """``relu(x + bn(conv3x3(relu(bn(conv3x3(x))))))`` (figure 5, left). The first convolution strides."""

    expansion: ClassVar[int] = 1

    def __init__(self, channels: int, planes: int, stride: int, **_: object) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = projection(channels, planes, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu2(y + shortcut)


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up, added to the input (figure 5, right); grouped 3x3 in ResNeXt.

    Args:
        channels: input channels.
        planes: 64, 128, 256 or 512 by stage; the block puts out four times as many.
        stride: step of the block.
        stride_in: "3x3" (torchvision, fb.resnet.torch) or "1x1" (the paper): which convolution strides.
        groups: cardinality of the 3x3.
        base_width: channels per group in the first stage, times 64 / 64.
    """

    expansion: ClassVar[int] = 4

    def __init__(
        self, channels: int, planes: int, stride: int, *, stride_in: str = "3x3", groups: int = 1, base_width: int = 64
    ) -> None:
        super().__init__()
        width = int(planes * base_width / 64) * groups
        first, second = (1, stride) if stride_in == "3x3" else (stride, 1)
        self.conv1 = nn.Conv2d(channels, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.downsample = projection(channels, planes * 4, stride)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu3(y + shortcut)


def projection(channels: int, out: int, stride: int) -> nn.Sequential | None:
    """Option B: a 1x1 convolution and batch norm where the shape changes, the identity (None) elsewhere."""
    if stride == 1 and channels == out:
        return None
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class ResNet(nn.Module):
    """7x7/2 convolution, 3x3/2 max pool, four stages of blocks, global average pool, one fully connected layer."""

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        counts: Sequence[int],
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        **options: object,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for stage, count in enumerate(counts):
            planes, blocks = 64 << stage, []
            for position in range(count):
                stride = 2 if stage and not position else 1
                blocks.append(block(channels, planes, stride, **options))  # type: ignore[arg-type]
                channels = planes * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, num_classes)
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.flatten(self.avgpool(x)))


def _card(parameters: int, macs: float, top1: float, top5: float, *traps: str) -> Card:
    return Card(
        paper=PAPER,
        year=2015,
        parameters=parameters,
        macs=macs,
        accuracy={
            "ImageNet 2012 val top-1 %": (top1, "torchvision 0.29 metadata, first weights"),
            "ImageNet 2012 val top-5 %": (top5, "torchvision 0.29 metadata, first weights"),
        },
        traps=(*traps, "zero-initialized last scales are a later recipe, not the paper's"),
    )


STRIDE = (
    "the stride sits in the 3x3 as in torchvision; the paper puts it in the first 1x1: stride_in='1x1', 0.23 G less"
)
SMALL = (
    "torchvision's ResNet-18 fitted to CIFAR is another network (11 M) than the paper's CIFAR ResNets (resnet20 ...)"
)


@register("resnet18", card=_card(11_689_512, 1814.07e6, 69.758, 89.078, SMALL), depth=18)
@register("resnet34", card=_card(21_797_672, 3663.76e6, 73.314, 91.420), depth=34)
@register("resnet50", card=_card(25_557_032, 4089.18e6, 76.130, 92.862, STRIDE), depth=50)
@register("resnet101", card=_card(44_549_160, 7801.41e6, 77.374, 93.546, STRIDE), depth=101)
@register("resnet152", card=_card(60_192_808, 11513.63e6, 78.312, 94.046, STRIDE), depth=152)
def resnet(*, depth: int, stride_in: str = "3x3", num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-18, 34 (basic blocks), 50, 101 or 152 (bottlenecks) in torchvision's layout.

    Args:
        depth: number of layers with weights.
        stride_in: "3x3" as torchvision, "1x1" as the paper; bottlenecks only.
        num_classes: outputs.
        in_channels: channels of the image.

    Raises:
        ArgumentError: on another depth or place of the stride.
    """
    counts = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
    if depth not in counts:
        raise ArgumentError("no such ResNet", found=f"depth {depth}", expected="18, 34, 50, 101 or 152")
    if stride_in not in ("1x1", "3x3"):
        raise ArgumentError("no such place for the stride", found=repr(stride_in), expected="'1x1' or '3x3'")
    block: type[BasicBlock] | type[Bottleneck] = BasicBlock if depth < 50 else Bottleneck
    return ResNet(block, counts[depth], num_classes=num_classes, in_channels=in_channels, stride_in=stride_in)
