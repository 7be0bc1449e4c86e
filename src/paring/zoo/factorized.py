"""Factorized networks: one filter per channel and a linear projection, made sparse or done at a lower resolution.

Wang, Liu, Foroosh, "Design of efficient convolutional layers using single intra-channel convolution, topological
subdivisioning and spatial bottleneck structure", 2016, arXiv 1608.04337; "Factorized convolutional neural networks",
ICCV workshops 2017.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.zoo._blocks import init_he
from paring.zoo._registry import Card, register

PAPER = "Wang, Liu, Foroosh, Factorized convolutional neural networks, ICCV workshops 2017, arXiv 1608.04337"
KINDS = ("sic", "topological", "bottleneck")

#: Channels of the three stages, and where they lie on a 2-D grid for topological subdivisioning.
GRIDS = {128: (8, 16), 256: (16, 16), 512: (16, 32)}


class TopologicalConv2d(nn.Conv2d):
    """A 1x1 convolution whose outputs see only a neighborhood of inputs on a grid: topological subdivisioning.

    Input and output channels lie on one s-dimensional grid, row by row; output ``p`` reads the inputs ``p + d`` for
    all ``0 <= d < neighborhood`` along each axis, around the edge. MACs and weights fall by
    ``prod(neighborhood) / prod(grid)``: ``H W F prod(neighborhood)`` MACs.

    Args:
        grid: sides of the grid; their product is the number of channels, in and out.
        neighborhood: sides of the neighborhood, one for each axis.

    Raises:
        ArgumentError: if the neighborhood does not fit the grid.
    """

    def __init__(self, grid: tuple[int, ...], neighborhood: tuple[int, ...]) -> None:
        fits = len(grid) == len(neighborhood) and all(1 <= n <= g for n, g in zip(neighborhood, grid, strict=True))
        if not fits:
            raise ArgumentError("neighborhood does not fit the grid", found=neighborhood, expected=f"within {grid}")
        channels, reach = prod(grid), prod(neighborhood)
        # every output reads its own `reach` copies of inputs, so this is a convolution in as many groups as outputs
        super().__init__(channels * reach, channels, 1, groups=channels, bias=False)
        places = torch.arange(channels, device="cpu").view(grid)
        steps = torch.cartesian_prod(*(torch.arange(n, device="cpu") for n in neighborhood)).view(reach, len(grid))
        axes = tuple(range(len(grid)))
        seen = [places.roll([-int(d) for d in step], axes).flatten() for step in steps]
        # not a buffer: it follows from the arguments, and must survive a network built without memory
        self.index = torch.stack(seen, 1).flatten()

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return super().forward(input.index_select(1, self.index.to(input.device)))

    @torch.no_grad()
    def dense_weight(self) -> Tensor:
        """The same layer as an ordinary (C, C, 1, 1) kernel, zero outside the neighborhoods."""
        channels, reach = self.weight.shape[0], self.weight.shape[1]
        dense = self.weight.new_zeros(channels, channels)
        dense.scatter_(1, self.index.view(channels, reach).to(dense.device), self.weight.flatten(1))
        return dense[:, :, None, None]


class SICLayer(nn.Module):
    """Single intra-channel convolution: k x k in each channel, linear projection, batch norm; ReLU after the addition.

    ``H W (C k^2 + C F)`` MACs. The input is added where C = F.

    Args:
        channels: input channels C.
        out: output channels F.
        kernel: k, odd.
        neighborhood: for a sparse projection on the grid of ``GRIDS``, where C = F.
    """

    def __init__(self, channels: int, out: int, kernel: int = 3, neighborhood: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        sparse = neighborhood is not None and channels == out
        self.projection: nn.Conv2d = (
            TopologicalConv2d(GRIDS[channels], neighborhood)
            if neighborhood is not None and sparse
            else nn.Conv2d(channels, out, 1, bias=False)
        )
        self.bn = nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        self.residual = channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, F, H, W)."""
        y = self.bn(self.projection(self.spatial(x)))
        return self.relu(x + y if self.residual else y)


class BottleneckLayer(nn.Module):
    """Spatial bottleneck: k x k stride-k convolution, projection at the low resolution, k x k stride-k deconvolution.

    Both k x k filters stay in their channel. ``H W (C + C F / k^2 + F)`` MACs: the projection is k^2 times cheaper.
    The input is added where C = F.

    Args:
        channels: input channels C.
        out: output channels F.
        kernel: k; must divide the sides of the map.
    """

    def __init__(self, channels: int, out: int, kernel: int = 2) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels, kernel, kernel, groups=channels, bias=False)
        self.projection = nn.Conv2d(channels, out, 1, bias=False)
        self.expand = nn.ConvTranspose2d(out, out, kernel, kernel, groups=out, bias=False)
        self.bn = nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        self.residual = channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, F, H, W)."""
        y = self.bn(self.expand(self.projection(self.reduce(x))))
        return self.relu(x + y if self.residual else y)


class FactorizedNet(nn.Module):
    """7x7/2 convolution of 64, 3x3/3 max pool, three stages of 128, 256 and 512 channels, global mean, classifier.

    The last layers of stages 1 and 2 are pooled, 2x2/2 and 3x3/3, so that 221 pixels give 36, 18 and 6.
    """

    def __init__(self, kind: str, depth: int, num_classes: int, in_channels: int) -> None:
        super().__init__()
        stem = nn.Conv2d(in_channels, 64, 7, stride=2, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3))
        self.features = nn.Sequential()
        channels = 64
        for out, pool in ((128, nn.MaxPool2d(2)), (256, nn.MaxPool2d(3)), (512, None)):
            for position in range(depth):
                # the layer that changes the width keeps its full projection and resolution
                if kind == "bottleneck" and position:
                    self.features.append(BottleneckLayer(channels, out))
                else:
                    half = tuple(side // 2 for side in GRIDS[out]) if kind == "topological" and position else None
                    self.features.append(SICLayer(channels, out, neighborhood=half))
                channels = out
            if pool is not None:
                self.features.append(pool)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(channels, num_classes)
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, classes), no softmax."""
        return self.classifier(self.flatten(self.avgpool(self.features(self.stem(x)))))


_TRAPS = (
    "the paper's layer tables could not be confirmed: the three layers are the paper's, the network around them ours",
    "the claims of 42, 4.5 and 6.5 times less computation than VGG, ResNet-50 and -101 are for the paper's own tables",
)


def _card(parameters: int, macs: float) -> Card:
    return Card(paper=PAPER, year=2016, parameters=parameters, macs=macs * 1e6, resolution=(221, 221), traps=_TRAPS)


@register("factorized_sic", card=_card(1_762_152, 300.33), kind="sic")
@register("factorized_topological", card=_card(988_008, 183.55), kind="topological")
@register("factorized_bottleneck", card=_card(1_759_464, 177.93), kind="bottleneck")
def factorized(*, kind: str = "sic", depth: int = 4, num_classes: int = 1000, in_channels: int = 3) -> FactorizedNet:
    """A network of factorized layers; 221 pixels, or 36 k + 5 for any k ("sic" and "topological": any from 41).

    Args:
        kind: "sic", "topological" (half of each grid axis) or "bottleneck" (k = 2).
        depth: layers in each of the three stages; the first, which changes the width, is always plain SIC.
        num_classes: outputs.
        in_channels: channels of the image.

    Raises:
        ArgumentError: on another kind or depth.
    """
    if kind not in KINDS:
        raise ArgumentError("no such factorized layer", found=repr(kind), expected=" or ".join(KINDS))
    if depth < 1:
        raise ArgumentError("no layers", found=f"depth {depth}", expected="at least 1")
    return FactorizedNet(kind, depth, num_classes, in_channels)
