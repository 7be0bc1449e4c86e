"""The recipes of ``paring compress`` and the options each takes, from the command line's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
        help="deep-compression: weights to keep, 5% of all together, or fc1=8% of one layer. May be repeated. "
        "slim: MACs; tucker: of each layer's MACs; hashed: values.",
    ),
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
        help="int8 and inq: of a weight; hashed, q-cnn: of a shared value.",
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
    typer.Option("--epochs", "-e", metavar="N", rich_help_panel=_PANEL, help="Of each tuning; 0 for none."),
]
Calibrate = Annotated[
    int | None,
    typer.Option(
        "--calibrate",
        metavar="N",
        rich_help_panel=_PANEL,
        help="Training images that int8, q-cnn, slim look at.",
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
#: Every recipe with what it does; those but the first are rows of :data:`paring.recipes.RECIPES`, in the same words.
RECIPES = {
    DEEP_COMPRESSION: "prune, share weights, tune them; the smallest files",
    "int8": "integer weights and activations after training; no training",
    "slim": "fewer channels, half the MACs, taught by the float network",
    "tucker": "layers become chains of smaller ones with half the MACs",
    "q-cnn": "sub-vectors of weights share centroids, fitted to answers",
    "hashed": "weights share few values by a hash function",
    "twn": "ternary weights",
    "bwn": "binary weights, a scale for each filter",
    "xnor-net": "binary weights and inputs",
    "inq": "weights become powers of two, the largest first",
}
#: Options of one recipe alone.
_ITS_OWN = ("preset", "keep", "centroids")


def check_recipe(name: str) -> None:
    """Raises: ArgumentError: if there is no such recipe."""
    if name not in RECIPES:
        raise ArgumentError("no such recipe", where="--recipe", found=name, expected=" or ".join(RECIPES))


def check_deep_compression(given: dict[str, Any]) -> None:
    """Refuse what only the other recipes take.

    Args:
        given: option to the user's value; None or empty where it was not given.

    Raises:
        ArgumentError: naming the options that there are.
    """
    for name, value in given.items():
        if value is not None and value != [] and name not in _ITS_OWN:
            raise _foreign(DEEP_COMPRESSION, name, [f"--{option}" for option in (*_ITS_OWN, "effort")])


def options_of(recipe: Recipe, given: dict[str, Any]) -> dict[str, Any]:
    """The recipe's options in the types its function takes.

    Args:
        recipe: the recipe.
        given: ``preset``, ``keep``, ``centroids``, ``bits``, ``layers``, ``epochs``, ``calibrate``, ``augment`` and
            ``option`` as the user wrote them; None or empty where not given.

    Raises:
        ArgumentError: on an option that the recipe does not take, naming those it takes; on one that cannot be read.
    """
    from paring.recipes import centroid_targets, keep_targets

    known = recipe.options
    common = ("keep", "centroids", "bits", "layers", "epochs", "calibrate", "augment")
    taken = [f"--{name}" for name in common if name in known]
    taken += [f"--option {name}=" for name in known if name not in common]
    found: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or value == []:
            continue
        if name == "option":
            found |= _named(recipe.name, value, known, taken)
        elif name not in known:
            raise _foreign(recipe.name, name, taken)
        elif name == "keep":
            overall, layers = keep_targets(value)
            found |= _amounts(recipe.name, "keep", overall, layers, given, known)
        elif name == "centroids":
            number, each = centroid_targets(value)
            found |= _amounts(recipe.name, "centroids", number, each, given, {})
        else:
            found[name] = value
    return found


def check_folder(folder: Path, recipe: str, wanted: bool) -> None:
    """An earlier run in the folder is gone on with only if the user says so, and only by its own recipe.

    Raises:
        ArgumentError: if it is no folder or holds a run that was not to be gone on with.
    """
    if folder.exists() and not folder.is_dir():
        raise ArgumentError("is not a folder", where=f"--run {folder}")
    deep, steps = any(folder.glob("*.safetensors")), (folder / "recipe.json").exists()
    if (steps and recipe == DEEP_COMPRESSION) or (deep and recipe != DEEP_COMPRESSION):
        raise ArgumentError(
            "folder holds a run of another recipe", where=f"--run {folder}", fix="Name another folder (--run)"
        )
    if not wanted and (deep or steps):
        again = "train" if recipe == DEEP_COMPRESSION else "1"
        raise ArgumentError(
            "folder holds an earlier run",
            where=f"--run {folder}",
            fix=f"Go on with it (--resume), do it again (--restart {again}) or name another folder",
        )


def _amounts(
    recipe: str, name: str, overall: Any, layers: Mapping[str, Any], given: dict[str, Any], known: dict[str, Any]
) -> dict[str, Any]:
    """An amount for all layers, or one for each pattern, as the recipe takes them."""
    if layers and ("layers" not in known or given.get("layers") or overall is not None):
        what = "one amount for all layers" if "layers" not in known else "either an amount for all or one a pattern"
        raise ArgumentError(f"recipe {recipe} takes {what}", where=f"--{name}", found=", ".join(layers))
    return {"layers": layers} if layers else {name: overall}


def _named(recipe: str, words: list[str], known: dict[str, Any], taken: list[str]) -> dict[str, Any]:
    """``NAME=VALUE`` words; a value is read as JSON where it is such, else as text."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.replace("-", "_")
        if not equals:
            raise ArgumentError("cannot read an option", where="--option", found=repr(word), expected="NAME=VALUE")
        if name not in known:
            raise _foreign(recipe, f"option {name}", taken)
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
        if known[name] is not None and not _alike(found[name], known[name]):
            kind = type(known[name]).__name__
            raise ArgumentError("option has another type", where=f"--option {name}", found=value, expected=kind)
    return found


def _alike(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, list if isinstance(default, tuple | list) else type(default))


def _foreign(recipe: str, option: str, taken: list[str]) -> ArgumentError:
    return ArgumentError(f"recipe {recipe} does not take this option", found=f"--{option}", expected=" or ".join(taken))
