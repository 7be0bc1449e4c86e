"""Small networks with every coupling of channels, and the judge of an exact removal."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from paring.forms import Dense
from paring.graph import Graph
from paring.layers import ChannelShuffle


def unit(channels, out, kernel=3, groups=1, stride=1, bias=False):
    conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())


class Head(nn.Module):
    """A body, its mean over the map, a classifier."""

    def __init__(self, body, channels):
        super().__init__()
        self.body = body
        self.fc = nn.Linear(channels, 5)

    def forward(self, x):
        return self.fc(self.body(x).mean((2, 3)))


class Bottleneck(nn.Module):
    def __init__(self, channels, inner, out):
        super().__init__()
        self.a, self.b = unit(channels, inner, 1), unit(inner, inner, 3)
        self.c = nn.Sequential(nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out))
        self.down = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x):
        return F.relu(self.c(self.b(self.a(x))) + self.down(x))


class InvertedResidual(nn.Module):
    def __init__(self, channels, out, expand):
        super().__init__()
        inner = channels * expand
        self.expand, self.depthwise = unit(channels, inner, 1), unit(inner, inner, 3, groups=inner)
        self.project = nn.Sequential(nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out))
        self.same = channels == out

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.same else y


class DenseBlock(nn.Module):
    def __init__(self, channels, growth, count):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels + i * growth) for i in range(count))
        self.convs = nn.ModuleList(nn.Conv2d(channels + i * growth, growth, 3, padding=1) for i in range(count))

    def forward(self, x):
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = torch.cat([x, conv(F.relu(norm(x)))], 1)
        return x


class Inception(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.one = unit(channels, 8, 1)
        self.three = nn.Sequential(unit(channels, 8, 1), unit(8, 16, 3))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), unit(channels, 8, 1))

    def forward(self, x):
        return torch.cat([self.one(x), self.three(x), self.pool(x)], 1)


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.reduce, self.enlarge = nn.Conv2d(channels, 8, 1), nn.Conv2d(8, channels, 1)

    def forward(self, x):
        gate = torch.sigmoid(self.enlarge(F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1)))))
        return x * gate


class ShuffleUnit(nn.Module):
    """ShuffleNet v2's unit of stride 1."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(unit(half, half, 1), unit(half, half, 3, groups=half), unit(half, half, 1))
        self.shuffle = ChannelShuffle(2)

    def forward(self, x):
        kept, worked = x.chunk(2, 1)
        return self.shuffle(torch.cat([kept, self.branch(worked)], 1))


class PaddedResidual(nn.Module):
    """Option A: a subsampled shortcut with zero channels in front and behind."""

    def __init__(self):
        super().__init__()
        self.first, self.second = unit(16, 32, 3, stride=2), unit(32, 32, 3)

    def forward(self, x):
        return self.second(self.first(x)) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))


class Gated(nn.Module):
    """A mean over channels that scales every pixel: what the walk does not cut."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 16, 3, padding=1)
        self.next = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        return self.next(y * y.abs().mean(1, keepdim=True))


def networks():
    """Name to (network, input shape)."""
    seq = nn.Sequential
    return {
        "plain": (Head(seq(unit(3, 16), unit(16, 32)), 32), (3, 8, 8)),
        "bottleneck": (Head(seq(unit(3, 16), Bottleneck(16, 16, 32), Bottleneck(32, 16, 32)), 32), (3, 6, 6)),
        "inverted": (
            Head(seq(unit(3, 16), InvertedResidual(16, 16, 3), InvertedResidual(16, 24, 3)), 24),
            (3, 6, 6),
        ),
        "shufflenet": (Head(seq(unit(3, 32), ShuffleUnit(32), ShuffleUnit(32), unit(32, 32, 1)), 32), (3, 6, 6)),
        "dense": (Head(seq(nn.Conv2d(3, 16, 3, padding=1), DenseBlock(16, 8, 3)), 40), (3, 6, 6)),
        "inception": (Head(seq(unit(3, 16), Inception(16), Inception(32)), 32), (3, 6, 6)),
        "excite": (Head(seq(unit(3, 16), SqueezeExcite(16), unit(16, 16)), 16), (3, 6, 6)),
        "grouped": (Head(seq(unit(3, 32), unit(32, 32, 3, groups=4), unit(32, 32, 1)), 32), (3, 6, 6)),
        "shuffled groups": (
            Head(seq(unit(3, 32), unit(32, 32, 1, groups=2), ChannelShuffle(2), unit(32, 32, 1, groups=2)), 32),
            (3, 6, 6),
        ),
        "multiplied depthwise": (Head(seq(unit(3, 16), unit(16, 32, 3, groups=16), unit(32, 16, 1)), 16), (3, 6, 6)),
        "option A": (Head(seq(unit(3, 16), PaddedResidual()), 32), (3, 8, 8)),
        "vgg": (
            seq(unit(3, 16, bias=True), nn.MaxPool2d(2), unit(16, 16), nn.Flatten(), nn.Linear(144, 32), nn.PReLU(32),
                nn.Linear(32, 5)),
            (3, 6, 6),
        ),
        "transposed": (
            Head(
                seq(
                    unit(3, 16),
                    nn.ConvTranspose2d(16, 16, 3, 2),
                    nn.ConvTranspose2d(16, 16, 3, groups=16),
                    nn.ConvTranspose2d(16, 16, 1, groups=4),
                    unit(16, 16),
                ),
                16,
            ),
            (3, 4, 4),
        ),
        "gated": (Head(seq(unit(3, 8), Gated(), unit(16, 16)), 16), (3, 6, 6)),
    }  # fmt: skip


def trained(module, seed=0):
    """Batch norms with statistics, scales and shifts as after training, so that nothing is one or zero."""
    torch.manual_seed(seed)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.normal_(norm.running_mean, 0, 0.3)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.3)
    return module.eval()


def zeroed(graph, kept):
    """The judge: the graph as it was, with every row and column that is not in ``kept`` set to zero."""
    weights = dict(graph.weights)
    for name, axes in kept.items():
        array = weights[name].dense().copy()
        for axis, places in axes.items():
            gone = np.setdiff1d(np.arange(array.shape[axis]), places)
            array[(slice(None),) * axis + (gone,)] = 0
        weights[name] = Dense(array)
    return Graph(dict(graph.inputs), list(graph.nodes), graph.outputs, weights)


def random_weights(graph, seed=0):
    """An outline filled in: weights as He draws them, scales and shifts like those of trained batch norms."""
    random = np.random.default_rng(seed)
    weights = {}
    for name, form in graph.weights.items():
        if len(form.shape) > 1:
            array = random.standard_normal(form.shape) * (2 / np.prod(form.shape[1:])) ** 0.5
        else:
            array = (
                random.uniform(0.5, 1.5, form.shape) if name.endswith("scale") else random.normal(0, 0.3, form.shape)
            )
        weights[name] = Dense(array.astype(np.float32))
    return Graph(dict(graph.inputs), list(graph.nodes), graph.outputs, weights)
