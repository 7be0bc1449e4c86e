"""Every method by its name. A method registers itself in its own file, and what lists methods reads it from here.

    @method(
        "weights of small magnitude become zero",
        kind="pruning", form="sparse", amounts=(KEEP,), trial=Trial((0.8, 0.5, 0.2), "weights kept"),
    )
    def prune(module, targets=None, *, keep=None, amount=None, bits=32) -> Report: ...

Recipe steps, the sensitivity analysis, the command line's help and the table of ``docs/methods/README.md`` follow. A
package outside of this one does the same and names its module in the entry-point group ``paring.methods``.
"""

from __future__ import annotations

import inspect
from ast import literal_eval
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar

from torch import nn

from paring.capture import Rebuilt
from paring.errors import ArgumentError
from paring.graph import Graph
from paring.layers import bare
from paring.methods._amounts import Amount, Strength
from paring.methods._report import Report
from paring.parametrize._plugins import load_plugins

F = TypeVar("F", bound=Callable[..., Report])

#: Arguments of a method that whoever runs it has: data, a seed, the shape of an input. They are no options.
SUPPLIED = ("images", "batches", "loss", "example", "seed", "norms", "gates", "scores")
_TYPES = {"int": int, "float": float | int, "bool": bool, "str": str, "None": type(None)}


@dataclass(frozen=True)
class Trial:
    """How a method is tried on one layer alone (:func:`paring.sensitivity.sensitivity`).

    Attributes:
        strengths: what is tried if the user names none, from mild to strong; amounts of the method's first kind.
        unit: what a strength counts, for tables and plots.
        options: further arguments of the method.
        layer: acts instead of the method, in place, on a module whose only child is a copy of the layer; takes that
            module, the child's name and the amount.
        graph: acts instead of the method, for one that changes more than the layer; takes the whole graph, the path of
            the layer and the amount, and gives the changed graph.
        usual: whether it is tried if the user names no method.
    """

    strengths: tuple[Strength, ...]
    unit: str
    options: Mapping[str, Any] = field(default_factory=dict)
    layer: Callable[[nn.Module, str, Any], object] | None = None
    graph: Callable[[Graph, str, Any], Graph] | None = None
    usual: bool = False


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes:
        name: in Python, in a recipe, on the command line (where ``-`` may stand for ``_``) and on its page.
        about: what it does, in one line.
        kind: what it belongs to: ``pruning``, ``sharing``, ...
        form: kind of the form that weights get, or what the network becomes.
        page: of the documentation, in ``docs/methods``; empty for a plug-in without one.
        apply: the function: takes a network (a module, or a graph where it says so), targets and options.
        amounts: what its targets are; the first is what stands behind the network unnamed. Empty: no targets.
        trial: for the sensitivity analysis; None: it cannot be tried on one layer.
        calibrate: training images that a recipe gives it unless told otherwise.
        structure: whether the network has other layers, or other shapes, afterwards.
        optional: whether targets may be left out, because an option says how much in all.
    """

    name: str
    about: str
    kind: str
    form: str
    page: str
    apply: Callable[..., Report]
    amounts: tuple[Amount, ...] = ()
    trial: Trial | None = None
    calibrate: int = 0
    structure: bool = False
    optional: bool = False

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """All arguments but the network."""
        return dict(list(inspect.signature(self.apply).parameters.items())[1:])

    @property
    def options(self) -> dict[str, Any]:
        """The options with their defaults: neither targets nor what is supplied."""
        amounts = {name for amount in self.amounts for name in (amount.name, amount.complement)}
        without = {*SUPPLIED, *amounts, "targets"}
        return {name: one.default for name, one in self.parameters.items() if name not in without}

    @property
    def needs(self) -> str:
        """What data it can take: ``labels``, ``images``, or nothing."""
        names = self.parameters
        return "labels" if "batches" in names else "images" if "images" in names else ""

    def arguments(self, targets: Any = None, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All arguments by name, JSON values, checked before anything runs: targets resolved, options with defaults.

        Raises:
            ArgumentError: on an argument it does not take, of another type, or an amount that cannot be.
        """
        given, options = dict(given or {}), self.options
        chosen = self._targets(targets, given)
        for name, value in given.items():
            if name not in options:
                near = get_close_matches(name, options, 1)
                raise ArgumentError(
                    f"{self.name} does not take this option",
                    found=name,
                    expected=", ".join([*(amount.name for amount in self.amounts), *options]),
                    fix=f"Did you mean {near[0]}?" if near else None,
                )
            self._check_type(name, value)
        for name, value in options.items():
            if value is inspect.Parameter.empty and name not in given:
                raise ArgumentError(f"{self.name} needs this option", expected=f"{name}=")
        merged = {name: given.get(name, value) for name, value in options.items() if name in given or value is not None}
        return {**chosen, **{name: _plain(value) for name, value in merged.items()}}

    def _targets(self, targets: Any, given: dict[str, Any]) -> dict[str, Any]:
        parts = {a.name: (given.pop(a.name, None), given.pop(a.complement, None)) for a in self.amounts}
        named = [a for a in self.amounts if parts[a.name] != (None, None)]
        if not self.amounts and targets is not None:
            first = next(iter(self.options), None)
            if first is None or first in given or self.parameters[first].kind is inspect.Parameter.KEYWORD_ONLY:
                raise ArgumentError(f"{self.name} takes no targets", found=repr(targets))
            given[first] = targets
        if len(named) > 1:
            raise ArgumentError("two amounts were given", found=" and ".join(f"{a.name}=" for a in named))
        if not self.amounts or (self.optional and targets is None and not named):
            return {}
        amount = named[0] if named else self.amounts[0]
        return {amount.name: {k: _plain(v) for k, v in amount.targets(targets, *parts[amount.name]).items()}}

    def _check_type(self, name: str, value: Any) -> None:
        written = self.parameters[name].annotation
        if isinstance(written, str) and written.startswith("Literal["):
            choices = literal_eval(written.removeprefix("Literal"))
            if value not in choices:
                raise ArgumentError(f"unknown {name}", found=repr(value), expected=" or ".join(choices))
            return
        words = [word.strip() for word in written.split("|")] if isinstance(written, str) else []
        if not words or any(word not in _TYPES for word in words):
            return
        fits = any(isinstance(value, _TYPES[word]) for word in words)
        if not fits or (isinstance(value, bool) and "bool" not in words):
            raise ArgumentError(f"invalid {name} of {self.name}", found=repr(value), expected=written)


#: Every registered method by its name.
_METHODS: dict[str, Method] = {}


def method(
    about: str,
    *,
    kind: str,
    form: str,
    page: str = "",
    amounts: Iterable[Amount] = (),
    trial: Trial | None = None,
    calibrate: int = 0,
    structure: bool = False,
    optional: bool = False,
) -> Callable[[F], F]:
    """Register the decorated function as a method under its own name; arguments as :class:`Method`'s.

    Its first argument is the network; ``targets`` and each amount's keywords follow where it has amounts. What is named
    in :data:`SUPPLIED` comes from whoever runs it; everything else is an option, a JSON value with a default.

    The method gets a network out of its wrappers (:func:`paring.layers.bare`).

    Raises:
        TypeError: if another method has the name.
    """

    def registered(function: F) -> F:
        function = _unwrapping(function)
        name = function.__name__
        there = _METHODS.get(name)
        if there is not None and there.apply.__module__ != function.__module__:
            raise TypeError(f"two methods are called {name!r}: {there.apply.__module__} and {function.__module__}")
        _METHODS[name] = Method(
            name, about, kind, form, page, function, tuple(amounts), trial, calibrate, structure, optional
        )
        return function

    return registered


def _unwrapping(function: F) -> F:
    @wraps(function)
    def unwrapped(*arguments: Any, **options: Any) -> Any:
        return function(*map(_bare, arguments), **{name: _bare(value) for name, value in options.items()})

    return unwrapped  # type: ignore[return-value]


def _bare(value: Any) -> Any:
    return bare(value) if isinstance(value, nn.Module) else value


def methods() -> dict[str, Method]:
    """Every method by its name, those of plug-ins included.

    Raises:
        ParingError: if a plug-in cannot be imported.
    """
    load_plugins()
    return dict(_METHODS)


def find(name: str) -> Method:
    """The method of that name; ``-`` may stand for ``_``.

    Raises:
        ArgumentError: if there is none, with the nearest names.
        ParingError: if there is none, and a plug-in that may have it cannot be imported.
    """
    key = name.replace("-", "_")
    if key not in _METHODS:
        load_plugins()
    if key not in _METHODS:
        near = get_close_matches(key, _METHODS, 3, cutoff=0.4) or sorted(_METHODS)
        raise ArgumentError("unknown method", found=repr(name), expected=" or ".join(near))
    return _METHODS[key]


def must_be_module(network: nn.Module, what: str) -> None:
    """See that a network is a module of its own layers.

    Raises:
        ArgumentError: if it is rebuilt from a graph, whose layers are no modules.
    """
    if isinstance(network, Rebuilt):
        raise ArgumentError(f"a network that is a graph cannot be {what}", fix="Do it before the network is cut")


def _plain(value: Any) -> Any:
    """As JSON reads it back."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
