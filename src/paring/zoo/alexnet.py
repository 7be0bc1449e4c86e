"""AlexNet: the two-group network of 2012, its ungrouped form, CaffeNet, and torchvision's of 2014.

Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012;
Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014, arXiv 1404.5997.
"""

from __future__ import annotations

from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.layers import LocalResponseNorm
from paring.zoo._registry import Card, register

PAPER = "Krizhevsky, Sutskever, Hinton, ImageNet classification with deep convolutional neural networks, NIPS 2012"
WEIRD_TRICK = "Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014, arXiv 1404.5997"
WHICH = "three networks go by this name: 60.97 M parameters (groups), 62.38 M (no groups), 61.10 M (torchvision)"

#: Layouts `load_weights` reads besides our own: patterns and what they become, first match wins.
LAYOUTS = {
    "torchvision": (),
    "caffe": tuple(
        (rf"{name}\.", f"{ours}.")
        for name, ours in {
            "conv1": "features.conv1",
            "conv2": "features.conv2",
            "conv3": "features.conv3",
            "conv4": "features.conv4",
            "conv5": "features.conv5",
            "fc6": "classifier.fc6",
            "fc7": "classifier.fc7",
            "fc8": "classifier.fc8",
        }.items()
    ),
}


class AlexNet(nn.Module):
    """``features`` (convolutions and pools), flattened, into ``classifier`` (fully connected layers)."""

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential, avgpool: nn.Module | None = None) -> None:
        super().__init__()
        self.features = features
        self.avgpool = avgpool
        self.flatten = nn.Flatten()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        x = self.features(x)
        if self.avgpool is not None:
            x = self.avgpool(x)
        return self.classifier(self.flatten(x))


@register(
    "alexnet_grouped",
    card=Card(
        paper=PAPER,
        year=2012,
        parameters=60_965_224,
        macs=724.41e6,
        accuracy={
            "ImageNet 2012 val top-1 %": (59.3, "the paper, 10 crops"),
            "ImageNet 2012 val top-1 %, center crop": (57.1, "Caffe, bvlc_alexnet"),
        },
        traps=(
            WHICH,
            "the paper's text says 224 pixels, but maps of 55x55 take 227 without padding or 224 with padding 2",
            "Caffe's trained weights want LRN with k = 1 and alpha / n, not the paper's k = 2 and alpha",
        ),
    ),
)
@register(
    "alexnet_ungrouped",
    card=Card(
        paper=PAPER,
        year=2012,
        parameters=62_378_344,
        macs=1135.26e6,
        traps=(WHICH, "the body of XNOR-Net's AlexNet; the tables of pruning papers fit the two-group network only"),
    ),
    groups=1,
)
@register(
    "alexnet_caffenet",
    card=Card(
        paper=PAPER,
        year=2012,
        parameters=60_965_224,
        macs=724.41e6,
        accuracy={"ImageNet 2012 val top-1 %": (57.4, "Caffe, bvlc_reference_caffenet, center crop")},
        traps=(WHICH, "pools before it normalizes, with k = 1 and alpha / n, unlike the paper"),
    ),
    pool_first=True,
    lrn="caffe",
)
def alexnet_paper(
    *,
    groups: int = 2,
    pool_first: bool = False,
    lrn: str = "paper",
    num_classes: int = 1000,
    in_channels: int = 3,
    resolution: int = 224,
    dropout: float = 0.5,
) -> AlexNet:
    """AlexNet as the 2012 paper draws it; 227 pixels without padding, anything else with padding 2.

    Args:
        groups: of conv2, conv4 and conv5: 2 as on the paper's two GPUs, 1 for the ungrouped network.
        pool_first: pool before normalizing (CaffeNet) instead of after (the paper).
        lrn: "paper" (k = 2, alpha) or "caffe" (k = 1, alpha / n).
        num_classes: outputs.
        in_channels: channels of the image.
        resolution: side of the image; fc6 depends on it.
        dropout: before fc7 and fc8.
    """
    padding = 0 if resolution == 227 else 2
    side = _pooled((resolution + 2 * padding - 11) // 4 + 1, 3)
    if side < 1:
        raise ArgumentError("image is too small for AlexNet", found=f"resolution {resolution}", expected="67 or more")
    layers = nn.Sequential()

    def convolution(number: int, channels: int, out: int, kernel: int, groups: int = 1) -> None:
        conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2, groups=groups)
        layers.add_module(f"conv{number}", conv)
        layers.add_module(f"relu{number}", nn.ReLU())

    def pool_and_norm(number: int) -> None:
        pool = (f"pool{number}", nn.MaxPool2d(3, 2))
        norm = (f"norm{number}", LocalResponseNorm(k=2.0 if lrn == "paper" else 1.0, convention=lrn))
        for name, module in (pool, norm) if pool_first else (norm, pool):
            layers.add_module(name, module)

    layers.add_module("conv1", nn.Conv2d(in_channels, 96, 11, stride=4, padding=padding))
    layers.add_module("relu1", nn.ReLU())
    pool_and_norm(1)
    convolution(2, 96, 256, 5, groups)
    pool_and_norm(2)
    convolution(3, 256, 384, 3)
    convolution(4, 384, 384, 3, groups)
    convolution(5, 384, 256, 3, groups)
    layers.add_module("pool5", nn.MaxPool2d(3, 2))

    classifier = nn.Sequential()
    for number, (channels, out) in enumerate([(256 * side * side, 4096), (4096, 4096)], start=6):
        classifier.add_module(f"fc{number}", nn.Linear(channels, out))
        classifier.add_module(f"relu{number}", nn.ReLU())
        classifier.add_module(f"drop{number}", nn.Dropout(dropout))
    classifier.add_module("fc8", nn.Linear(4096, num_classes))
    return AlexNet(layers, classifier)


def _pooled(side: int, times: int) -> int:
    for _ in range(times):
        side = (side - 3) // 2 + 1
    return side


@register(
    "alexnet",
    card=Card(
        paper=WEIRD_TRICK,
        year=2014,
        parameters=61_100_840,
        macs=714.19e6,
        accuracy={
            "ImageNet 2012 val top-1 %": (56.522, "torchvision 0.29 metadata"),
            "ImageNet 2012 val top-5 %": (79.066, "torchvision 0.29 metadata"),
        },
        traps=(WHICH, "64-192-384-256-256 channels, no groups, no LRN, dropout in front of fc6 and fc7"),
    ),
)
def alexnet(*, num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> AlexNet:
    """torchvision's AlexNet (the single column of 2014); any resolution from 63 pixels, pooled to 6x6."""
    features = nn.Sequential(
        *(nn.Conv2d(in_channels, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    classifier = nn.Sequential(
        *(nn.Dropout(dropout), nn.Linear(256 * 6 * 6, 4096), nn.ReLU()),
        *(nn.Dropout(dropout), nn.Linear(4096, 4096), nn.ReLU()),
        nn.Linear(4096, num_classes),
    )
    return AlexNet(features, classifier, nn.AdaptiveAvgPool2d(6))
