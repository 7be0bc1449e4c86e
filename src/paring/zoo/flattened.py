"""Flattened networks: every 3-D filter as three 1-D filters in a row.

Jin, Dundar, Culurciello, "Flattened convolutional neural networks for feedforward acceleration", ICLR 2015 workshop,
arXiv 1412.5474.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.zoo._registry import Card, register

PAPER = "Jin, Dundar, Culurciello, Flattened CNNs for feedforward acceleration, ICLR 2015 workshop, arXiv 1412.5474"

#: Channels of the three 5x5 layers.
WIDTHS = (96, 128, 256)


class FlattenedConv2d(nn.Sequential):
    """A k x k convolution as ``stages`` of lateral (1x1), vertical (k x 1) and horizontal (1 x k) convolutions.

    The lateral one mixes the channels, the other two stay in theirs; a bias follows each, no activation in between.
    A stage costs ``H W (C F + 2 F k)`` MACs and ``F (C + 2 k)`` weights, against ``H W C F k^2`` and ``C F k^2``.
    One stage is exactly a dense convolution with rank-1 filters ``L[f, c] V[f, i] H[f, j]``, which stages after it
    widen. Each stage sees (k - 1) / 2 further.

    Args:
        channels: input channels C.
        out: output channels F.
        kernel: k, odd; the map keeps its size.
        stages: 2 in the paper; its answer to what one stage cannot express.

    Raises:
        ArgumentError: on an even kernel or no stage.
    """

    def __init__(self, channels: int, out: int, kernel: int, stages: int = 2) -> None:
        super().__init__()
        if kernel % 2 == 0 or stages < 1:
            raise ArgumentError("kernel is even or there is no stage", found=(kernel, stages))
        for stage in range(stages):
            chain = nn.Sequential()
            chain.add_module("lateral", nn.Conv2d(channels if stage == 0 else out, out, 1))
            chain.add_module("vertical", nn.Conv2d(out, out, (kernel, 1), padding=(kernel // 2, 0), groups=out))
            chain.add_module("horizontal", nn.Conv2d(out, out, (1, kernel), padding=(0, kernel // 2), groups=out))
            self.append(chain)

    @torch.no_grad()
    def dense_weight(self, stage: int = 0) -> Tensor:
        """The (F, C, k, k) filters one stage amounts to, its biases aside."""
        chain = self[stage]
        lateral, vertical, horizontal = (conv.weight for conv in _convs(chain))
        return lateral * (vertical * horizontal.view(-1, 1, 1, horizontal.shape[-1]))


class FlattenedNet(nn.Module):
    """Three 5x5 layers with ReLU, each pooled 3x3/2, global mean, linear classifier."""

    def __init__(self, flat: bool, stages: int, flatten_first: bool, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential()
        channels = in_channels
        for number, out in enumerate(WIDTHS):
            dense = not flat or (number == 0 and not flatten_first)
            conv = nn.Conv2d(channels, out, 5, padding=2) if dense else FlattenedConv2d(channels, out, 5, stages)
            self.features.extend([conv, nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)])
            channels = out
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(channels, num_classes)
        _init(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


def _init(network: nn.Module) -> None:
    """Every 1-D filter keeps the variance of its input, so that a chain of six neither fades nor bursts.

    The convolution in front of a ReLU doubles it.
    """
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    inner = {id(conv) for flat in network.modules() if isinstance(flat, FlattenedConv2d) for conv in _convs(flat)[:-1]}
    for conv in convs:
        gain = 1.0 if id(conv) in inner else 2.0
        nn.init.normal_(conv.weight, 0.0, sqrt(gain / conv.weight[0].numel()))
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)


def _convs(layer: nn.Module) -> list[nn.Conv2d]:
    return [module for module in layer.modules() if isinstance(module, nn.Conv2d)]


_TRAPS = (
    "the paper's own layer table could not be confirmed: the network around the layer is ours",
    "the first layer stays dense: over 3 channels two flattened stages cost more than the 5x5 they replace",
    "no batch norm and no activation inside a chain: started carelessly, its gradients vanish",
)


@register(
    "flattened_cifar",
    card=Card(paper=PAPER, year=2014, parameters=146_826, macs=21.99e6, resolution=(32, 32), traps=_TRAPS),
)
@register(
    "flattened_cifar_baseline",
    card=Card(paper=PAPER, year=2014, parameters=1_136_650, macs=138.45e6, resolution=(32, 32), traps=_TRAPS[:1]),
    flat=False,
)
def flattened(
    *,
    flat: bool = True,
    stages: int = 2,
    flatten_first: bool = False,
    num_classes: int = 10,
    in_channels: int = 3,
) -> FlattenedNet:
    """Three 5x5 layers of 96, 128 and 256 channels, flattened; for images of any size from 8 pixels.

    Args:
        flat: False for the dense network to compare with.
        stages: lateral-vertical-horizontal chains per layer.
        flatten_first: the first layer too.
        num_classes: outputs.
        in_channels: channels of the image.
    """
    return FlattenedNet(flat, stages, flatten_first, num_classes, in_channels)
