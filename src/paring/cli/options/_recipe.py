"""The recipes of ``paring compress`` and the options each takes, from the command line's words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from paring.errors import ArgumentError

if TYPE_CHECKING:
    from paring.recipes import Recipe

_PANEL = "What the recipe does"

RecipeName = Annotated[
    str, typer.Option("--recipe", metavar="NAME", help="One of those above.", rich_help_panel=_PANEL)
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        rich_help_panel=_PANEL,
        help="deep-compression: settings to begin with: gentle, quick, small-lenet-5, paper-lenet-5. "
        "[dim]Default: its own, else gentle.[/dim]",
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        "-k",
        metavar="[PATTERN=]SHARE",
        rich_help_panel=_PANEL,
        help="Share of the weights that stays: 5% of all together, or fc1=8% of one layer. May be repeated. "
        "deep-compression, hashed.",
    ),
]
Macs = Annotated[
    str | None,
    typer.Option("--macs", metavar="SHARE", rich_help_panel=_PANEL, help="Share of the MACs that stays, 50%. slim."),
]
Centroids = Annotated[
    list[str] | None,
    typer.Option(
        "--centroids",
        "-c",
        metavar="[PATTERN=]N",
        rich_help_panel=_PANEL,
        help="deep-compression: shared values, 16 in every layer, or conv*=256 in some. May be repeated. "
        "q-cnn: of each sub-space.",
    ),
]
Bits = Annotated[
    int | None,
    typer.Option(
        "--bits",
        metavar="N",
        rich_help_panel=_PANEL,
        help="Bits of a weight (int8, inq) or of a shared value (hashed, q-cnn).",
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        "--layers",
        "-l",
        metavar="PATTERN",
        rich_help_panel=_PANEL,
        help="Work on these layers. May be repeated. [dim]Default: the recipe's choice.[/dim]",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", "-e", metavar="N", rich_help_panel=_PANEL, help="Epochs of each tuning; 0: no tuning."),
]
Calibrate = Annotated[
    str | None,
    typer.Option(
        "--calibrate",
        metavar="N|FOLDER|SPEC",
        rich_help_panel=_PANEL,
        help="How many training images int8, q-cnn and slim look at. Or, for int8 without --data: a folder of pictures "
        "without labels.",
    ),
]
Augment = Annotated[
    str | None,
    typer.Option("--augment", metavar="NAME", rich_help_panel=_PANEL, help="Augmentation while tuning."),
]
Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-O",
        metavar="NAME=VALUE",
        rich_help_panel=_PANEL,
        help="Any other option of the recipe, such as score=l1 of slim. May be repeated.",
    ),
]
Effort = Annotated[
    float,
    typer.Option(
        "--effort",
        metavar="X",
        rich_help_panel=_PANEL,
        help="Multiplies the epochs of every stage; 0.1 for a quick try.",
    ),
]

DEEP_COMPRESSION = "deep-compression"
#: Paragraph of the command's help in whose place the recipes go.
_PLACE = "\bRECIPES"
#: Options of recipes that have an option of the command line of their own.
COMMON = ("preset", "keep", "macs", "centroids", "bits", "layers", "epochs", "calibrate", "augment")


class RecipeHelp(typer.core.TyperCommand):
    """A command whose help lists every recipe there is, plug-ins' too, with its options."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """As any command's."""
        self.help = (self.help or "").replace(_PLACE, f"\b\n{recipe_list()}\n\n\b\n{option_list()}")
        super().format_help(ctx, formatter)


def recipe_list() -> str:
    """A line for each recipe: its name and what it does."""
    recipes = _recipes()
    width = max(map(len, recipes), default=0)
    return "\n".join(f"{name:{width}}  {one.about}" for name, one in recipes.items())


def option_list() -> str:
    """For each recipe, its options that go through -O, with their defaults."""
    lines = ["Further options (-O NAME=VALUE):"]
    for name, one in _recipes().items():
        words = [f"{o.name}={_shown(o.default)}" for o in one.options.values() if o.name not in COMMON]
        lines += wrap(f"{name}: {' '.join(words)}", 76, subsequent_indent="  ") if words else []
    return "\n".join(lines)


def _shown(default: Any) -> str:
    return "" if default is None else json.dumps(default).replace(" ", "")


def _recipes() -> dict[str, Recipe]:
    try:
        from paring import recipes
    except ModuleNotFoundError:  # the help is readable without torch
        return {}
    recipes.load_plugins()
    return {DEEP_COMPRESSION: recipes.find(DEEP_COMPRESSION), **recipes.RECIPES}


def options_of(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """A recipe's options in the types its function takes, from the words of the command line.

    Args:
        name: of the recipe.
        given: those of :data:`COMMON`, and ``option``, as the user wrote them; None or empty where not given.

    Raises:
        ArgumentError: if there is no such recipe; on an option that it does not take, naming those it takes; on one
            that cannot be read or has another type.
    """
    from paring.recipes import find

    recipe, found = find(name), dict[str, Any]()
    for option, value in given.items():
        if value is None or value == []:
            continue
        if option == "option":
            found |= _named(recipe, value)
        elif option not in recipe.options:
            raise _foreign(recipe, option)
        elif option == "calibrate":
            found[option] = recipe.option(option).read(value)
        elif option in ("keep", "centroids"):
            found[option] = amounts(option, value)
        else:
            found[option] = recipe.option(option).read(value) if option == "macs" else value
    recipe.check(found)
    return found


def amounts(option: str, words: Sequence[str]) -> float | dict[str, float]:
    """``5%`` or ``16`` as a number; ``fc1=8%`` as pattern to number, ``*`` then standing for all other layers.

    Raises:
        ArgumentError: if a word cannot be read.
    """
    found: dict[str, float] = {}
    for word in words:
        pattern, _, number = word.rpartition("=")
        try:
            found[pattern or "*"] = _number(number)
        except ValueError:
            raise ArgumentError(
                "cannot read an amount", where=f"--{option}", found=repr(word), expected="like 5%, 16 or fc1=8%"
            ) from None
    if list(found) == ["*"]:
        return found["*"]
    return {pattern: found[pattern] for pattern in sorted(found, key=lambda pattern: pattern != "*")}


def _number(text: str) -> float:
    if text.endswith("%"):
        return float(text[:-1]) / 100
    return int(text) if text.lstrip("-").isdigit() else float(text)


def check_folder(folder: Path, wanted: bool) -> None:
    """An earlier run in the folder is gone on with, or overwritten, only if the user says so.

    Raises:
        ArgumentError: if it is no folder or holds a run of which nothing was said.
    """
    if folder.exists() and not folder.is_dir():
        raise ArgumentError("is not a folder", where=f"--run {folder}")
    if not wanted and (folder / "recipe.json").exists():
        raise ArgumentError(
            "folder holds an earlier run",
            where=f"--run {folder}",
            fix="Go on with it (--resume), do it anew (--overwrite) or name another folder",
        )


def _named(recipe: Recipe, words: list[str]) -> dict[str, Any]:
    """``NAME=VALUE`` words; a value is read as JSON, as a share (``5%``) or as text, as the option's type wants it."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.replace("-", "_")
        if not equals:
            raise ArgumentError("cannot read an option", where="--option", found=repr(word), expected="NAME=VALUE")
        if name not in recipe.options:
            raise _foreign(recipe, f"option {name}")
        found[name] = recipe.option(name).read(value)
    return found


def _foreign(recipe: Recipe, option: str) -> ArgumentError:
    taken = [f"--{name}" for name in COMMON if name in recipe.options]
    taken += [f"--option {name}=" for name in recipe.options if name not in COMMON]
    what = f"recipe {recipe.name} does not take this option"
    return ArgumentError(what, found=f"--{option}", expected=" or ".join(taken))
