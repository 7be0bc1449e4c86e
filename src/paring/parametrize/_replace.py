"""Layers that give their place to others: which ones can, and putting the others there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import nn
from torch.nn.utils import parametrize

from paring.errors import ArgumentError
from paring.parametrize._select import WEIGHTED, places, select

T = TypeVar("T")


def replaceable(module: nn.Module, targets: Mapping[str, T], what: str) -> dict[str, tuple[Any, T]]:
    """The layers that patterns match, by path, with their targets.

    Args:
        module: the network.
        targets: pattern (see :func:`select`) to target.
        what: what can become of a layer's weight, for an error (``factorized``).

    Raises:
        ArgumentError: if a pattern matches nothing or a bias, or a layer is the whole network, has a trainable form, or
            shares its weight with another.
    """
    there = places(module)
    owners: dict[int, list[str]] = {}
    for path, child in module.named_modules():
        if isinstance(weight := getattr(child, "weight", None), nn.Parameter):
            owners.setdefault(id(weight), []).append(path)
    chosen: dict[str, tuple[Any, T]] = {}
    for name, target in select(module, targets).items():
        path = name.rpartition(".")[0]
        layer: Any = there[name].module
        if there[name].tensor != "weight" or not isinstance(layer, WEIGHTED):
            raise ArgumentError(f"only the weight of a layer can be {what}", where=name)
        if not path:
            raise ArgumentError("a network that is one layer cannot be replaced", fix="Put it into an nn.Sequential")
        if parametrize.is_parametrized(layer):
            cure = "Bake it first: paring.parametrize.detach"
            raise ArgumentError("layer has a trainable form", where=path, fix=cure)
        if len(owners[id(layer.weight)]) > 1:
            raise ArgumentError("layers share this weight", where=path, found=", ".join(owners[id(layer.weight)]))
        chosen[path] = layer, target
    return chosen


def replace_layers(module: nn.Module, others: Mapping[str, nn.Module]) -> None:
    """Put others in the place of the layers at these paths, under every path a layer has."""
    by_layer = {id(module.get_submodule(path)): other for path, other in others.items()}
    for path, child in list(module.named_modules(remove_duplicate=False)):
        if id(child) in by_layer:
            parent, _, last = path.rpartition(".")
            setattr(module.get_submodule(parent), last, by_layer[id(child)])
