import gzip
import struct

import numpy as np
import pytest

pytest.importorskip("typer", reason="typer is not installed")
pytest.importorskip("rich", reason="rich is not installed")

from paring.cli import main
from paring.container import Contents, write
from paring.forms import Codebook, Dense, Sparse
from paring.graph import Graph, Node, Preparation

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


@pytest.fixture
def paring(capfd):
    """Runs the command line in this process; returns (exit code, stdout, stderr)."""

    def run(*words):
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        return stopped.value.code, out, err

    return run


def idx_bytes(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def digits(count, seed):
    """Ten random patterns with noise, ``count`` of them: easy, but not free."""
    patterns = np.random.default_rng(0).integers(0, 2, (10, 7, 7)) * 160
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    clean = patterns[labels].repeat(4, axis=1).repeat(4, axis=2)
    return np.clip(clean + rng.normal(30, 40, clean.shape), 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def idx_folder(tmp_path_factory):
    """300 training and 100 test images in MNIST's format."""
    folder = tmp_path_factory.mktemp("idx")
    for stem, count, seed in (("train", 300, 1), ("t10k", 100, 2)):
        images, labels = digits(count, seed)
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A user's own file; ``tiny:tiny`` is a network."""
    path = tmp_path_factory.mktemp("own") / "tiny.py"
    path.write_text(TINY)
    return path


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


@pytest.fixture(scope="session")
def pare(tmp_path_factory):
    """A small .pare file."""
    path = tmp_path_factory.mktemp("pare") / "small.pare"
    write(path, small_contents())
    return path
