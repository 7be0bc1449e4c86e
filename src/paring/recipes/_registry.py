"""The recipes by name. A recipe registers itself in its own file; so does one of another package.

    @recipe("ternary weights")
    def twn(context: RecipeContext, *, factor: float = 0.75, epochs: int = 20) -> list[Step]: ...

Its name is that of the function, with ``-`` for ``_``; its options are the function's keyword-only parameters. A
package outside of this one names the module of its recipes in the entry-point group ``paring.recipes``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, TypeVar

from paring.errors import ArgumentError
from paring.recipes._options import Option, options_of
from paring.recipes.run._context import RecipeContext
from paring.recipes.steps._base import Step

#: Entry points of packages that bring recipes.
GROUP = "paring.recipes"

_Make = TypeVar("_Make", bound=Callable[..., list[Step]])


@dataclass(frozen=True)
class Recipe:
    """A recipe: a list of steps that depends on the network and on its options.

    Attributes:
        name: as the user writes it.
        about: what it does, in a line.
        make: takes a :class:`RecipeContext` and, by keyword, the options; gives the steps between the float network and
            the file. If the first one is ``train``, that is how a network without weights is trained.
        compare: name of another coding the file is also written in, to compare; empty for none.
    """

    name: str
    about: str
    make: Callable[..., list[Step]]
    compare: str = ""

    @cached_property
    def options(self) -> dict[str, Option]:
        """The options it takes, by name."""
        return options_of(self.make)

    def check(self, options: Mapping[str, Any]) -> None:
        """See that it takes these options.

        Raises:
            ArgumentError: on one it does not take, naming those it takes; on one of another type.
        """
        for name, value in options.items():
            self.option(name).check(value)

    def option(self, name: str) -> Option:
        """The option of that name.

        Raises:
            ArgumentError: if there is none, naming those there are.
        """
        if name not in self.options:
            near = get_close_matches(name, self.options, 1)
            raise ArgumentError(
                f"recipe {self.name} does not take this option",
                found=name,
                expected=", ".join(self.options),
                fix=f"Did you mean {near[0]}?" if near else None,
            )
        return self.options[name]

    def steps(self, context: RecipeContext, options: Mapping[str, Any]) -> list[Step]:
        """The resolved list.

        Raises:
            ArgumentError: as :meth:`check`, or on an option that is out of range.
        """
        self.check(options)
        return self.make(context, **options)


#: Every recipe that has registered itself.
RECIPES: dict[str, Recipe] = {}


def recipe(about: str, *, compare: str = "") -> Callable[[_Make], _Make]:
    """Register the function below as a recipe.

    Args:
        about: what it does, in a line.
        compare: see :class:`Recipe`.

    Raises:
        ArgumentError: if another function has registered this name.
    """

    def register(make: _Make) -> _Make:
        name = make.__name__.replace("_", "-")
        before = RECIPES.get(name)
        if before is not None and before.make.__module__ != make.__module__:
            raise ArgumentError(
                "two recipes of one name", found=f"{name} of {make.__module__}", expected=before.make.__module__
            )
        RECIPES[name] = Recipe(name, about, make, compare)
        return make

    return register


def find(name: str) -> Recipe:
    """The recipe of that name, of this package or of another one that is installed.

    Raises:
        ArgumentError: if there is none, with the nearest names.
    """
    if name not in RECIPES:
        load_plugins()
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, 3, cutoff=0.4) or list(RECIPES)
        raise ArgumentError("no such recipe", found=repr(name), expected=" or ".join(near))
    return RECIPES[name]


def load_plugins() -> None:
    """Let the recipes of other packages register themselves; one that cannot be imported is warned of."""
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:  # a stranger's module raises anything
            warnings.warn(f"recipes of {point.value} cannot be loaded: {error}", stacklevel=2)
