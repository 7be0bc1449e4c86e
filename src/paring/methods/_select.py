"""Which weights a method is meant for: shell patterns on module paths, and the parametrisation that holds a form."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from paring.errors import ArgumentError

T = TypeVar("T")

#: Modules whose ``weight`` a pattern without a suffix speaks of.
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Place(NamedTuple):
    """Where a parameter lives."""

    module: nn.Module
    tensor: str


def places(module: nn.Module) -> dict[str, Place]:
    """Every parameter's plain name (``fc1.weight``, parametrised or not) with its place, in the module's order.

    A parameter that two modules share has one place, the first.
    """
    found: dict[str, Place] = {}
    seen: set[int] = set()
    for path, child in module.named_modules():
        if isinstance(child, parametrize.ParametrizationList) or ".parametrizations." in f".{path}.":
            continue
        held = dict(child.named_parameters(recurse=False))
        if parametrize.is_parametrized(child):
            for name, chain in child.parametrizations.items():  # type: ignore[union-attr,operator]
                held[name] = chain.original
        order = [name for name in ("weight", "bias") if name in held] + sorted(set(held) - {"weight", "bias"})
        for name in order:
            if id(held[name]) not in seen:
                seen.add(id(held[name]))
                found[f"{path}.{name}" if path else name] = Place(child, name)
    return found


def weights(module: nn.Module) -> dict[str, Place]:
    """The weights of fully connected and convolution layers, biases left out, by plain name (``conv1.weight``)."""
    return {
        name: place
        for name, place in places(module).items()
        if place.tensor == "weight" and isinstance(place.module, WEIGHTED)
    }


def select(module: nn.Module, targets: Mapping[str, T]) -> dict[str, T]:
    """The target of every weight that a pattern matches.

    A pattern is a shell pattern on the layer's path (``fc*``, ``*.conv1``) and means its weight; one that ends in
    ``.weight`` or ``.bias`` is matched against the parameter's full name. Later patterns override earlier ones.

    Args:
        module: the network.
        targets: pattern to target.

    Returns:
        parameter name to target, in the module's order.

    Raises:
        ArgumentError: if a pattern matches nothing, with the nearest names.
    """
    everything, layers = places(module), weights(module)
    chosen: dict[str, T] = {}
    for pattern, target in targets.items():
        if pattern.endswith((".weight", ".bias")):
            hits = [name for name in everything if fnmatchcase(name, pattern)]
        else:
            hits = [name for name in layers if fnmatchcase(name.rpartition(".")[0] or "weight", pattern)]
        if not hits:
            known = [name.rpartition(".")[0] or "weight" for name in layers] + list(everything)
            near = get_close_matches(pattern, known, 3, cutoff=0.4) or known[:3]
            raise ArgumentError("pattern matches no layer", found=repr(pattern), expected=", ".join(near))
        chosen.update(dict.fromkeys(hits, target))
    return {name: chosen[name] for name in everything if name in chosen}


class FormParametrization(nn.Module, Generic[T]):
    """A trainable form: a ``torch.nn.utils.parametrize`` parametrisation that knows how to export itself.

    ``forward`` makes the weight from what is trained; ``options`` are the small JSON values that, with the tensors of
    the state dict, rebuild it.
    """

    kind = ""

    def options(self) -> dict[str, int]:
        """Keyword arguments that :meth:`blank` takes beside the shape."""
        raise NotImplementedError

    def form(self, original: Tensor):
        """The exact form of the weight this makes from ``original``."""
        raise NotImplementedError


def parametrization(place: Place) -> FormParametrization | None:
    """The trainable form at ``place``, if any."""
    if not parametrize.is_parametrized(place.module, place.tensor):
        return None
    chain = place.module.parametrizations[place.tensor]  # type: ignore[index]
    return chain[0] if len(chain) == 1 and isinstance(chain[0], FormParametrization) else None


def value(place: Place) -> Tensor:
    """The parameter's present value, detached."""
    with torch.no_grad():
        return getattr(place.module, place.tensor).detach()


def attach(place: Place, form: FormParametrization) -> None:
    """Give the parameter a trainable form; a form it had is baked in first."""
    if parametrize.is_parametrized(place.module, place.tensor):
        parametrize.remove_parametrizations(place.module, place.tensor, leave_parametrized=True)
    parametrize.register_parametrization(place.module, place.tensor, form)


def detach(module: nn.Module) -> None:
    """Bake every trainable form into plain parameters, in place."""
    for place in places(module).values():
        if parametrization(place) is not None:
            parametrize.remove_parametrizations(place.module, place.tensor, leave_parametrized=True)
