"""Which of the selected parameters a method can take over: without a form yet, and read by one layer alone."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.nn.utils import parametrize

from paring.errors import ArgumentError
from paring.parametrize._select import Place, places


def untouched(module: nn.Module, names: Iterable[str]) -> dict[str, Place]:
    """The places of parameters whose trained tensor a method is about to replace by one of another shape.

    Args:
        module: the network.
        names: plain parameter names (see :func:`paring.parametrize.places`).

    Returns:
        name to place.

    Raises:
        ArgumentError: if a parameter has a form already, which would be lost (the zeros of pruning, say), or is shared
            by several modules, of which only one would get the form.
    """
    there = places(module)
    found = {name: there[name] for name in names}
    for name, place in found.items():
        if parametrize.is_parametrized(place.module, place.tensor):
            kind = getattr(place.module.parametrizations[place.tensor][0], "kind", "parametrized")  # type: ignore
            raise ArgumentError(f"weight is already {kind}", where=name, fix="Bake it first: paring.parametrize.detach")
        if place.others:
            users = ", ".join([name, *(other for other, _, _ in place.others)])
            raise ArgumentError("modules share this parameter", where=name, found=users)
    return found
