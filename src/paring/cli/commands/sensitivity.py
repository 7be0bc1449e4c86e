"""``paring sensitivity``: what each layer alone loses under each method."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paring.cli._invocation import as_typed
from paring.cli.inputs._networks import check_writable, opened
from paring.cli.options._common import (
    NET_HELP,
    Data,
    Json,
    OnBadImage,
    Threads,
    Weights,
    checked_threads,
)
from paring.cli.options._pictures import picture_options
from paring.cli.render._output import (
    count,
    log,
    note,
    note_bad,
    percent,
    print_facts,
    print_json,
    print_table,
    threads_text,
)
from paring.errors import ArgumentError

if TYPE_CHECKING:
    from paring.sensitivity import Sensitivity

#: Images that are measured on unless the user says otherwise: two standard errors are 2 points at 90 %.
_IMAGES = 1000


def _listed(words: list[str] | None) -> list[str] | None:
    """Name the methods and end, if that is asked."""
    if words and "list" in words:
        from paring.sensitivity import described

        print(described())
        raise typer.Exit
    return words


@picture_options
def sensitivity(
    net: Annotated[str, typer.Argument(metavar="NET", help=NET_HELP)],
    data: Data,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE.json", help="The result; FILE.jsonl beside it keeps every point."),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME[=S,S,...]",
            help="A method, with strengths if not the usual ones: prune=50%,20% or quantize=8,4. May be given many "
            "times. [bold]--method list[/bold] names them all, those of plug-ins too. "
            "[dim]Default: the usual ones.[/dim]",
            callback=_listed,
            is_eager=True,
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer", metavar="PATTERN", help="Only these layers; may be given many times. [dim]Default: all.[/dim]"
        ),
    ] = None,
    weights: Weights = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="train, test or all.")] = "test",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", help="Images to measure on, evenly spaced over the split.")
    ] = _IMAGES,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw a panel a method, a line a layer (png, svg)."),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", metavar="N", help="How many images to compute at once.")
    ] = 128,
    threads: Threads = None,
    pictures: dict[str, Any] | None = None,
    on_bad_image: OnBadImage = "stop",
    json: Json = False,
) -> None:
    """Show which layers bear which method: each layer alone is changed, mild to strong, and the network measured.

    Nothing is retrained. Every point is on the disk before the next is computed: the same command after Ctrl-C or a
    crash goes on from there, and one with more methods or layers computes only what is new.

    Example: [bold]paring sensitivity lenet.safetensors --data mnist5k --out sens.json --plot sens.png[/bold]

    Example: [bold]paring sensitivity resnet20 -w resnet20.safetensors --data 'parquet:cifar10/*.parquet' -m
    prune=50%,20% -m quantize --layer 'layer1.*' --out sens.json[/bold]
    """
    from paring import networks

    check_writable(out, ".json", "--out")
    if plot is not None:
        if plot.suffix not in (".png", ".svg", ".pdf"):
            raise ArgumentError(
                "plot has an unknown ending", where="--plot", found=plot.name, expected=".png, .svg or .pdf"
            )
        check_writable(plot, plot.suffix, "--plot")
    threads = checked_threads(threads)
    given = dict(pictures or {})
    names, strict = given.pop("classes"), given.pop("strict")
    named = networks.find(net, weights, strict)
    if named.weights is None and not named.own_weights:
        raise ArgumentError("network has no trained weights", found=net, fix="Give a checkpoint, or --weights FILE")
    loading: dict[str, Any] = {"limit": limit, "on_bad_image": on_bad_image}

    from paring import sensitivity as analysis

    asked = analysis.read_methods(method or [])
    samples, module = opened(named, data, split, loading | given, names)
    note_bad(samples.bad)
    import torch

    from paring.api._images import tensor
    from paring.training.loop import write_atomic

    torch.set_num_threads(threads)
    found = analysis.sensitivity(
        module,
        tensor(samples),
        samples.labels,
        methods=asked,
        layers=layer or ["*"],
        cache=out.with_suffix(".jsonl"),
        batch=batch_size,
    )
    document = {
        "network": named.title,
        "data": samples.name,
        "split": samples.split,
        "skipped": samples.skipped,
        "command": as_typed(),
        **found.to_json(),
    }
    write_atomic(out, (json_.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    if plot is not None:
        from paring.cli.render._plot_sensitivity import plot_sensitivity

        plot_sensitivity(plot, found, f"{named.title} on {samples.name.partition(':')[0]} {samples.split}")
    _remark(found)
    if json:
        print_json(document)
        return
    _show(found)
    print_facts(
        {
            "network": named.title,
            "data": f"{samples.name} {samples.split}, {count(found.images)} images",
            "float": percent(found.accuracy),
            "points": f"{count(len(found.points))}, {count(found.computed)} of them new, {threads_text(threads)}",
            "result": str(out),
            "plot": str(plot or ""),
        }
    )


def _show(found: Sensitivity) -> None:
    """A table a method: accuracy, layers by strengths."""
    from paring.sensitivity import tried_by

    for name, strengths in found.methods.items():
        rows = [(layer, *(percent(p.accuracy, 1) for p in found.of(name, layer))) for layer in found.layers]
        row = tried_by(name)
        columns = ("layer", *(row.show(strength) for strength in strengths))
        print_table(columns, rows, title=f"{name}: accuracy by {row.trial.unit}")
        log()


def _remark(found: Sensitivity) -> None:
    """What could not be done, a line a layer and reason."""
    from paring.sensitivity import tried_by

    gone: dict[tuple[str, str, str], list[str]] = {}
    for point in found.points:
        if point.reason:
            shown = tried_by(point.method).show(point.strength)
            gone.setdefault((point.method, point.layer, point.reason), []).append(shown)
    for (method, layer, reason), strengths in gone.items():
        note(f"{layer}: {method} {', '.join(strengths)} not done: {reason}")
