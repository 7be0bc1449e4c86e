"""BN-Inception: GoogLeNet with batch norm and two 3x3 convolutions for each 5x5.

Ioffe, Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate shift",
ICML 2015, arXiv 1502.03167.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from paring.zoo._blocks import Conv, ConvBN, Mixed, Step, init_he
from paring.zoo._registry import Card, register

PAPER = "Ioffe, Szegedy, Batch normalization, ICML 2015, arXiv 1502.03167"

#: The paper's figure 5: 1x1 | 3x3 reduce, 3x3 | double 3x3 reduce, double 3x3 | pool, projection (0: passed through).
TABLE = {
    "3a": (64, 64, 64, 64, 96, "avg", 32),
    "3b": (64, 64, 96, 64, 96, "avg", 64),
    "3c": (0, 128, 160, 64, 96, "max/2", 0),
    "4a": (224, 64, 96, 96, 128, "avg", 128),
    "4b": (192, 96, 128, 96, 128, "avg", 128),
    "4c": (160, 128, 160, 128, 160, "avg", 128),
    "4d": (96, 128, 192, 160, 192, "avg", 128),
    "4e": (0, 128, 192, 192, 256, "max/2", 0),
    "5a": (352, 192, 320, 160, 224, "avg", 128),
    "5b": (352, 192, 320, 192, 224, "max", 128),
}

#: Names of the widely used port: one flat list of convolutions and norms.
LAYOUTS = {
    "pretrained-models": (
        (r"conv1_7x7_s2_bn\.", "conv1.bn."),
        (r"conv1_7x7_s2\.", "conv1.conv."),
        (r"conv2_3x3_reduce_bn\.", "conv2_reduce.bn."),
        (r"conv2_3x3_reduce\.", "conv2_reduce.conv."),
        (r"conv2_3x3_bn\.", "conv2.bn."),
        (r"conv2_3x3\.", "conv2.conv."),
        (r"inception_(\d[a-e])_(\w+?)_bn\.", r"inception\1.c\2.bn."),
        (r"inception_(\d[a-e])_(\w+?)\.", r"inception\1.c\2.conv."),
        (r"last_linear\.", "fc."),
    ),
}


def _inception(name: str, channels: int) -> Mixed:
    one, reduce3, three, reduce_double, double, pool, projection = TABLE[name]
    stride = 2 if pool == "max/2" else 1
    pools = {
        "avg": nn.AvgPool2d(3, 1, 1),
        "max": nn.MaxPool2d(3, 1, 1),
        "max/2": nn.MaxPool2d(3, 2, ceil_mode=True),
    }
    branches: list[list[Step]] = [
        [Conv("c1x1", one, 1)],
        [Conv("c3x3_reduce", reduce3, 1), Conv("c3x3", three, 3, stride)],
        [
            Conv("cdouble_3x3_reduce", reduce_double, 1),
            Conv("cdouble_3x3_1", double, 3),
            Conv("cdouble_3x3_2", double, 3, stride),
        ],
        [pools[pool], *([Conv("cpool_proj", projection, 1)] if projection else [])],
    ]
    return Mixed(channels, *branches[0 if one else 1 :], unit=partial(ConvBN, eps=1e-5, bias=True))


class BNInception(nn.Module):
    """Stem, ten Inception modules, global average pool, one fully connected layer."""

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        unit = partial(ConvBN, eps=1e-5, bias=True)
        self.conv1 = unit(in_channels, 64, 7, 2)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2_reduce = unit(64, 64, 1)
        self.conv2 = unit(64, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        channels = 192
        for name in TABLE:
            module = _inception(name, channels)
            self.add_module(f"inception{name}", module)
            channels = module.channels
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, num_classes)
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv2(self.conv2_reduce(x)))
        for name in TABLE:
            x = self.get_submodule(f"inception{name}")(x)
        return self.fc(self.flatten(self.avgpool(x)))


@register(
    "bn_inception",
    card=Card(
        paper=PAPER,
        year=2015,
        parameters=11_295_240,
        macs=2032.60e6,
        accuracy={"ImageNet 2012 val top-1 %": (73.524, "Cadene, pretrained-models")},
        traps=(
            "the paper's table gives 4c and 4d a projection of 128 but an output of 576; 128 makes 608 channels",
            "convolutions keep biases in front of batch norm, as in the port whose weights circulate",
            "'Inception v2' of the later Inception v3 paper is another network",
        ),
    ),
)
def bn_inception(*, num_classes: int = 1000, in_channels: int = 3) -> BNInception:
    """BN-Inception with 608 channels behind 4c and 4d; any resolution from 33 pixels."""
    return BNInception(num_classes, in_channels)
