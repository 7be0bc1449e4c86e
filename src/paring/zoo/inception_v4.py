"""Inception v4.

Szegedy, Ioffe, Vanhoucke, Alemi, "Inception-v4, Inception-ResNet and the impact of residual connections on learning",
AAAI 2017, arXiv 1602.07261. Every convolution is followed by batch norm (eps 1e-3) and ReLU.
"""

from __future__ import annotations

from torch import Tensor, nn

from paring.zoo._blocks import Conv, ConvBN, Mixed, init_he
from paring.zoo._registry import Card, register

PAPER = "Szegedy, Ioffe, Vanhoucke, Alemi, Inception-v4, Inception-ResNet ..., AAAI 2017, arXiv 1602.07261"

LAYOUTS = {"pretrained-models": ((r"last_linear\.", "fc."),)}

H, V = (1, 7), (7, 1)  # (height, width) of the factorized windows


def _average() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _maximum() -> nn.Module:
    return nn.MaxPool2d(3, 2)


def stem(in_channels: int) -> list[nn.Module]:
    """299x299 to 35x35x384 (figure 3)."""
    return [
        ConvBN(in_channels, 32, 3, 2, 0),
        ConvBN(32, 32, 3, 1, 0),
        ConvBN(32, 64, 3),
        Mixed(64, [_maximum()], [Conv("conv", 96, 3, 2, 0)]),
        Mixed(
            160,
            [Conv("branch0.0", 64, 1), Conv("branch0.1", 96, 3, 1, 0)],
            [
                Conv("branch1.0", 64, 1),
                Conv("branch1.1", 64, H),
                Conv("branch1.2", 64, V),
                Conv("branch1.3", 96, 3, 1, 0),
            ],
        ),
        Mixed(192, [Conv("conv", 192, 3, 2, 0)], [_maximum()]),
    ]


def module_a() -> Mixed:
    """35x35x384 (figure 4)."""
    return Mixed(
        384,
        [Conv("branch0", 96, 1)],
        [Conv("branch1.0", 64, 1), Conv("branch1.1", 96, 3)],
        [Conv("branch2.0", 64, 1), Conv("branch2.1", 96, 3), Conv("branch2.2", 96, 3)],
        [_average(), Conv("branch3.1", 96, 1)],
    )


def reduction_a() -> Mixed:
    """35x35x384 to 17x17x1024 (figure 7 with k, l, m, n = 192, 224, 256, 384)."""
    return Mixed(
        384,
        [Conv("branch0", 384, 3, 2, 0)],
        [Conv("branch1.0", 192, 1), Conv("branch1.1", 224, 3), Conv("branch1.2", 256, 3, 2, 0)],
        [_maximum()],
    )


def module_b() -> Mixed:
    """17x17x1024 (figure 5)."""
    return Mixed(
        1024,
        [Conv("branch0", 384, 1)],
        [Conv("branch1.0", 192, 1), Conv("branch1.1", 224, H), Conv("branch1.2", 256, V)],
        [
            Conv("branch2.0", 192, 1),
            Conv("branch2.1", 192, V),
            Conv("branch2.2", 224, H),
            Conv("branch2.3", 224, V),
            Conv("branch2.4", 256, H),
        ],
        [_average(), Conv("branch3.1", 128, 1)],
    )


def reduction_b() -> Mixed:
    """17x17x1024 to 8x8x1536 (figure 8)."""
    return Mixed(
        1024,
        [Conv("branch0.0", 192, 1), Conv("branch0.1", 192, 3, 2, 0)],
        [
            Conv("branch1.0", 256, 1),
            Conv("branch1.1", 256, H),
            Conv("branch1.2", 320, V),
            Conv("branch1.3", 320, 3, 2, 0),
        ],
        [_maximum()],
    )


def module_c() -> Mixed:
    """8x8x1536 (figure 6)."""
    return Mixed(
        1536,
        [Conv("branch0", 256, 1)],
        [Conv("branch1_0", 384, 1), (Conv("branch1_1a", 256, (1, 3)), Conv("branch1_1b", 256, (3, 1)))],
        [
            Conv("branch2_0", 384, 1),
            Conv("branch2_1", 448, (3, 1)),
            Conv("branch2_2", 512, (1, 3)),
            (Conv("branch2_3a", 256, (1, 3)), Conv("branch2_3b", 256, (3, 1))),
        ],
        [_average(), Conv("branch3.1", 256, 1)],
    )


class InceptionV4(nn.Module):
    """Stem, 4 x A, reduction, 7 x B, reduction, 3 x C, global average pool, one fully connected layer (figure 9)."""

    def __init__(self, *, num_classes: int, in_channels: int, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *stem(in_channels),
            *(module_a() for _ in range(4)),
            reduction_a(),
            *(module_b() for _ in range(7)),
            reduction_b(),
            *(module_c() for _ in range(3)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1536, num_classes)
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        return self.fc(self.dropout(self.flatten(self.avgpool(self.features(x)))))


@register(
    "inception_v4",
    card=Card(
        paper=PAPER,
        year=2016,
        parameters=42_679_816,
        macs=12253.97e6,
        resolution=(299, 299),
        accuracy={
            "ImageNet 2012 val top-1 %": (80.062, "Cadene, pretrained-models"),
            "ImageNet 2012 val top-5 %": (94.926, "Cadene, pretrained-models"),
        },
        traps=("average pools leave the padding out of the mean, as TensorFlow's do",),
    ),
)
def inception_v4(*, num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.2) -> InceptionV4:
    """Inception v4; any resolution from 75 pixels."""
    return InceptionV4(num_classes=num_classes, in_channels=in_channels, dropout=dropout)
