"""A recipe run that takes a second: twelve-pixel pictures of three classes, a network of two layers."""

import numpy as np
import torch
from torch import nn

from paring.data import Dataset
from paring.image import Preparation
from paring.recipes import Phase, Settings


def pictures(split, count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 100, (count, 12, 12, 1))
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 120
    preparation = Preparation(12, 12, 1, (0.3,), (0.25,))
    return Dataset("synthetic", split, images.astype(np.uint8), labels, ("top", "middle", "bottom"), preparation)


def sets():
    return pictures("train", 192, 0), pictures("test", 90, 1)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.fc1 = nn.Linear(150, 20)
        self.fc2 = nn.Linear(20, 3)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


def settings(**changes):
    phase = Phase(epochs=3, lr=5e-3, batch=16, augment="light")
    base = Settings(
        train=phase,
        prune=Phase(epochs=3, lr=5e-3, schedule="constant", batch=16, distill=0.5),
        retrain=Phase(epochs=2, lr=5e-3, batch=16, optimizer="sgd"),
        tune=Phase(epochs=2, lr=1e-3, batch=16),
        keep=0.2,
        keep_layers={"conv1": 0.5},
        rounds=7,
        centroids=4,
        centroid_layers={"*.bias": 3},
        bits=16,
        drop_idle=True,
    )
    return base.changed(**changes)
