"""LeNet-300-100 and the three networks people call LeNet-5.

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11), 1998.
The compression papers use :class:`LeNet300100` and :class:`LeNet5Caffe`.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.zoo._registry import Card, register

_PAPER = (
    "LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998"
)


def _fill_caffe(module: nn.Module) -> None:
    """Caffe's "xavier" filler, uniform with variance 1 / fan_in, and zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = sqrt(3 / layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class LeNet300100(nn.Module):
    """784 - 300 - ReLU - 100 - ReLU - 10; takes ``(N, 1, 28, 28)`` or anything that flattens to the same length."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1, resolution: int = 28) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_channels * resolution * resolution, 300)
        self.fc2 = nn.Linear(300, 100)
        self.fc3 = nn.Linear(100, num_classes)
        _fill_caffe(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, num_classes)`` of images ``(N, in_channels, resolution, resolution)``."""
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class LeNet5Caffe(nn.Module):
    """Caffe's MNIST example: conv 20 - pool - conv 50 - pool - 500 - ReLU - 10, no activation before ``fc1``.

    ``fc1`` and ``fc2`` are called ip1 and ip2 in Caffe.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, resolution: int = 28) -> None:
        super().__init__()
        side = ((resolution - 4) // 2 - 4) // 2
        self.conv1 = nn.Conv2d(in_channels, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(50 * side * side, 500)
        self.fc2 = nn.Linear(500, num_classes)
        _fill_caffe(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, num_classes)`` of images ``(N, in_channels, resolution, resolution)``."""
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


class LeNet5Modern(nn.Module):
    """What tutorials call LeNet-5: the 1998 widths with full C3, max pooling, ReLU and plain logits; 28x28 input."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1, resolution: int = 28) -> None:
        super().__init__()
        side = (resolution // 2 - 4) // 2
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, num_classes)`` of images ``(N, in_channels, resolution, resolution)``."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


# --- 1998 ---------------------------------------------------------------------------------------------------------

#: S2 maps that each C3 map reads: six rows of three neighbors, nine of four, one of all (table I of the paper).
C3_CONNECTIONS: tuple[tuple[int, ...], ...] = (
    *(tuple(sorted((m + k) % 6 for k in range(3))) for m in range(6)),
    *(tuple(sorted((m + k) % 6 for k in range(4))) for m in range(6)),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)

# Stylized digits 7 pixels wide and 12 high, drawn for Paring; the paper's own bitmaps are in its figure 3.
_DIGITS = """
.#####.  ...#...  .#####.  .#####.  ....##.  #######  ..####.  #######  .#####.  .#####.
##...##  ..##...  ##...##  ##...##  ...###.  ##.....  .##....  .....##  ##...##  ##...##
##...##  .###...  .....##  .....##  ...###.  ##.....  ##.....  .....##  ##...##  ##...##
##...##  #.##...  .....##  .....##  ..#.##.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ..##...  ....##.  .....##  ..#.##.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ..##...  ....##.  ..####.  .#..##.  ######.  ######.  ...##..  .#####.  .######
##...##  ..##...  ...##..  .....##  .#..##.  .....##  ##...##  ...##..  ##...##  .....##
##...##  ..##...  ..##...  .....##  #######  .....##  ##...##  ..##...  ##...##  .....##
##...##  ..##...  .##....  .....##  ....##.  .....##  ##...##  ..##...  ##...##  .....##
##...##  ..##...  ##.....  .....##  ....##.  .....##  ##...##  .##....  ##...##  .....##
##...##  ..##...  ##.....  ##...##  ....##.  ##...##  ##...##  .##....  ##...##  ....##.
.#####.  .#####.  #######  .#####.  ....##.  .#####.  .#####.  .##....  .#####.  .####..
"""


def digit_prototypes() -> Tensor:
    """Ten 12 x 7 bitmaps of the digits as ``(10, 84)`` float32, ink +1 and paper -1, rows first."""
    rows = [line.split() for line in _DIGITS.strip().splitlines()]
    ink = [[pixel == "#" for row in rows for pixel in row[digit]] for digit in range(10)]
    return torch.tensor(ink, dtype=torch.float32) * 2 - 1


class Squash(nn.Module):
    """``1.7159 tanh(2 x / 3)``: f(1) = 1, f(-1) = -1 and the largest curvature there."""

    def forward(self, x: Tensor) -> Tensor:
        """Element-wise, any shape."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class SubSampling(nn.Module):
    """Sum of each 2x2 window times one trainable coefficient per map, plus one bias per map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, H / 2, W / 2)``."""
        return F.avg_pool2d(x, 2) * (4 * self.weight).view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class PartialConv2d(nn.Module):
    """Convolution whose output maps read only some input maps; one kernel is kept per connection.

    Args:
        connections: for each output map, the input maps it reads.
        in_channels: number of input maps.
        kernel_size: side of the square kernel.
    """

    pairs: Tensor

    def __init__(self, connections: tuple[tuple[int, ...], ...], in_channels: int, kernel_size: int) -> None:
        super().__init__()
        pairs = [(out, source) for out, sources in enumerate(connections) for source in sources]
        self.shape = (len(connections), in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.empty(len(pairs), kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(len(connections)))
        self.register_buffer("pairs", torch.tensor(pairs).T.contiguous(), persistent=False)
        for (out, _), kernel in zip(pairs, self.weight, strict=True):
            bound = 2.4 / (len(connections[out]) * kernel_size**2)
            nn.init.uniform_(kernel, -bound, bound)

    def full_weight(self) -> Tensor:
        """The kernel as ``(out, in, k, k)`` with zeros where there is no connection."""
        out, source = self.pairs[0], self.pairs[1]
        return self.weight.new_zeros(self.shape).index_put((out, source), self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in, H, W)`` to ``(N, out, H - k + 1, W - k + 1)``."""
        return F.conv2d(x, self.full_weight(), self.bias)


class EuclideanRBF(nn.Module):
    """Negative squared distance to fixed prototypes: ``y_i = -sum_j (x_j - w_ij)^2``.

    The paper's output is the distance itself, least for the right class; the sign is turned so that the largest
    answer wins, as in every other network here.
    """

    prototypes: Tensor

    def __init__(self, prototypes: Tensor) -> None:
        super().__init__()
        self.register_buffer("prototypes", prototypes)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, features)`` to ``(N, classes)``."""
        w = self.prototypes
        # |x - w|^2 = x^2 . 1 - 2 x . w + |w|^2, so that it is made of products every engine has
        return F.linear(x, 2 * w, -(w * w).sum(1)) + F.linear(x * x, -torch.ones_like(w))


class LeNet5(nn.Module):
    """LeNet-5 as published in 1998: 60,000 trainable parameters, 340,908 connections, 32x32 input.

    Every layer up to F6 is followed by the squashing function. The connection table, the squashing constants, the
    ``U(-2.4 / fan_in, 2.4 / fan_in)`` initialization and the order of squashing and sub-sampling are from memory of
    the paper; the parameter and connection counts that follow from them are the paper's.
    """

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(in_channels, 6, 5)
        self.s2 = SubSampling(6)
        self.c3 = PartialConv2d(C3_CONNECTIONS, 6, 5)
        self.s4 = SubSampling(16)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.output = EuclideanRBF(digit_prototypes())
        self.squash = Squash()
        for layer in (self.c1, self.c5, self.f6):  # biases keep torch's
            bound = 2.4 / layer.weight[0].numel()
            nn.init.uniform_(layer.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Negative penalties ``(N, 10)`` of images ``(N, 1, 32, 32)``, background -0.1 and ink 1.175."""
        for layer in (self.c1, self.s2, self.c3, self.s4, self.c5):
            x = self.squash(layer(x))
        return self.output(self.squash(self.f6(x.flatten(1))))


_MODERN_NOTE = (
    "three networks share the name LeNet-5; this one is neither the paper's nor the one compression papers use"
)

register(
    "lenet_300_100",
    card=Card(
        paper=_PAPER,
        year=1998,
        parameters=266_610,
        macs=266_200,
        resolution=(28, 28),
        channels=1,
        accuracy={"MNIST test %": (98.36, "reference of Deep Compression, arXiv 1510.00149")},
        traps=("ReLU as in the compression papers; the 1998 network squashed",),
    ),
)(LeNet300100)

register(
    "lenet_5_caffe",
    card=Card(
        paper=_PAPER + "; variant of Caffe's MNIST example",
        year=2014,
        parameters=431_080,
        macs=2_293_000,
        resolution=(28, 28),
        channels=1,
        accuracy={"MNIST test %": (99.20, "reference of Deep Compression, arXiv 1510.00149")},
        traps=(
            "no activation after the convolutions or the pools; many ports add one and are another network",
            "Han's tables count two operations per multiply-accumulate",
        ),
    ),
)(LeNet5Caffe)

register(
    "lenet_5_1998",
    card=Card(
        paper=_PAPER,
        year=1998,
        parameters=60_000,
        macs=325_680,
        resolution=(32, 32),
        channels=1,
        accuracy={
            "MNIST test %": (99.05, "the paper, no distortions (from memory)"),
            "MNIST test %, distortions": (99.2, "the paper (from memory)"),
        },
        traps=(
            "C3 reads only some maps: 1,516 parameters, not 2,416",
            "macs counts C3's 60 kernels; a dense C3 with zeros costs 90,000 more",
            "the RBF prototypes are drawn for Paring, not copied from the paper's figure 3",
        ),
    ),
)(LeNet5)

register(
    "lenet_5_modern",
    card=Card(
        paper=_PAPER + "; simplified as in many tutorials",
        year=1998,
        parameters=61_706,
        macs=416_520,
        resolution=(28, 28),
        channels=1,
        traps=(_MODERN_NOTE,),
    ),
)(LeNet5Modern)
