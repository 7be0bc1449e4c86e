"""Binary-Weight-Networks and XNOR-Net: AlexNet, ResNet-18, small VGG and LeNet-5 with binary inner layers.

Rastegari, Ordonez, Redmon, Farhadi, "XNOR-Net: ImageNet classification using binary convolutional neural networks",
ECCV 2016, arXiv 1603.05279. The arithmetic and the training rules are in :mod:`paring.layers`. The first and the last
layer stay real. Binary layers have no bias: the batch norm behind it, or in front of the next one, takes its place.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.layers import BinaryConv2d
from paring.zoo._blocks import init_he
from paring.zoo._registry import Card, register

PAPER = "Rastegari, Ordonez, Redmon, Farhadi, XNOR-Net, ECCV 2016, arXiv 1603.05279"
#: What a binary layer does with its input: nothing (Binary-Weight-Network), take its sign, or also scale by K.
INPUTS = ("real", "sign", "scaled")


class BinaryBlock(nn.Sequential):
    """One binary convolution with what surrounds it, in the order its inputs call for.

    - "real", C-B-A-P: binary weights on real inputs, batch norm, ReLU, pool.
    - "sign" and "scaled", B-A-C-P: batch norm, sign, convolution of signs, pool. Pooled before the
      sign, a map of maxima would be nearly all +1; the sign and K are inside the convolution.

    Args:
        channels: input channels.
        out: output channels.
        kernel: side of the window.
        stride: step of the window.
        padding: zeros around the map, or around the map of signs.
        inputs: "real", "sign" or "scaled".
        pool: at the end.
        relu: after the batch norm ("real").
    """

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        inputs: str,
        pool: nn.Module | None = None,
        relu: bool = True,
    ) -> None:
        super().__init__()
        conv = BinaryConv2d(channels, out, kernel, stride, padding, inputs=inputs)
        if inputs != "real":
            self.bn = nn.BatchNorm2d(channels, eps=1e-4)
            self.conv = conv
        else:
            self.conv = conv
            self.bn = nn.BatchNorm2d(out, eps=1e-3)
            if relu:
                self.relu = nn.ReLU()
        if pool is not None:
            self.pool = pool


class BinaryNet(nn.Module):
    """Real ``stem``, binary ``features`` and ``classifier``, real ``last``, mean over what places are left.

    Fully connected layers are convolutions, so that larger images give more places. Where binary blocks end in a
    convolution, a batch norm and a ReLU stand in front of the last layer.
    """

    def __init__(
        self, stem: nn.Sequential, features: list[nn.Module], classifier: list[nn.Module], last: nn.Conv2d, inputs: str
    ) -> None:
        super().__init__()
        self.stem = stem
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(*classifier)
        if inputs != "real":
            self.classifier.extend([nn.BatchNorm2d(last.in_channels, eps=1e-3), nn.ReLU()])
        self.last = last
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        x = self.last(self.classifier(self.features(self.stem(x))))
        return self.flatten(self.avgpool(x))


class BinaryBasicBlock(nn.Module):
    """ResNet-18's block of two binary 3x3 convolutions; shortcuts of type B, a real or binary 1x1 convolution."""

    def __init__(self, channels: int, out: int, stride: int, inputs: str, binary_shortcut: bool) -> None:
        super().__init__()
        self.conv1 = BinaryBlock(channels, out, 3, stride, 1, inputs=inputs)
        self.conv2 = BinaryBlock(out, out, 3, 1, 1, inputs=inputs, relu=False)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            self.downsample = (
                BinaryBlock(channels, out, 1, stride, inputs=inputs, relu=False)
                if binary_shortcut
                else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            )
        self.relu = nn.ReLU() if inputs == "real" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(x))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class BinaryResNet18(nn.Module):
    """Real 7x7/2 stem, eight binary blocks, global mean, real classifier."""

    def __init__(
        self,
        inputs: str,
        widths: list[int],
        binary_shortcut: bool,
        num_classes: int,
        in_channels: int,
    ) -> None:
        super().__init__()
        channels = widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.layers = nn.Sequential()
        for stage, out in enumerate(widths):
            for position in range(2):
                stride = 2 if stage and not position else 1
                self.layers.append(BinaryBasicBlock(channels, out, stride, inputs, binary_shortcut))
                channels = out
        # where blocks end in a convolution, the classifier needs a batch norm and a ReLU of its own
        self.tail = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU()) if inputs != "real" else nn.Identity()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, num_classes)
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        x = self.tail(self.layers(self.stem(x)))
        return self.fc(self.flatten(self.avgpool(x)))


_TRAPS = (
    "32 times smaller is against float32 with every layer binary; with the first and last real AlexNet shrinks 10.5x",
    "the authors' released code leaves K out (inputs='sign'); the paper puts K's worth under 1 point",
    "sign(0) = +1; zeros around the map of signs are zeros, neither sign",
    "with the usual order C-B-A-P instead of B-A-C-P XNOR-Net's AlexNet drops to 30.3 % top-1",
)


def _card(parameters: int, mmacs: float, accuracy: dict[str, float], side: int = 224, channels: int = 3) -> Card:
    return Card(
        paper=PAPER,
        year=2016,
        parameters=parameters,
        macs=mmacs * 1e6,
        resolution=(side, side),
        channels=channels,
        accuracy={label: (value, "the paper") for label, value in accuracy.items()},
        traps=_TRAPS,
    )


def _imagenet(top1: float, top5: float) -> dict[str, float]:
    return {"ImageNet 2012 val top-1 %": top1, "ImageNet 2012 val top-5 %": top5}


@register("bwn_alexnet", card=_card(62_386_912, 1135.26, _imagenet(56.8, 79.4)), inputs="real", dropout=0.1)
@register("xnor_net_alexnet", card=_card(62_387_104, 1135.26, _imagenet(44.2, 69.2)))
def binary_alexnet(
    *,
    inputs: str = "scaled",
    width_mult: float = 1.0,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.0,
) -> BinaryNet:
    """AlexNet as a Binary-Weight-Network or XNOR-Net, for images of at least 223 pixels.

    Args:
        inputs: "real" (Binary-Weight-Network), "sign" (XNOR-Net as the authors released it) or "scaled" (with K).
        width_mult: every layer's channels are multiplied by it.
        num_classes: outputs.
        in_channels: channels of the image.
        dropout: of whole channels, before the two layers of 4096; the authors use 0.1 for BWN and none for XNOR-Net.

    Raises:
        ArgumentError: on other inputs or a width that is not positive.
    """
    first, second, third, fourth, wide = _widths(inputs, width_mult, (96, 256, 384, 256, 4096))
    stem = nn.Sequential(
        nn.Conv2d(in_channels, first, 11, stride=4, padding=2, bias=False),
        nn.BatchNorm2d(first, eps=1e-3 if inputs == "real" else 1e-5),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    )
    features: list[nn.Module] = [
        BinaryBlock(first, second, 5, padding=2, pool=nn.MaxPool2d(3, stride=2), inputs=inputs),
        BinaryBlock(second, third, 3, padding=1, inputs=inputs),
        BinaryBlock(third, third, 3, padding=1, inputs=inputs),
        BinaryBlock(third, fourth, 3, padding=1, pool=nn.MaxPool2d(3, stride=2), inputs=inputs),
    ]
    fc6, fc7 = BinaryBlock(fourth, wide, 6, inputs=inputs), BinaryBlock(wide, wide, 1, inputs=inputs)
    classifier = [nn.Dropout2d(dropout), fc6, nn.Dropout2d(dropout), fc7]
    return BinaryNet(stem, features, classifier, nn.Conv2d(wide, num_classes, 1, bias=False), inputs)


@register("bwn_resnet18", card=_card(11_689_512, 1814.07, _imagenet(60.8, 83.0)), inputs="real")
@register("xnor_net_resnet18", card=_card(11_689_640, 1814.07, _imagenet(51.2, 73.2)))
def binary_resnet18(
    *,
    inputs: str = "scaled",
    width_mult: float = 1.0,
    binary_shortcut: bool = False,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> BinaryResNet18:
    """ResNet-18 as a Binary-Weight-Network or XNOR-Net, for images of any size.

    Args:
        inputs: "real" (Binary-Weight-Network), "sign" (XNOR-Net as the authors released it) or "scaled" (with K).
        width_mult: every layer's channels are multiplied by it.
        binary_shortcut: the 1x1 convolutions of the shortcuts too.
        num_classes: outputs.
        in_channels: channels of the image.

    Raises:
        ArgumentError: on other inputs or a width that is not positive.
    """
    return BinaryResNet18(
        inputs, _widths(inputs, width_mult, (64, 128, 256, 512)), binary_shortcut, num_classes, in_channels
    )


@register("bwn_vgg_small", card=_card(14_029_706, 616.97, {"CIFAR-10 test %": 90.12}, 32), inputs="real")
@register("xnor_net_vgg_small", card=_card(14_029_962, 616.97, {"CIFAR-10 test %": 89.83}, 32))
def binary_vgg_small(
    *,
    inputs: str = "scaled",
    width_mult: float = 1.0,
    num_classes: int = 10,
    in_channels: int = 3,
) -> BinaryNet:
    """The BinaryConnect network for 32x32 images as a Binary-Weight-Network or XNOR-Net.

    Args:
        inputs: "real" (Binary-Weight-Network), "sign" (XNOR-Net as the authors released it) or "scaled" (with K).
        width_mult: every layer's channels are multiplied by it.
        num_classes: outputs.
        in_channels: channels of the image.

    Raises:
        ArgumentError: on other inputs or a width that is not positive.
    """
    widths = _widths(inputs, width_mult, (128, 128, 256, 256, 512, 512, 1024))
    first = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
    stem = nn.Sequential(first, nn.BatchNorm2d(widths[0]), nn.ReLU())
    features: list[nn.Module] = []
    for number in range(1, 6):
        pool = nn.MaxPool2d(2) if number % 2 else None
        features.append(BinaryBlock(widths[number - 1], widths[number], 3, padding=1, pool=pool, inputs=inputs))
    fc1, fc2 = BinaryBlock(widths[5], widths[6], 4, inputs=inputs), BinaryBlock(widths[6], widths[6], 1, inputs=inputs)
    return BinaryNet(stem, features, [fc1, fc2], nn.Conv2d(widths[6], num_classes, 1), inputs)


#: The paper has no LeNet; XNOR-Net's is a PyTorch port's of the authors' code, of signs without K.
_PORT = {"MNIST test %": (99.23, "XNOR-Net-PyTorch, README")}


@register("bwn_lenet_5", card=_card(431_650, 2.29, {}, 28, 1), inputs="real")
@register("xnor_net_lenet_5", card=replace(_card(431_690, 2.29, {}, 28, 1), accuracy=_PORT))
def binary_lenet_5(
    *,
    inputs: str = "scaled",
    width_mult: float = 1.0,
    num_classes: int = 10,
    in_channels: int = 1,
) -> BinaryNet:
    """Caffe's LeNet-5 for 28x28 images with its second and third layer binary: one to try things on.

    Args:
        inputs: "real" (Binary-Weight-Network), "sign" (XNOR-Net as the authors released it) or "scaled" (with K).
        width_mult: every layer's channels are multiplied by it.
        num_classes: outputs.
        in_channels: channels of the image.

    Raises:
        ArgumentError: on other inputs or a width that is not positive.
    """
    first, second, wide = _widths(inputs, width_mult, (20, 50, 500))
    conv = nn.Conv2d(in_channels, first, 5, bias=False)
    stem = nn.Sequential(conv, nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(2))
    features: list[nn.Module] = [BinaryBlock(first, second, 5, pool=nn.MaxPool2d(2), inputs=inputs)]
    fc1 = BinaryBlock(second, wide, 4, inputs=inputs)
    return BinaryNet(stem, features, [fc1], nn.Conv2d(wide, num_classes, 1), inputs)


def _widths(inputs: str, width_mult: float, channels: tuple[int, ...]) -> list[int]:
    """Channels times the multiplier, at least 1, once both arguments are found to be possible."""
    if inputs not in INPUTS:
        raise ArgumentError("unknown kind of inputs", found=repr(inputs), expected=" or ".join(INPUTS))
    if width_mult <= 0:
        raise ArgumentError("width is not positive", found=width_mult)
    return [max(1, round(count * width_mult)) for count in channels]
