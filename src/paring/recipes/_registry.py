"""The recipes by name. A new one is a file with a function that gives its steps, and a row here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from paring.errors import ArgumentError
from paring.recipes.builtin._bwn import bwn
from paring.recipes.builtin._hashed import hashed
from paring.recipes.builtin._inq import inq
from paring.recipes.builtin._int8 import int8
from paring.recipes.builtin._q_cnn import q_cnn
from paring.recipes.builtin._slim import slim
from paring.recipes.builtin._tucker import tucker
from paring.recipes.builtin._twn import twn
from paring.recipes.builtin._xnor_net import xnor_net
from paring.recipes.run._context import RecipeContext
from paring.recipes.steps._base import Step


@dataclass(frozen=True)
class Recipe:
    """A recipe that is a list of steps.

    Attributes:
        name: as the user writes it.
        about: what it does, in a line.
        make: takes the subject and, by keyword, the options; gives the steps between the float network and the file.
    """

    name: str
    about: str
    make: Callable[..., list[Step]]

    @property
    def options(self) -> dict[str, Any]:
        """The options it takes, with their defaults."""
        known = inspect.signature(self.make).parameters.values()
        return {option.name: option.default for option in known if option.kind is option.KEYWORD_ONLY}

    def steps(self, subject: RecipeContext, options: Mapping[str, Any]) -> list[Step]:
        """The resolved list.

        Raises:
            ArgumentError: on an option it does not take, naming those it takes; on one that cannot be.
        """
        for name in options:
            if name not in self.options:
                near = get_close_matches(name, self.options, 1)
                raise ArgumentError(
                    f"recipe {self.name} does not take this option",
                    found=name,
                    expected=", ".join(self.options),
                    fix=f"Did you mean {near[0]}?" if near else None,
                )
        return self.make(subject, **options)


#: Every recipe that is a list of steps.
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("int8", "integer weights and activations after training; no training", int8),
        Recipe("slim", "fewer channels, half the MACs, taught by the float network", slim),
        Recipe("tucker", "layers become chains of smaller ones with half the MACs", tucker),
        Recipe("q-cnn", "sub-vectors of weights share centroids, fitted to answers", q_cnn),
        Recipe("hashed", "weights share few values by a hash function", hashed),
        Recipe("twn", "ternary weights", twn),
        Recipe("bwn", "binary weights, a scale for each filter", bwn),
        Recipe("xnor-net", "binary weights and inputs", xnor_net),
        Recipe("inq", "weights become powers of two, the largest first", inq),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ArgumentError: if there is none, with the nearest names.
    """
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, 3, cutoff=0.4) or list(RECIPES)
        raise ArgumentError("no such recipe", found=repr(name), expected=" or ".join(near))
    return RECIPES[name]
