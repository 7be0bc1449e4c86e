"""VGG: stacks of 3x3 convolutions, with and without batch norm, and the small VGG-16 of compression papers.

Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, arXiv 1409.1556.
"""

from __future__ import annotations

from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.zoo._blocks import init_he
from paring.zoo._registry import Card, register

PAPER = "Simonyan, Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015, 1409.1556"
WIDTHS = (64, 128, 256, 512, 512)
#: Convolutions in each of the five blocks (table 1 of the paper: A, B, D, E).
BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

LAYOUTS = {"torchvision": (), "cifar": ((r"classifier\.(weight|bias)$", r"classifier.0.\1"),)}


class VGG(nn.Module):
    """``features`` (blocks of 3x3 convolutions, each ended by a 2x2 max pool) into ``classifier``.

    Args:
        features: the convolutions.
        classifier: the fully connected layers.
        side: the map is brought to this many rows and columns by adaptive average pooling (no change at 224 pixels).
    """

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential, side: int) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(side)
        self.flatten = nn.Flatten()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


def _features(depth: int, in_channels: int, batch_norm: bool) -> nn.Sequential:
    if depth not in BLOCKS:
        raise ArgumentError("no such VGG", found=f"depth {depth}", expected="11, 13, 16 or 19")
    layers: list[nn.Module] = []
    channels = in_channels
    for width, count in zip(WIDTHS, BLOCKS[depth], strict=True):
        for _ in range(count):
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            layers += [nn.BatchNorm2d(width), nn.ReLU()] if batch_norm else [nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _card(parameters: int, macs: float, top1: float, top5: float) -> Card:
    accuracy = {
        "ImageNet 2012 val top-1 %": (top1, "torchvision 0.29 metadata"),
        "ImageNet 2012 val top-5 %": (top5, "torchvision 0.29 metadata"),
    }
    traps = (
        "table 3 of the paper slides the network over the whole image: not a 224 center crop",
        "the network most CIFAR papers call VGG-16 is another one, of 15 M parameters: vgg16_cifar",
        "with batch norm the convolutions keep their biases here; some ports drop them",
    )
    return Card(paper=PAPER, year=2014, parameters=parameters, macs=macs, accuracy=accuracy, traps=traps)


@register("vgg11", card=_card(132_863_336, 7609.09e6, 69.020, 88.628), depth=11)
@register("vgg13", card=_card(133_047_848, 11308.47e6, 69.928, 89.246), depth=13)
@register("vgg16", card=_card(138_357_544, 15470.26e6, 71.592, 90.382), depth=16)
@register("vgg19", card=_card(143_667_240, 19632.06e6, 72.376, 90.876), depth=19)
@register("vgg11_bn", card=_card(132_868_840, 7609.09e6, 70.370, 89.810), depth=11, batch_norm=True)
@register("vgg13_bn", card=_card(133_053_736, 11308.47e6, 71.586, 90.374), depth=13, batch_norm=True)
@register("vgg16_bn", card=_card(138_365_992, 15470.26e6, 73.360, 91.516), depth=16, batch_norm=True)
@register("vgg19_bn", card=_card(143_678_248, 19632.06e6, 74.218, 91.842), depth=19, batch_norm=True)
def vgg(
    *,
    depth: int,
    batch_norm: bool = False,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.5,
) -> VGG:
    """VGG-11, 13, 16 or 19 in torchvision's layout; any resolution from 32 pixels, pooled to 7x7."""
    classifier = nn.Sequential(
        *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(dropout)),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout)),
        nn.Linear(4096, num_classes),
    )
    model = VGG(_features(depth, in_channels, batch_norm), classifier, side=7)
    init_he(model, linear_std=0.01)
    return model


@register(
    "vgg16_cifar",
    card=Card(
        paper=PAPER,
        year=2014,
        parameters=14_990_922,
        macs=313.46e6,
        resolution=(32, 32),
        accuracy={"CIFAR-10 test %": (93.5, "MIRACLE, table of the uncompressed network, 60 MB")},
        traps=(
            "compression papers call this VGG-16: 60 MB, one hidden layer of 512 where ImageNet's has two of 4096",
            "hidden=0 gives the other common form, with a single fully connected layer (14,728,266 parameters)",
        ),
    ),
)
def vgg_cifar(
    *,
    depth: int = 16,
    batch_norm: bool = True,
    hidden: int = 512,
    num_classes: int = 10,
    in_channels: int = 3,
    dropout: float = 0.5,
) -> VGG:
    """The small VGG of compression papers for 32x32 images: 512 features, one hidden layer.

    Args:
        depth: 11, 13, 16 or 19.
        batch_norm: after every convolution.
        hidden: width of the hidden layer, 0 for none.
        num_classes: outputs.
        in_channels: channels of the image.
        dropout: before the last layer, where there is a hidden one.
    """
    last = nn.Linear(hidden or 512, num_classes)
    head = [nn.Linear(512, hidden), nn.ReLU(), nn.Dropout(dropout), last] if hidden else [last]
    model = VGG(_features(depth, in_channels, batch_norm), nn.Sequential(*head), side=1)
    init_he(model, linear_std=0.01)
    return model
