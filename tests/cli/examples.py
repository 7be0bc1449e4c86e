"""What the tests of the command line share: easy digits, a user's own file, a small network by hand."""

import struct

import numpy as np

from paring.container import Contents
from paring.forms import Codebook, Dense, Sparse
from paring.graph import Graph, Node
from paring.image import Preparation

TINY = """
import torch
from torch import nn


def tiny(num_classes=10):
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 6 * 6, num_classes)
    )


def broken():
    raise RuntimeError("no luck today")


def number():
    return 7
"""


def idx_bytes(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def digits(count, seed):
    """Ten random patterns with noise, ``count`` of them: easy, but not free."""
    patterns = np.random.default_rng(0).integers(0, 2, (10, 7, 7)) * 160
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    clean = patterns[labels].repeat(4, axis=1).repeat(4, axis=2)
    return np.clip(clean + rng.normal(30, 40, clean.shape), 0, 255).astype(np.uint8), labels


def small_contents():
    """A network by hand with every form: conv (codebook), pool, fully connected (sparse), biases (dense)."""
    rng = np.random.default_rng(7)
    weights = {
        "conv.weight": Codebook(np.array([-0.4, -0.1, 0.2, 0.5]), rng.integers(0, 5, (4, 1, 5, 5))),
        "conv.bias": Dense(rng.normal(size=4)),
        "fc.weight": Sparse.from_dense(rng.normal(size=(10, 144)) * (rng.random((10, 144)) < 0.2), 16),
        "fc.bias": Dense(rng.normal(size=10), 16),
    }
    nodes = [
        Node("conv", "conv2d", ("image",), {"stride": (2, 2)}, {"weight": "conv.weight", "bias": "conv.bias"}),
        Node("relu", "relu", ("conv",)),
        Node("pool", "max_pool", ("relu",), {"kernel": (2, 2), "stride": (2, 2)}),
        Node("flat", "flatten", ("pool",)),
        Node("fc", "linear", ("flat",), {}, {"weight": "fc.weight", "bias": "fc.bias"}),
    ]
    graph = Graph({"image": (28, 28, 1)}, nodes, ("fc",), weights)
    return Contents(graph, Preparation(28, 28, 1, (0.1307,), (0.3081,)), tuple("0123456789"), {"recipe": "by hand"})


def naive_scores(images):
    """The small network by hand, in NumPy loops over plain formulas."""
    weights = {name: form.dense() for name, form in small_contents().graph.weights.items()}
    out = []
    for image in images:
        x = (image.astype(np.float64) / 255 - 0.1307) / 0.3081
        maps = np.zeros((4, 12, 12))
        for k in range(4):
            for i in range(12):
                for j in range(12):
                    window = x[2 * i : 2 * i + 5, 2 * j : 2 * j + 5]
                    maps[k, i, j] = (window * weights["conv.weight"][k, 0]).sum() + weights["conv.bias"][k]
        pooled = np.maximum(maps, 0).reshape(4, 6, 2, 6, 2).max((2, 4))
        out.append(weights["fc.weight"] @ pooled.ravel() + weights["fc.bias"])
    return np.array(out)
