"""What :func:`paring.sensitivity.sensitivity` can do to one layer: registered methods that say how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from torch import nn

from paring import methods
from paring.capture import capture, rebuild
from paring.errors import ArgumentError
from paring.graph import Graph
from paring.methods import Amount, Method, Trial
from paring.methods._amounts import Strength as Strength

#: Path of the layer in the box that a method is given.
LAYER = "layer"


@dataclass
class Bench:
    """A network with what methods that need the whole of it ask for.

    Attributes:
        module: in eval mode, plain parameters.
        shape: of one input, without the batch.
    """

    module: nn.Module
    shape: tuple[int, ...]

    @cached_property
    def graph(self) -> Graph:
        """The network as a graph, batch norms apart.

        Raises:
            GraphError: if it cannot be captured.
        """
        return capture(self.module, self.shape, fold=False, forms=False)


@dataclass(frozen=True)
class Tried:
    """A method, tried on one layer.

    Attributes:
        method: as registered.
        trial: how it is tried.
    """

    method: Method
    trial: Trial

    @property
    def amount(self) -> Amount:
        """What a strength is."""
        return self.method.amounts[0]

    def show(self, strength: Strength) -> str:
        """A strength as text."""
        return self.amount.show(strength)

    def change(self, box: nn.Module, strength: Strength) -> None:
        """Act in place on a module whose only child ``layer`` is a copy of the layer.

        Raises:
            ArgumentError: why this layer cannot be treated so.
        """
        value = self.amount.value(strength)
        if self.trial.layer is not None:
            self.trial.layer(box, LAYER, value)
        else:
            self.method.apply(box, {LAYER: value}, **self.trial.options)

    def network(self, bench: Bench, path: str, strength: Strength) -> nn.Module:
        """The changed network, for a method that changes more than one layer; errors as :meth:`change`."""
        assert self.trial.graph is not None
        return rebuild(self.trial.graph(bench.graph, path, self.amount.value(strength)))


def tried() -> dict[str, Tried]:
    """Every method that can be tried on one layer, the usual ones first.

    Raises:
        ParingError: if a plug-in cannot be imported.
    """
    rows = [Tried(one, one.trial) for one in methods.methods().values() if one.trial is not None]
    return {row.method.name: row for row in sorted(rows, key=lambda row: not row.trial.usual)}


def usual() -> list[str]:
    """What is tried if nobody says what: methods that need nothing but torch and lose little without retraining."""
    return [name for name, row in tried().items() if row.trial.usual]


def tried_by(name: str) -> Tried:
    """The method of that name.

    Raises:
        ArgumentError: if there is none that can be tried on one layer, with the nearest names.
    """
    rows, key = tried(), name.replace("-", "_")
    if key not in rows:
        near = get_close_matches(key, rows, 2, cutoff=0.4) or list(rows)
        raise ArgumentError("unknown method", found=repr(name), expected=" or ".join(near))
    return rows[key]


def strengths_of(name: str, given: Sequence[Strength] = ()) -> tuple[Strength, ...]:
    """The strengths to try, the method's own if none are given, each once.

    Raises:
        ArgumentError: if the method is unknown or a strength cannot be.
    """
    row = tried_by(name)
    for strength in given:
        try:
            row.amount.value(strength)
        except ArgumentError:
            raise ArgumentError(
                f"invalid strength of {name}", found=repr(strength), expected=row.amount.expected
            ) from None
    return tuple(dict.fromkeys(given or row.trial.strengths))


def read_methods(words: list[str]) -> dict[str, tuple[Strength, ...]]:
    """Methods as a user writes them: ``prune``, ``prune=50%,20%``, ``quantize=8,4``; no word for the usual ones.

    Raises:
        ArgumentError: if a method is unknown or a strength cannot be read or cannot be.
    """
    chosen: dict[str, tuple[Strength, ...]] = {}
    for word in words or usual():
        name, _, numbers = word.partition("=")
        row = tried_by(name)
        try:
            given = tuple(row.amount.read(number.strip()) for number in numbers.split(",")) if numbers else ()
        except ValueError:
            raise ArgumentError(
                f"cannot read strengths of {name!r}", found=repr(word), expected=row.amount.expected
            ) from None
        chosen[row.method.name] = strengths_of(name, given)
    return chosen


def described() -> str:
    """The methods that can be tried, a line each: name, amount and what it does."""
    rows: list[tuple[str, Any]] = [(name.replace("_", "-"), row) for name, row in tried().items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {row.method.about} ({row.trial.unit})" for name, row in rows)
