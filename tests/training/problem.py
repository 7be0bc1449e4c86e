"""What the tests of training share: an easy problem, small networks, bytes to compare."""

import numpy as np
import torch
from torch import nn

from paring import training
from paring.data import Dataset
from paring.image import Preparation


def digits(count=96, seed=0, side=6):
    """Three easy classes: which third of the picture is bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 120, (count, side, side, 1))
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] += 100
    return images.astype(np.uint8), labels


def dataset(count=50, seed=1):
    return Dataset("easy:", "test", *digits(count, seed), ("a", "b", "c"), Preparation(6, 6, 1, (0.0,), (1.0,)))


def network(seed=0):
    """Convolution, batch norm, dropout: all that a checkpoint must get right."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 3)
    )


def batches(**changes):
    return training.Batches(*digits(), **{"size": 16, "seed": 3, "augment": "light", **changes})


def settings(**changes):
    return training.Settings(epochs=3, batch=16, lr=0.05, seed=3).changed(**changes)


def bytes_of(net):
    return b"".join(tensor.numpy().tobytes() for tensor in net.state_dict().values())
