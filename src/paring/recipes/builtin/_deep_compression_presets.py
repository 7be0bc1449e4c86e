"""Named settings of the Deep Compression recipe, and what each is for."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from paring.errors import ArgumentError
from paring.recipes._settings import Phase, Settings

#: The paper's own way, arXiv 1510.00149: SGD, one fraction a layer, three rounds of pruning and retraining, linear
#: initialization, 8 bits for convolutions and 5 (6 for LeNet-300-100) for fully connected layers, fixed assignment,
#: 32-bit centroids and biases. Fractions are those of its tables where it has the layer.
_PAPER_PHASE = Phase(epochs=20, optimizer="sgd", lr=0.01, schedule="inv", weight_decay=5e-4, batch=64)


def _paper(keep_layers: dict[str, float], fc_centroids: int) -> Settings:
    return Settings(
        train=_PAPER_PHASE,
        prune=Phase(epochs=15, optimizer="sgd", lr=0.01, schedule="constant", weight_decay=5e-5, batch=64),
        retrain=Phase(epochs=15, optimizer="sgd", lr=0.01, schedule="cosine", weight_decay=5e-5, batch=64),
        tune=Phase(epochs=5, optimizer="sgd", lr=1e-4, schedule="cosine", batch=64),
        keep=0.08,
        keep_layers=keep_layers,
        rounds=3,
        centroids=fc_centroids,
        centroid_layers={"conv*": 256} if "conv1" in keep_layers else {},
        init="linear",
        bits=32,
    )


def _small(augment: str, train: int, prune: int, retrain: int, tune: int, **changes: object) -> Settings:
    common = {"augment": augment, "distill": 0.5}
    base = Settings(
        train=Phase(epochs=train, augment=augment),
        prune=Phase(epochs=prune, schedule="constant", **common),  # type: ignore[arg-type]
        retrain=Phase(epochs=retrain, **common),  # type: ignore[arg-type]
        tune=Phase(epochs=tune, lr=3e-4, **common),  # type: ignore[arg-type]
        keep=0.05,
        rounds=500,
        centroids=16,
        centroid_layers={"*.bias": 16},
        init="linear",
        bits=16,
        drop_idle=True,
    )
    return base.changed(**changes)


PRESETS: dict[str, Settings] = {
    "paper-lenet-300-100": _paper({"fc1": 0.08, "fc2": 0.09, "fc3": 0.26}, 64),
    "paper-lenet-5": _paper({"conv1": 0.66, "conv2": 0.12, "fc1": 0.08, "fc2": 0.19}, 32),
    "small-lenet-300-100": _small("light", 40, 40, 60, 10, keep=0.03),
    "small-lenet-5": _small("light", 12, 12, 15, 3, keep=0.04),
    # For a network nobody has tuned this for: half of the weights, 64 values a layer, a small rate that does not undo
    # what was learned, plain images.
    "gentle": Settings(
        train=Phase(epochs=30),
        prune=Phase(epochs=8, lr=5e-4, schedule="constant", distill=0.5),
        retrain=Phase(epochs=12, lr=5e-4, distill=0.5),
        tune=Phase(epochs=2, lr=1e-4, distill=0.5),
        keep=0.5,
        rounds=100,
        centroids=64,
        init="linear",
        bits=16,
    ),
    "quick": _small("light", 10, 10, 10, 2, keep=0.05),
}

#: What is taken where the user names no preset: the one made for the network, else ``gentle``.
_DEFAULTS = {"lenet_300_100": "small-lenet-300-100", "lenet_5_caffe": "small-lenet-5"}


def default_preset(network: str) -> str:
    """Name of the preset for a zoo network."""
    return _DEFAULTS.get(network, "gentle")


def preset(name: str) -> Settings:
    """The settings of a preset.

    Raises:
        ArgumentError: on an unknown name, with the nearest ones.
    """
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, 3, cutoff=0.4) or list(PRESETS)
        raise ArgumentError("no such preset", found=repr(name), expected=" or ".join(near))
    return replace(PRESETS[name], preset=name)
