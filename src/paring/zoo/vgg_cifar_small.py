"""The small VGG networks on which binary and ternary weights are compared, for 32x32 images.

VGG-7 is ``2x128C3 - MP2 - 2x256C3 - MP2 - 2x512C3 - MP2 - 1024FC - 10`` of Li, Zhang, Liu, "Ternary weight networks",
arXiv 1605.04711; with a second layer of 1024 it is the network of BinaryConnect (Courbariaux et al., NIPS 2015, arXiv
1511.00363) and of Binarized Neural Networks (arXiv 1602.02830), which train the last layer with a squared hinge loss.
"""

from __future__ import annotations

from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.zoo._blocks import init_he
from paring.zoo._registry import Card, register

WIDTHS = (128, 128, 256, 256, 512, 512)


class SmallVGG(nn.Module):
    """Six 3x3 convolutions in ``features``, each with batch norm and ReLU, a 2x2 max pool after every other one.

    Batch norm and ReLU follow each hidden layer of ``classifier`` too.
    """

    def __init__(
        self, width_mult: float, hidden: tuple[int, ...], num_classes: int, in_channels: int, resolution: int
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        channels = in_channels
        for number, width in enumerate(WIDTHS):
            out = max(1, round(width * width_mult))
            self.features.extend([nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()])
            if number % 2:
                self.features.append(nn.MaxPool2d(2))
            channels = out
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential()
        features = channels * (resolution // 8) ** 2
        for width in hidden:
            out = max(1, round(width * width_mult))
            self.classifier.extend([nn.Linear(features, out, bias=False), nn.BatchNorm1d(out), nn.ReLU()])
            features = out
        self.classifier.append(nn.Linear(features, num_classes))
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, resolution, resolution) -> (N, classes), no softmax."""
        return self.classifier(self.flatten(self.features(x)))


@register(
    "vgg7_cifar",
    card=Card(
        paper="Li, Zhang, Liu, Ternary weight networks, NIPS workshop 2016, arXiv 1605.04711",
        year=2016,
        parameters=12_979_082,
        macs=615.92e6,
        resolution=(32, 32),
        accuracy={
            "CIFAR-10 test %, float": (92.88, "the TWN paper"),
            "CIFAR-10 test %, ternary weights": (92.56, "the TWN paper"),
            "CIFAR-10 test %, binary weights": (90.18, "the TWN paper"),
        },
        traps=("not the 15 M VGG-16 of compression papers (vgg16_cifar)",),
    ),
)
@register(
    "vgg_small_cifar",
    card=Card(
        paper="Courbariaux, Bengio, David, BinaryConnect, NIPS 2015, arXiv 1511.00363",
        year=2015,
        parameters=14_029_706,
        macs=616.97e6,
        resolution=(32, 32),
        accuracy={
            "CIFAR-10 test %, float": (89.36, "the BinaryConnect paper, no regularizer"),
            "CIFAR-10 test %, binary weights": (90.10, "the BinaryConnect paper, deterministic"),
            "CIFAR-10 test %, stochastic binary weights": (91.73, "the BinaryConnect paper"),
        },
        traps=("float scores below binary weights here because nothing else regularizes it",),
    ),
    hidden=(1024, 1024),
)
def vgg_small(
    *,
    width_mult: float = 1.0,
    hidden: tuple[int, ...] = (1024,),
    num_classes: int = 10,
    in_channels: int = 3,
    resolution: int = 32,
) -> SmallVGG:
    """VGG-7, or with ``hidden=(1024, 1024)`` the BinaryConnect network.

    Args:
        width_mult: every layer's channels but the last are multiplied by it.
        hidden: widths of the fully connected layers before the last.
        num_classes: outputs.
        in_channels: channels of the image.
        resolution: side of the images in pixels, at least 8; the first fully connected layer depends on it.

    Raises:
        ArgumentError: on a width that is not positive or a resolution under 8.
    """
    if width_mult <= 0 or resolution < 8:
        raise ArgumentError("width or resolution is too small", found=(width_mult, resolution), expected="> 0, >= 8")
    return SmallVGG(width_mult, hidden, num_classes, in_channels, resolution)
