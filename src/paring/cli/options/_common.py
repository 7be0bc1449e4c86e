"""Options that several commands share, with one wording each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paring.cli.measure._load import cores
from paring.errors import ArgumentError

if TYPE_CHECKING:
    from paring.runtime import Limits


def _stop_or_skip(word: str) -> str:
    if word not in ("stop", "skip"):
        raise typer.BadParameter(f"found {word!r}; expected stop or skip.")
    return word


DATA_KINDS = "mnist5k, mnist:FOLDER, imagefolder:FOLDER, parquet:GLOB or hub:NAME"

Data = Annotated[str, typer.Option("--data", "-d", metavar="SPEC", help=f"Data set: {DATA_KINDS}.")]
DataIfAny = Annotated[str | None, typer.Option("--data", "-d", metavar="SPEC", help=f"Data set: {DATA_KINDS}.")]
Threads = Annotated[
    int | None, typer.Option("--threads", "-t", metavar="N", help="Processor threads. [dim]Default: all cores.[/dim]")
]
Output = Annotated[
    str,
    typer.Option(
        "--output",
        metavar="KIND",
        help="What the answers are: logits, probabilities, multi-label, regression or map. "
        "[dim]Default: what the file says, else what its last operators show.[/dim]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, max=(1 << 63) - 1, help="Seed of everything random.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", help="Use only N images of each split, evenly spaced."),
]
OnBadImage = Annotated[
    str,
    typer.Option(
        "--on-bad-image",
        metavar="stop|skip",
        callback=_stop_or_skip,
        show_default=False,
        help="Stop at the first damaged image, or skip damaged images and count them. [dim]Default: stop.[/dim]",
    ),
]
NoLimits = Annotated[
    bool,
    typer.Option("--no-limits", help="Run a .pare file even if it would take far more memory or time than its size."),
]
Val = Annotated[
    str | None,
    typer.Option("--val", metavar="SPEC", help="Test on this set. [dim]Default: the test split of --data.[/dim]"),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        "-w",
        metavar="FILE",
        help="Checkpoint of NET: .safetensors, or .pt with plain tensors; FILE#PART for one part of it (#model_ema).",
    ),
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


def limits(lifted: bool) -> Limits | None:
    """What ``--no-limits`` says, for :func:`paring.runtime.load`."""
    from paring.runtime import Limits

    return None if lifted else Limits()


def checked_threads(threads: int | None) -> int:
    """The number of threads to use: what is asked for, else ``OMP_NUM_THREADS``, else all cores.

    Raises:
        ArgumentError: if it is below 1 or above 256.
    """
    if threads is None:
        wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        return min(int(wanted), 256) if wanted.isdigit() and int(wanted) else cores()
    if not 1 <= threads <= 256:
        raise ArgumentError("invalid number of threads", where="--threads", found=threads, expected="1 to 256")
    return threads
