"""A recipe run that takes a second: twelve-pixel pictures of three classes, a network of two layers."""

import numpy as np
import torch
from torch import nn

from paring.data import Dataset
from paring.image import Preparation


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


def options(**changes):
    """Those of a short deep compression."""
    common = {"lr": 5e-3, "batch": 16}
    base = {
        "train": {**common, "epochs": 3, "augment": "light"},
        "prune": {**common, "epochs": 3, "schedule": "constant", "augment": "none"},
        "retrain": {**common, "epochs": 2, "optimizer": "sgd", "hard_weight": 1.0, "augment": "none"},
        "tune": {**common, "epochs": 2, "lr": 1e-3, "hard_weight": 1.0, "augment": "none"},
        "preset": "quick",
        "keep": {"*": 0.2, "conv1": 0.5},
        "rounds": 7,
        "centroids": {"*": 4, "*.bias": 3},
    }
    return base | changes
