"""``paring compress``: a network in, a measured `.pare` file out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paring.cli._invocation import as_typed
from paring.cli.inputs._networks import check_writable
from paring.cli.options._common import (
    NET_HELP,
    Data,
    Json,
    Limit,
    Mean,
    OnBadImage,
    Seed,
    Size,
    Std,
    Threads,
    Val,
    Weights,
    checked_threads,
    numbers,
)
from paring.cli.options._recipe import (
    DEEP_COMPRESSION,
    Augment,
    Bits,
    Calibrate,
    Centroids,
    Effort,
    Epochs,
    Keep,
    Layers,
    Option,
    Preset,
    RecipeName,
    check_deep_compression,
    check_folder,
    check_recipe,
    options_of,
)
from paring.cli.render._output import count, log, note, print_facts, print_json, print_table, threads_text
from paring.errors import ArgumentError

if TYPE_CHECKING:
    from torch import nn

    from paring.cli.inputs._workshop import Workshop
    from paring.container import Inspection
    from paring.record import Record

#: Rise of the error above which the user is told what to do about it.
NOTABLE_LOSS = 0.02


def compress(
    net: Annotated[str, typer.Argument(metavar="NET", help=NET_HELP)],
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.pare", help="The file to write.")],
    recipe: RecipeName = DEEP_COMPRESSION,
    preset: Preset = None,
    keep: Keep = None,
    centroids: Centroids = None,
    bits: Bits = None,
    layers: Layers = None,
    epochs: Epochs = None,
    calibrate: Calibrate = None,
    augment: Augment = None,
    option: Option = None,
    effort: Effort = 1.0,
    coding: Annotated[
        str, typer.Option("--coding", metavar="NAME", help="adaptive (smallest) or huffman (the paper's own).")
    ] = "adaptive",
    val: Val = None,
    weights: Weights = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", "-r", metavar="DIR", help="Checkpoints and record. [dim]Default: FILE.run[/dim]"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the same command was interrupted, to the same bytes.")
    ] = False,
    restart: Annotated[
        str | None,
        typer.Option(
            "--restart",
            metavar="STAGE",
            help="Do this stage and later ones again: train, prune, retrain, share, tune; of the other recipes a "
            "step's name or number.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="PAGE.html", help="Also make the one-page report.")
    ] = None,
    seed: Seed = 0,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    limit: Limit = None,
    on_bad_image: OnBadImage = "stop",
    threads: Threads = None,
    device: Annotated[
        str,
        typer.Option("--device", metavar="NAME", help="Where recipes but deep-compression train: cpu, cuda or cuda:1."),
    ] = "cpu",
    json: Json = False,
) -> None:
    """Compress a network by a recipe: train it if it has no weights yet, change it step by step, write the file.

    \b
    deep-compression  prune, share weights, tune them; the smallest files
    int8              integer weights and activations after training; no training
    slim              fewer channels, half the MACs, taught by the float network
    tucker            layers become chains of smaller ones with half the MACs
    q-cnn             sub-vectors of weights share centroids, fitted to answers
    hashed            weights share few values by a hash function
    twn               ternary weights
    bwn               binary weights, a scale for each filter
    xnor-net          binary weights and inputs
    inq               weights become powers of two, the largest first

    The file is read back, run over the whole test set in the engine and compared with PyTorch before success is
    reported. Patterns are shell patterns on layer names; one that matches no layer is an error.

    Example: [bold]paring compress lenet_5_caffe --data mnist5k --out lenet.pare --report lenet.html[/bold]

    Example: [bold]paring compress lenet.safetensors --data mnist5k -k 'fc*=5%' -k 'conv*=50%' -c 16 --out lenet.pare
    [/bold]

    Example: [bold]paring compress lenet.safetensors --data mnist5k --recipe int8 --out lenet.pare[/bold]
    """
    from paring.cli.inputs._workshop import open_workshop
    from paring.cli.measure._comparison import judge, write_report

    check_writable(out, ".pare", "--out")
    check_writable(report, ".html", "--report")
    check_recipe(recipe)
    _check_words(coding, effort)
    given = {"preset": preset, "keep": keep, "centroids": centroids, "bits": bits, "layers": layers, "epochs": epochs}
    given |= {"calibrate": calibrate, "augment": augment, "option": option}
    if recipe == DEEP_COMPRESSION:
        check_deep_compression(given | {"device": None if device == "cpu" else device})
    threads = checked_threads(threads)
    folder = run or out.with_suffix(".run")
    check_folder(folder, recipe, resume or restart is not None)
    asked = {
        "size": size,
        "mean": numbers(mean, "--mean"),
        "std": numbers(std, "--std"),
        "limit": limit,
        "on_bad_image": on_bad_image,
    }
    shop = open_workshop(net, weights, data, val, asked, seed, threads)
    if recipe == DEEP_COMPRESSION:
        from paring.cli._deep_compression import run_deep_compression, settings_of

        settings = settings_of(shop, preset, keep or [], centroids or [], effort)
        record = run_deep_compression(shop, settings, folder, out, coding, seed, restart, threads)
        original, steps = shop.float_network(folder), [vars(stage) for stage in record.stages]
    else:
        common = {
            "on": device,
            "effort": effort,
            "seed": seed,
            "resume": resume,
            "restart": restart,
            "threads": threads,
        }
        record, original, steps = _run_steps(shop, recipe, given, folder, output=out, coding=coding, **common)
    outcome, model = judge(out, record, original, shop.test, threads)
    if outcome.error - outcome.error_before > NOTABLE_LOSS:
        note(_advice(recipe, outcome.error - outcome.error_before))
    if report is not None:
        write_report(report, outcome, model, record, folder)
    if json:
        document = {**outcome.to_json(), "recipe": recipe, "record": str(folder / "record.json"), "steps": steps}
        document |= {"paper_bytes": record.paper_bytes, "report": str(report) if report else None}
        print_json({**document, "layers": [vars(x) for x in record.layers]})
        return
    from paring import container

    _show_layers(container.inspect(out), record)
    log()
    outcome.show(f"{shop.named.title} on {outcome.data}, {count(outcome.images)} images, {threads_text(threads)}")
    log()
    print_facts(
        {
            "agreement": outcome.agreement,
            "file": str(out),
            "report": str(report or ""),
            "run": str(folder),
        }
    )


def _check_words(coding: str, effort: float) -> None:
    if coding not in ("adaptive", "huffman"):
        raise ArgumentError("no such coding", where="--coding", found=coding, expected="adaptive or huffman")
    if not 0 < effort <= 1000:
        raise ArgumentError("impossible effort", where="--effort", found=effort, expected="above 0, up to 1000")


def _run_steps(
    shop: Workshop, name: str, given: dict[str, Any], folder: Path, **common: Any
) -> tuple[Record, nn.Module, list[dict[str, Any]]]:
    """A recipe that is a list of steps: its record, the float network, and what each step did as JSON values."""
    from paring import recipes

    options = options_of(recipes.recipe(name), given)
    try:
        done = recipes.compress(
            shop.maker(),
            (shop.train, shop.test),
            folder,
            name,
            trained=shop.named.weights is not None,
            commands=[as_typed()],
            log=note,
            **common,
            **options,
        )
    except KeyboardInterrupt:
        note(f"Its state is in {folder}; the same command with --resume goes on.")
        raise
    return done.record, done.original, [step.to_json() for step in done.steps]


def _advice(recipe: str, loss: float) -> str:
    words = f"The error rose by {100 * loss:.1f} points. "
    if recipe == DEEP_COMPRESSION:
        return (
            words + "Keep more weights (--keep), let them share more values (--centroids) or train longer (--effort)."
        )
    return words + "Tune longer (--effort), ask for less, or leave layers out (--layers)."


def _show_layers(table: Inspection, record: Record) -> None:
    """One row per weight and part of the file; they add up to its length."""
    layers = {layer.name: layer for layer in record.layers}
    paper = record.paper_bytes is not None
    rows = []
    for row in table.rows:
        layer = layers.get(row.name) if row.section == "weights" else None
        kept = f"{100 * row.nonzeros / row.weights:.2f} %" if row.weights else ""
        shared = count(layer.centroids) if layer and layer.centroids is not None else ""
        bits = f"{8 * row.size / row.weights:.3f}" if row.weights else ""
        cells = [row.name, "x".join(map(str, row.shape)), kept, shared if paper else row.form, bits, count(row.size)]
        if paper:
            cells.append(count(layer.paper_bytes) if layer and layer.paper_bytes is not None else "")
        rows.append(cells)
    total = ["file", "", "", "", "", count(table.total), *([count(record.paper_bytes)] if paper else [])]
    columns = ["part", "shape", "kept", "centroids" if paper else "form", "bits/weight", "bytes"]
    print_table(columns + (["in the paper's coding"] if paper else []), rows, total=total)
