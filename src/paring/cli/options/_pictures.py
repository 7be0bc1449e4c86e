"""How pictures become a network's input, and what its classes are: options of every command that opens a network."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from paring.cli.options._common import numbers
from paring.errors import ArgumentError
from paring.image import NORMALIZATIONS

_PREFIX = "picture_"
_OPTIONS: dict[str, Any] = {
    "size": Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="PIXELS|HxW",
            help="Scale images to this height and width, 224 or 16x28. [dim]Default: the network's.[/dim]",
        ),
    ],
    "mean": Annotated[
        str | None,
        typer.Option(
            "--mean",
            metavar="R,G,B",
            help="Mean of each channel, in 0..1. [dim]Default: measured on the training set.[/dim]",
        ),
    ],
    "std": Annotated[
        str | None,
        typer.Option(
            "--std",
            metavar="R,G,B",
            help="Deviation of each channel, in 0..1. [dim]Default: measured on the training set.[/dim]",
        ),
    ],
    "normalization": Annotated[
        str | None,
        typer.Option(
            "--normalization",
            metavar="NAME",
            help="A usual mean and std by name, in place of --mean and --std: " + ", ".join(NORMALIZATIONS) + ".",
        ),
    ],
    "white": Annotated[
        float | None,
        typer.Option(
            "--white",
            metavar="VALUE",
            help="Sample that is white in pictures of more than 8 bits, 4095 for 12-bit data. "
            "[dim]Default: 65535 of 16-bit ones.[/dim]",
        ),
    ],
    "classes": Annotated[
        Path | None,
        typer.Option(
            "--classes",
            metavar="FILE",
            help="Names of the network's classes in its order, one a line; for data with a part of them.",
        ),
    ],
    "strict": Annotated[
        bool,
        typer.Option("--strict/--no-strict", help="All weights must fit the checkpoint's, or load what fits."),
    ],
}


def picture_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options of :data:`_OPTIONS` in place of its parameter ``pictures``.

    ``pictures`` then holds ``size``, ``mean``, ``std`` and ``white`` as :func:`paring.data.load` takes them, None where
    not given, and ``classes`` (names) and ``strict``.
    """
    own = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        if parameter.name == "pictures":
            parameters += [
                inspect.Parameter(_PREFIX + n, keyword, default=True if n == "strict" else None, annotation=a)
                for n, a in _OPTIONS.items()
            ]
        else:
            parameters.append(parameter.replace(kind=keyword))

    @wraps(command)
    def run(**values: Any) -> None:
        given = {name: values.pop(_PREFIX + name) for name in _OPTIONS}
        command(**values, pictures=_read(given))

    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def said(pictures: dict[str, Any]) -> bool:
    """Whether the user said how pictures are prepared."""
    return any(pictures[name] is not None for name in ("size", "mean", "std", "white"))


def _read(given: dict[str, Any]) -> dict[str, Any]:
    mean, std = numbers(given["mean"], "--mean"), numbers(given["std"], "--std")
    name = given["normalization"]
    if name is not None:
        if mean is not None or std is not None:
            raise ArgumentError("mean and std are given twice", where="--normalization", fix="Leave out one of the two")
        if name not in NORMALIZATIONS:
            raise ArgumentError(
                "no such normalization", where="--normalization", found=name, expected=" or ".join(NORMALIZATIONS)
            )
        mean, std = NORMALIZATIONS[name]
    white = given["white"]
    if white is not None and not 0 < white < 1e30:
        raise ArgumentError("invalid white", where="--white", found=white, expected="above 0")
    names = _names(given["classes"]) if given["classes"] is not None else ()
    size = _size(given["size"])
    return {"size": size, "mean": mean, "std": std, "white": white, "classes": names, "strict": given["strict"]}


def _size(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() and 0 < int(part) <= 65536 for part in parts):
        raise ArgumentError(
            "invalid size", where="--size", found=text, expected="pixels, 224, or height x width, 16x28"
        )
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def _names(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError("cannot read the names of classes", where=f"--classes {file}", found=error) from None
    names = tuple(line.strip() for line in lines if line.strip())
    if not names or len(set(names)) < len(names):
        twice = next((name for name in names if names.count(name) > 1), "none")
        raise ArgumentError("invalid names of classes", where=f"--classes {file}", found=twice, expected="each once")
    return names
