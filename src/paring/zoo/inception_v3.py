"""Inception v3, torchvision's layout.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception architecture for computer vision", CVPR 2016,
arXiv 1512.00567. Every convolution is followed by batch norm (eps 1e-3) and ReLU.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from paring.zoo._blocks import Conv, ConvBN, Mixed, ToSymmetricRange, init_he
from paring.zoo._registry import Card, register

PAPER = "Szegedy et al., Rethinking the Inception architecture for computer vision, CVPR 2016, arXiv 1512.00567"

LAYOUTS = {"torchvision": ()}
#: Parts only training uses: a checkpoint may carry them although the network was built without.
TRAINING_ONLY = r"AuxLogits\."

H, V = (1, 7), (7, 1)  # (height, width) of the factorized windows


class InceptionOutput(NamedTuple):
    """What the network gives in training mode with the auxiliary head."""

    logits: Tensor
    aux: Tensor


def _same() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1)


def module_a(channels: int, projection: int) -> Mixed:
    """35x35 (figure 5): 1x1 | 5x5 | two 3x3 | average pool."""
    return Mixed(
        channels,
        [Conv("branch1x1", 64, 1)],
        [Conv("branch5x5_1", 48, 1), Conv("branch5x5_2", 64, 5)],
        [Conv("branch3x3dbl_1", 64, 1), Conv("branch3x3dbl_2", 96, 3), Conv("branch3x3dbl_3", 96, 3)],
        [_same(), Conv("branch_pool", projection, 1)],
    )


def reduction_b(channels: int) -> Mixed:
    """35x35 to 17x17 (figure 10)."""
    return Mixed(
        channels,
        [Conv("branch3x3", 384, 3, 2, 0)],
        [Conv("branch3x3dbl_1", 64, 1), Conv("branch3x3dbl_2", 96, 3), Conv("branch3x3dbl_3", 96, 3, 2, 0)],
        [nn.MaxPool2d(3, 2)],
    )


def module_c(channels: int, c: int) -> Mixed:
    """17x17 (figure 6, n = 7): 7x7 windows factorized into 1x7 and 7x1."""
    return Mixed(
        channels,
        [Conv("branch1x1", 192, 1)],
        [Conv("branch7x7_1", c, 1), Conv("branch7x7_2", c, H), Conv("branch7x7_3", 192, V)],
        [
            Conv("branch7x7dbl_1", c, 1),
            Conv("branch7x7dbl_2", c, V),
            Conv("branch7x7dbl_3", c, H),
            Conv("branch7x7dbl_4", c, V),
            Conv("branch7x7dbl_5", 192, H),
        ],
        [_same(), Conv("branch_pool", 192, 1)],
    )


def reduction_d(channels: int) -> Mixed:
    """17x17 to 8x8."""
    return Mixed(
        channels,
        [Conv("branch3x3_1", 192, 1), Conv("branch3x3_2", 320, 3, 2, 0)],
        [
            Conv("branch7x7x3_1", 192, 1),
            Conv("branch7x7x3_2", 192, H),
            Conv("branch7x7x3_3", 192, V),
            Conv("branch7x7x3_4", 192, 3, 2, 0),
        ],
        [nn.MaxPool2d(3, 2)],
    )


def module_e(channels: int) -> Mixed:
    """8x8 (figure 7): 3x3 windows split side by side into 1x3 and 3x1."""
    return Mixed(
        channels,
        [Conv("branch1x1", 320, 1)],
        [Conv("branch3x3_1", 384, 1), (Conv("branch3x3_2a", 384, (1, 3)), Conv("branch3x3_2b", 384, (3, 1)))],
        [
            Conv("branch3x3dbl_1", 448, 1),
            Conv("branch3x3dbl_2", 384, 3),
            (Conv("branch3x3dbl_3a", 384, (1, 3)), Conv("branch3x3dbl_3b", 384, (3, 1))),
        ],
        [_same(), Conv("branch_pool", 192, 1)],
    )


class AuxiliaryHead(nn.Module):
    """5x5/3 average pool, 1x1 to 128, 5x5 to 768, fully connected: (N, 768, 17, 17) -> (N, classes)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, 3)
        self.conv0 = ConvBN(channels, 128, 1)
        self.conv1 = ConvBN(128, 768, 5, padding=0)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.flatten(self.avgpool(self.conv1(self.conv0(self.pool(x))))))


class InceptionV3(nn.Module):
    """Stem, eleven Inception modules, global average pool, one fully connected layer."""

    def __init__(self, *, aux: bool, num_classes: int, in_channels: int, dropout: float, transform_input: bool) -> None:
        super().__init__()
        self.transform = ToSymmetricRange() if transform_input else nn.Identity()
        self.Conv2d_1a_3x3 = ConvBN(in_channels, 32, 3, 2, 0)
        self.Conv2d_2a_3x3 = ConvBN(32, 32, 3, padding=0)
        self.Conv2d_2b_3x3 = ConvBN(32, 64, 3)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = ConvBN(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvBN(80, 192, 3, padding=0)
        self.maxpool2 = nn.MaxPool2d(3, 2)
        self.Mixed_5b = module_a(192, 32)
        self.Mixed_5c = module_a(256, 64)
        self.Mixed_5d = module_a(288, 64)
        self.Mixed_6a = reduction_b(288)
        self.Mixed_6b = module_c(768, 128)
        self.Mixed_6c = module_c(768, 160)
        self.Mixed_6d = module_c(768, 160)
        self.Mixed_6e = module_c(768, 192)
        self.AuxLogits = AuxiliaryHead(768, num_classes) if aux else None
        self.Mixed_7a = reduction_d(768)
        self.Mixed_7b = module_e(1280)
        self.Mixed_7c = module_e(2048)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        init_he(self)

    def forward(self, x: Tensor) -> Tensor | InceptionOutput:
        """(N, channels, H, W) -> (N, classes), no softmax; an :class:`InceptionOutput` in training with the head."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(self.transform(x))))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        before_7a = x
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        logits = self.fc(self.dropout(self.flatten(self.avgpool(x))))
        if self.training and self.AuxLogits is not None:
            return InceptionOutput(logits, self.AuxLogits(before_7a))
        return logits


@register(
    "inception_v3",
    card=Card(
        paper=PAPER,
        year=2015,
        parameters=23_834_568,
        macs=5713.22e6,
        resolution=(299, 299),
        accuracy={
            "ImageNet 2012 val top-1 %": (77.294, "torchvision 0.29 metadata"),
            "ImageNet 2012 val top-5 %": (93.450, "torchvision 0.29 metadata"),
        },
        traps=(
            "the paper prints 4.8 G multiply-accumulates; the network that was released takes 5.71 G",
            "the paper's table 1 describes its Inception v2, not this network",
            "with the auxiliary head 27,161,264 parameters: aux=True",
            "torchvision's weights expect transform_input=True when images are normalized by ImageNet's mean and std",
        ),
    ),
)
def inception_v3(
    *,
    aux: bool = False,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.5,
    transform_input: bool = False,
) -> InceptionV3:
    """Inception v3; any resolution from 75 pixels (299 with the auxiliary head).

    Args:
        aux: build the auxiliary head behind Mixed_6e, used in training mode only.
        num_classes: outputs.
        in_channels: channels of the image.
        dropout: before the last layer.
        transform_input: take images normalized by ImageNet's mean and deviation to [-1, 1] first.
    """
    return InceptionV3(
        aux=aux, num_classes=num_classes, in_channels=in_channels, dropout=dropout, transform_input=transform_input
    )
