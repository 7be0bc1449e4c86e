"""Named settings of the Deep Compression recipe, and what each is for: its options by name, JSON values."""

from __future__ import annotations

from copy import deepcopy
from difflib import get_close_matches
from typing import Any

from paring.errors import ArgumentError

_SGD = {"optimizer": "sgd", "batch": 64, "hard_weight": 1.0}


def _paper(keep: dict[str, float], centroids: int | dict[str, int]) -> dict[str, Any]:
    """The paper's own way, arXiv 1510.00149: SGD, one share a layer, three rounds of pruning and retraining, linear
    initialization, 8 bits for convolutions and 5 (6 for LeNet-300-100) for fully connected layers, fixed assignment,
    32-bit centroids and biases. Shares are those of its tables where it has the layer."""
    train = {"epochs": 20, "optimizer": "sgd", "lr": 0.01, "schedule": "inv", "weight_decay": 5e-4, "batch": 64}
    return {
        "keep": {"*": 0.08, **keep},
        "centroids": centroids,
        "rounds": 3,
        "drop_idle": False,
        "bits": 32,
        "init": "linear",
        "penalty": 0.0,
        "train": train,
        "prune": {**_SGD, "epochs": 15, "lr": 0.01, "schedule": "constant", "weight_decay": 5e-5},
        "retrain": {**_SGD, "epochs": 15, "lr": 0.01, "weight_decay": 5e-5},
        "tune": {**_SGD, "epochs": 5, "lr": 1e-4},
    }


def _small(train: int, prune: int, retrain: int, tune: int, keep: float) -> dict[str, Any]:
    common = {"lr": 2e-3, "augment": "light"}
    return {
        "keep": keep,
        "centroids": {"*": 16, "*.bias": 16},
        "rounds": 500,
        "drop_idle": True,
        "bits": 16,
        "init": "linear",
        "penalty": 0.0,
        "train": {**common, "epochs": train},
        "prune": {**common, "epochs": prune, "schedule": "constant"},
        "retrain": {**common, "epochs": retrain},
        "tune": {**common, "epochs": tune, "lr": 3e-4},
    }


PRESETS: dict[str, dict[str, Any]] = {
    "paper-lenet-300-100": _paper({"fc1": 0.08, "fc2": 0.09, "fc3": 0.26}, 64),
    "paper-lenet-5": _paper({"conv1": 0.66, "conv2": 0.12, "fc1": 0.08, "fc2": 0.19}, {"*": 32, "conv*": 256}),
    "small-lenet-300-100": _small(40, 40, 60, 10, keep=0.03),
    "small-lenet-5": _small(12, 12, 15, 3, keep=0.04),
    # For a network nobody has tuned this for: half of the weights, 64 values a layer, a small rate that does not undo
    # what was learned, plain images.
    "gentle": {
        "keep": 0.5,
        "centroids": 64,
        "rounds": 100,
        "drop_idle": False,
        "bits": 16,
        "init": "linear",
        "penalty": 0.0,
        "train": {"epochs": 30},
        "prune": {"epochs": 8, "lr": 5e-4, "schedule": "constant"},
        "retrain": {"epochs": 12, "lr": 5e-4},
        "tune": {"epochs": 2, "lr": 1e-4},
    },
    "quick": _small(10, 10, 10, 2, keep=0.05),
}

#: What is taken where the user names no preset: the one made for the network, else ``gentle``.
_DEFAULTS = {"lenet_300_100": "small-lenet-300-100", "lenet_5_caffe": "small-lenet-5"}


def default_preset(network: str) -> str:
    """Name of the preset for a zoo network."""
    return _DEFAULTS.get(network, "gentle")


def preset(name: str) -> dict[str, Any]:
    """The settings of a preset, the caller's own.

    Raises:
        ArgumentError: on an unknown name, with the nearest ones.
    """
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, 3, cutoff=0.4) or list(PRESETS)
        raise ArgumentError("no such preset", found=repr(name), expected=" or ".join(near))
    return deepcopy(PRESETS[name])
