"""The options of a recipe: their types are those that its function's signature says, checked before anything runs."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from paring.errors import ArgumentError

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", types.NoneType: "none"}


@dataclass(frozen=True)
class Option:
    """An option of a recipe.

    Attributes:
        name: as it is written.
        kind: its type, as the signature says.
        default: what is taken if the user says nothing.
    """

    name: str
    kind: Any
    default: Any

    def check(self, value: Any) -> None:
        """Raises: ArgumentError: if the value is of another type."""
        if not _fits(value, self.kind):
            raise self._another(value)

    def read(self, text: str) -> Any:
        """The value that a command line's text stands for: JSON, a word, or a share as ``5%``.

        Raises:
            ArgumentError: if it is of another type.
        """
        found: list[Any] = []
        with suppress(ValueError):
            found.append(json.loads(text))
        with suppress(ValueError):
            found += [float(text.removesuffix("%")) / 100] if text.endswith("%") else []
        for value in (*found, text):
            if _fits(value, self.kind):
                return value
        raise self._another(text)

    def _another(self, value: Any) -> ArgumentError:
        return ArgumentError(
            "option has another type", where=f"option {self.name}", found=repr(value), expected=_described(self.kind)
        )


def options_of(make: Callable[..., Any]) -> dict[str, Option]:
    """The options a function takes: its keyword-only parameters."""
    kinds, found = get_type_hints(make), inspect.signature(make).parameters.values()
    return {
        one.name: Option(one.name, kinds.get(one.name, Any), one.default)
        for one in found
        if one.kind is one.KEYWORD_ONLY
    }


def _fits(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    if origin is Sequence:
        return isinstance(value, Sequence) and not isinstance(value, str) and all(_fits(one, inner[0]) for one in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def _described(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_described(one) for one in inner)
    if origin is Mapping:
        return f"patterns to {_described(inner[1])} each"
    if origin is Sequence:
        return f"a list of which each is {_described(inner[0])}"
    return _WORDS.get(kind, str(kind))
