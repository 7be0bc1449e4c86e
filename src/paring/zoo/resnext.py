"""ResNeXt: the ResNet bottleneck with a grouped 3x3 convolution.

Xie, Girshick, Dollar, Tu, He, "Aggregated residual transformations for deep neural networks", CVPR 2017,
arXiv 1611.05431. ``C x d``: C groups (cardinality) of d channels each in the first stage.
"""

from __future__ import annotations

from paring.errors import ArgumentError
from paring.zoo._registry import Card, register
from paring.zoo.resnet import Bottleneck, ResNet

PAPER = "Xie et al., Aggregated residual transformations for deep neural networks, CVPR 2017, arXiv 1611.05431"

LAYOUTS = {"torchvision": ()}


def _card(parameters: int, macs: float, **accuracy: tuple[float, str]) -> Card:
    traps = (
        "more groups help at equal cost only: wider C needs smaller d",
        "the width of stage s is C x d x 2^s, not the 64 x 2^s of ResNet",
    )
    labels = {"top1": "ImageNet 2012 val top-1 %", "paper": "ImageNet 2012 val top-1 %, the paper's training"}
    shown = {labels[key]: value for key, value in accuracy.items()}
    return Card(paper=PAPER, year=2016, parameters=parameters, macs=macs, accuracy=shown, traps=traps)


TV = "torchvision 0.29 metadata"
RX = "the authors' repository"


@register(
    "resnext50_32x4d", card=_card(25_028_904, 4230.48e6, top1=(77.618, TV), paper=(77.8, RX)), depth=50, base_width=4
)
@register("resnext101_32x4d", card=_card(44_177_704, 7970.00e6, paper=(78.8, RX)), depth=101, base_width=4)
@register(
    "resnext101_64x4d",
    card=_card(83_455_272, 15_460.27e6, top1=(83.246, TV), paper=(79.6, RX)),
    depth=101,
    groups=64,
    base_width=4,
)
@register("resnext101_32x8d", card=_card(88_791_336, 16_414.02e6, top1=(79.312, TV)), depth=101, base_width=8)
def resnext(*, depth: int, groups: int = 32, base_width: int, num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNeXt-50 or 101 in torchvision's layout.

    Args:
        depth: 50 or 101.
        groups: cardinality C.
        base_width: channels per group d in the first stage.
        num_classes: outputs.
        in_channels: channels of the image.
    """
    counts = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
    if depth not in counts:
        raise ArgumentError("no such ResNeXt", found=f"depth {depth}", expected="50 or 101")
    return ResNet(
        Bottleneck,
        counts[depth],
        num_classes=num_classes,
        in_channels=in_channels,
        groups=groups,
        base_width=base_width,
    )
