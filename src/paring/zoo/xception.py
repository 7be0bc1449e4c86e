"""Xception: depthwise separable convolutions with residual connections.

Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017, arXiv 1610.02357.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from paring.zoo._blocks import init_he
from paring.zoo._registry import Card, register

PAPER = "Chollet, Xception: deep learning with depthwise separable convolutions, CVPR 2017, arXiv 1610.02357"

LAYOUTS = {"pretrained-models": ((r"last_linear\.", "fc."),)}


class SeparableConv(nn.Module):
    """Depthwise 3x3, then pointwise 1x1, nothing in between (a ReLU there costs accuracy: section 4.7)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.conv1(x))


class SamePool(nn.Module):
    """3x3/2 max pool that gives ceil(size / 2): "same" padding, which for even sizes pads behind only."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, (x.shape[2] % 2, x.shape[3] % 2), ceil_mode=True)


class Block(nn.Module):
    """(ReLU, separable convolution, batch norm) for each width, a pool where it strides, added to the shortcut.

    Args:
        channels: input channels.
        widths: output channels of each separable convolution.
        stride: 2 adds the pool and a 1x1/2 convolution with batch norm on the shortcut.
        relu_first: whether the first convolution has a ReLU in front.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], stride: int = 1, relu_first: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = channels
        for out in widths:
            layers += [nn.ReLU(), SeparableConv(width, out), nn.BatchNorm2d(out, eps=1e-3)]
            width = out
        layers = layers if relu_first else layers[1:]
        if stride == 2:
            layers.append(SamePool())
        self.rep = nn.Sequential(*layers)
        self.skip = nn.Conv2d(channels, width, 1, 2, bias=False) if stride == 2 else None
        self.skipbn = nn.BatchNorm2d(width, eps=1e-3) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.skip is None or self.skipbn is None else self.skipbn(self.skip(x))
        return self.rep(x) + shortcut


class Xception(nn.Module):
    """Entry flow (blocks 1 to 3), middle flow (4 to 11), exit flow (12), global pool, one linear layer (figure 5)."""

    def __init__(self, *, num_classes: int, in_channels: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 32, 3, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(32, eps=1e-3)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(64, eps=1e-3)
        self.relu2 = nn.ReLU()
        self.block1 = Block(64, (128, 128), 2, relu_first=False)
        self.block2 = Block(128, (256, 256), 2)
        self.block3 = Block(256, (728, 728), 2)
        for number in range(4, 12):
            self.add_module(f"block{number}", Block(728, (728, 728, 728)))
        self.block12 = Block(728, (728, 1024), 2)
        self.conv3 = SeparableConv(1024, 1536)
        self.bn3 = nn.BatchNorm2d(1536, eps=1e-3)
        self.relu3 = nn.ReLU()
        self.conv4 = SeparableConv(1536, 2048)
        self.bn4 = nn.BatchNorm2d(2048, eps=1e-3)
        self.relu4 = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        for number in range(1, 13):
            x = self.get_submodule(f"block{number}")(x)
        x = self.relu3(self.bn3(self.conv3(x)))
        x = self.relu4(self.bn4(self.conv4(x)))
        return self.fc(self.dropout(self.flatten(self.avgpool(x))))


@register(
    "xception",
    card=Card(
        paper=PAPER,
        year=2016,
        parameters=22_855_952,
        macs=8357.40e6,
        resolution=(299, 299),
        accuracy={
            "ImageNet 2012 val top-1 %": (79.0, "the paper, table 1"),
            "ImageNet 2012 val top-5 %": (94.5, "the paper, table 1"),
        },
        traps=(
            "Keras prints 22,910,480 because it counts running statistics",
            "pools pad as TensorFlow does (behind only, at even sizes); ports that pad both sides shift by a pixel",
            "no ReLU between depthwise and pointwise",
        ),
    ),
)
def xception(*, num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> Xception:
    """Xception; any resolution from 71 pixels or so."""
    return Xception(num_classes=num_classes, in_channels=in_channels, dropout=dropout)
