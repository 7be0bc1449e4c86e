"""Options that several commands share, with one wording each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paring.errors import ArgumentError


def _stop_or_skip(word: str) -> str:
    if word not in ("stop", "skip"):
        raise typer.BadParameter(f"found {word!r}; expected stop or skip.")
    return word


DATA_KINDS = "mnist5k, mnist:FOLDER, imagefolder:FOLDER, parquet:GLOB or hub:NAME"

Data = Annotated[str, typer.Option("--data", "-d", metavar="SPEC", help=f"Data set: {DATA_KINDS}.")]
Threads = Annotated[
    int | None, typer.Option("--threads", "-t", metavar="N", help="Processor threads. [dim]Default: all cores.[/dim]")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="All randomness is derived from it.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", help="Use only N images of each split, evenly spaced."),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size", metavar="PIXELS", help="Height and width images are brought to. [dim]Default: the network's.[/dim]"
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean", metavar="R,G,B", help="Per channel in 0..1. [dim]Default: measured on the training set.[/dim]"
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        "--std", metavar="R,G,B", help="Per channel in 0..1. [dim]Default: measured on the training set.[/dim]"
    ),
]
OnBadImage = Annotated[
    str,
    typer.Option(
        "--on-bad-image",
        metavar="stop|skip",
        callback=_stop_or_skip,
        show_default=False,
        help="Stop at a damaged image, or leave such images out and count them. [dim]Default: stop.[/dim]",
    ),
]
Val = Annotated[
    str | None,
    typer.Option("--val", metavar="SPEC", help="Test on this set. [dim]Default: the test split of --data.[/dim]"),
]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", "-w", metavar="FILE", help="Checkpoint of NET: .safetensors, or .pt with plain tensors."),
]

NET_HELP = (
    "A name from the zoo (lenet_5_caffe), a checkpoint that [bold]paring train[/bold] wrote, or your own network as "
    "path/to/file.py:function or package.module:function, a function that returns an nn.Module, with (key=value) "
    "behind it for arguments. That code is run. Also timm:NAME, torchvision:NAME, and a .pt2 file of torch.export."
)


def numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """``0.5,0.4`` as floats.

    Raises:
        ArgumentError: if a part is no number.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentError(
            "not a list of numbers", where=option, found=repr(text), expected="like 0.5,0.5,0.5"
        ) from None


def checked_threads(threads: int | None) -> int:
    """The number of threads to use.

    Raises:
        ArgumentError: if it is below 1 or above 256.
    """
    import os

    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not 1 <= threads <= 256:
        raise ArgumentError("impossible number of threads", where="--threads", found=threads, expected="1 to 256")
    return threads
