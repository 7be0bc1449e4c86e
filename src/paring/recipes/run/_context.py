"""What a recipe may look at before it decides on its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from paring.errors import ArgumentError
from paring.graph import Graph, cost
from paring.parametrize import select
from paring.recipes.steps._base import Step, weighted
from paring.recipes.steps._training import tune
from paring.training.input import Images


class RecipeContext:
    """What a recipe may look at before it decides on its steps: the network without its numbers, and the data.

    Attributes:
        name: of the network, as records call it.
        network: any network of the kind; not to be changed.
        layers: names of the layers with weights, in the order they compute.
        macs: multiply-accumulates for an image.
        images: in the training set.
        channels: of an image.
        side: the longer side of an image, pixels.
    """

    def __init__(self, name: str, network: nn.Module, graph: Graph, train: Images) -> None:
        self.channels, height, width = train.shape
        self.name, self.network, self.images, self.side = name, network, len(train), max(height, width)
        self.macs = cost(graph).macs
        names = [node.weights["weight"].rpartition(".")[0] for node in weighted(graph)]
        known = select(network, {"*": None}) if names else {}
        self.layers = [name for name in dict.fromkeys(names) if f"{name}.weight" in known]

    @property
    def convolutional(self) -> bool:
        """Whether a layer is a two-dimensional convolution."""
        return any(len(self.shape(layer)) == 4 for layer in self.layers)

    def targets(self, layers: Any, amount: Any, exclude_ends: bool = False) -> dict[str, Any]:
        """Pattern to amount for a method.

        Args:
            layers: the user's patterns, or a mapping of patterns to amounts of their own, or None for all layers.
            amount: for those without their own.
            exclude_ends: where the user named no layers, leave out the last one and a convolution that comes first:
                they hold few of the weights and most of the accuracy.

        Raises:
            ArgumentError: if a pattern matches nothing, or no layer is left.
        """
        if layers is None:
            first = 1 if self.layers and len(self.shape(self.layers[0])) > 2 else 0
            names = self.layers[first:-1] if exclude_ends else self.layers
            if not names:
                raise ArgumentError(
                    "no layer is left to work on",
                    found=f"{len(self.layers)} layers, the first and the last stay",
                    fix="Name the layers: layers=[...], --layers PATTERN",
                )
            return dict.fromkeys(names, amount)
        words = [layers] if isinstance(layers, str) else layers
        targets = dict(words) if isinstance(words, Mapping) else dict.fromkeys(words, amount)
        select(self.network, targets)
        return targets

    def shape(self, layer: str) -> tuple[int, ...]:
        """Shape of a layer's weight, ``(out, in / groups, kh, kw)`` or ``(out, in)``."""
        return tuple(self.network.get_submodule(layer).get_parameter("weight").shape)

    def tuning(self, epochs: int, lr: float, augment: str | None = None, **settings: Any) -> list[Step]:
        """The step that tunes, or none without epochs.

        Batches are of 128 images, or of fewer so that an epoch has some fifty steps. Where the user names no
        augmentation, gray images are left as they are, small color ones cropped and flipped, large ones flipped.
        """
        if not epochs:
            return []
        if augment is None:
            augment = "none" if self.channels == 1 else "cifar" if self.side <= 64 else "flip"
        batch = next((size for size in (128, 64, 32, 16) if self.images >= 50 * size), 8)
        return [tune(epochs=epochs, lr=lr, batch=batch, augment=augment, **settings)]
