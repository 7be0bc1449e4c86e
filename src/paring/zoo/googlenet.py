"""GoogLeNet (Inception v1): the paper's network with 5x5 branches, and torchvision's with 3x3 and batch norm.

Szegedy et al., "Going deeper with convolutions", CVPR 2015, arXiv 1409.4842.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from paring.layers import LocalResponseNorm
from paring.zoo._blocks import Conv, ConvBN, ConvReLU, Mixed, ToSymmetricRange, init_he
from paring.zoo._registry import Card, register

PAPER = "Szegedy et al., Going deeper with convolutions, CVPR 2015, arXiv 1409.4842"

#: Table 1: 1x1 | 3x3 reduce, 3x3 | 5x5 reduce, 5x5 | pool projection.
TABLE = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

LAYOUTS = {"torchvision": ()}
#: Parts only training uses: a checkpoint may carry them although the network was built without.
TRAINING_ONLY = r"aux[12]\."


class GoogLeNetOutput(NamedTuple):
    """What the network gives in training mode with auxiliary heads; the paper adds 0.3 of each head's loss."""

    logits: Tensor
    aux1: Tensor
    aux2: Tensor


class AuxiliaryHead(nn.Module):
    """4x4 average pool, 1x1 convolution to 128, two fully connected layers: (N, channels, 14, 14) -> (N, classes)."""

    def __init__(self, channels: int, num_classes: int, batch_norm: bool) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4) if batch_norm else nn.AvgPool2d(5, 3)
        self.conv = (ConvBN if batch_norm else ConvReLU)(channels, 128, 1)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(2048, 1024)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.flatten(self.conv(self.pool(x)))
        return self.fc2(self.dropout(self.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """Stem, nine Inception modules, global average pool, one fully connected layer. Arguments: :func:`googlenet`."""

    inception3a: Mixed
    inception3b: Mixed
    inception4a: Mixed
    inception4b: Mixed
    inception4c: Mixed
    inception4d: Mixed
    inception4e: Mixed
    inception5a: Mixed
    inception5b: Mixed

    def __init__(
        self,
        *,
        batch_norm: bool,
        large: int,
        aux: bool,
        num_classes: int,
        in_channels: int,
        dropout: float,
        transform_input: bool,
    ) -> None:
        super().__init__()
        unit = ConvBN if batch_norm else ConvReLU

        def norm() -> nn.Module:
            return nn.Identity() if batch_norm else LocalResponseNorm()

        def inception(name: str, channels: int) -> Mixed:
            one, reduce3, three, reduce5, five, projection = TABLE[name]
            return Mixed(
                channels,
                [Conv("branch1", one, 1)],
                [Conv("branch2.0", reduce3, 1), Conv("branch2.1", three, 3)],
                [Conv("branch3.0", reduce5, 1), Conv("branch3.1", five, large)],
                [nn.MaxPool2d(3, 1, 1), Conv("branch4.1", projection, 1)],
                unit=unit,
            )

        self.transform = ToSymmetricRange() if transform_input else nn.Identity()
        self.conv1 = unit(in_channels, 64, 7, 2)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm1 = norm()
        self.conv2 = unit(64, 64, 1)
        self.conv3 = unit(64, 192, 3)
        self.norm2 = norm()
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        channels = 192
        for name in TABLE:
            module = inception(name, channels)
            self.add_module(f"inception{name}", module)
            channels = module.channels
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2 if batch_norm else 3, 2, ceil_mode=True)
        self.aux1 = AuxiliaryHead(512, num_classes, batch_norm) if aux else None
        self.aux2 = AuxiliaryHead(528, num_classes, batch_norm) if aux else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        init_he(self, linear_std=0.01)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutput:
        """(N, channels, H, W) -> (N, classes), no softmax; a :class:`GoogLeNetOutput` in training with heads."""
        x = self.maxpool1(self.conv1(self.transform(x)))
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(self.norm1(x)))))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = after_4a = self.inception4a(x)
        x = after_4d = self.inception4d(self.inception4c(self.inception4b(x)))
        x = self.maxpool4(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))
        logits = self.fc(self.dropout(self.flatten(self.avgpool(x))))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return GoogLeNetOutput(logits, self.aux1(after_4a), self.aux2(after_4d))
        return logits


@register(
    "googlenet",
    card=Card(
        paper=PAPER,
        year=2014,
        parameters=6_624_904,
        macs=1498.38e6,
        accuracy={
            "ImageNet 2012 val top-1 %": (69.778, "torchvision 0.29 metadata"),
            "ImageNet 2012 val top-5 %": (89.530, "torchvision 0.29 metadata"),
        },
        traps=(
            "torchvision's 5x5 branch is a 3x3, kept for its weights; the paper's network is googlenet_paper",
            "torchvision's weights expect transform_input=True when images are normalized by ImageNet's mean and std",
        ),
    ),
)
@register(
    "googlenet_paper",
    card=Card(
        paper=PAPER,
        year=2014,
        parameters=6_998_552,
        macs=1582.67e6,
        accuracy={
            "ImageNet 2012 val top-1 %": (68.7, "Caffe, bvlc_googlenet, center crop"),
            "ImageNet 2012 val top-5 %": (88.9, "Caffe, bvlc_googlenet, center crop"),
        },
        traps=(
            "the 6.8 M of the literature adds up the paper's rounded column; with biases it is 6,998,552",
            "two auxiliary heads in training bring 13,378,280 parameters: aux=True",
        ),
    ),
    batch_norm=False,
    large=5,
    dropout=0.4,
)
def googlenet(
    *,
    batch_norm: bool = True,
    large: int = 3,
    aux: bool = False,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.2,
    transform_input: bool = False,
) -> GoogLeNet:
    """GoogLeNet; any resolution from 64 pixels or so without auxiliary heads.

    Args:
        batch_norm: batch norm (eps 1e-3) in place of biases and LRN, and torchvision's 2x2 pool before 5a.
        large: window of the third branch: 5 in the paper, 3 in torchvision.
        aux: build the two auxiliary heads, used in training mode only.
        num_classes: outputs.
        in_channels: channels of the image.
        dropout: before the last layer.
        transform_input: take images normalized by ImageNet's mean and deviation to [-1, 1] first.
    """
    return GoogLeNet(
        batch_norm=batch_norm,
        large=large,
        aux=aux,
        num_classes=num_classes,
        in_channels=in_channels,
        dropout=dropout,
        transform_input=transform_input,
    )
