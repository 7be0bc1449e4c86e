"""``paring compress``: a network in, a measured `.pare` file out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paring.cli._invocation import as_typed
from paring.cli.commands.train import threads_here
from paring.cli.inputs._images import all_met
from paring.cli.inputs._networks import check_writable
from paring.cli.options._common import (
    NET_HELP,
    DataIfAny,
    Json,
    Limit,
    OnBadImage,
    Seed,
    Threads,
    Val,
    Weights,
)
from paring.cli.options._pictures import picture_options
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
    Macs,
    Option,
    Preset,
    RecipeHelp,
    RecipeName,
    check_folder,
    options_of,
)
from paring.cli.options._training import Device, Overwrite, Precision, TrackerName, Workers, checked_workers
from paring.cli.render._output import (
    count,
    log,
    note,
    note_bad,
    print_facts,
    print_json,
    print_table,
    rank,
    threads_text,
)
from paring.errors import ArgumentError

if TYPE_CHECKING:
    from paring.cli.inputs._workshop import Workshop
    from paring.container import Inspection
    from paring.recipes import Compressed
    from paring.record import Record

#: Rise of the error above which the user is told what to do about it.
NOTABLE_LOSS = 0.02


@picture_options
def compress(
    net: Annotated[str, typer.Argument(metavar="NET", help=NET_HELP)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.pare", help="The file to write.")],
    data: DataIfAny = None,
    recipe: RecipeName = DEEP_COMPRESSION,
    preset: Preset = None,
    keep: Keep = None,
    macs: Macs = None,
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
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same command, to the same bytes.")
    ] = False,
    overwrite: Overwrite = False,
    restart: Annotated[
        str | None,
        typer.Option(
            "--restart",
            metavar="STEP",
            help="Do this step, by its name or number, and later ones again.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="PAGE.html", help="Also make the one-page report.")
    ] = None,
    seed: Seed = 0,
    pictures: dict[str, Any] | None = None,
    limit: Limit = None,
    on_bad_image: OnBadImage = "stop",
    threads: Threads = None,
    workers: Workers = None,
    device: Device = None,
    precision: Precision = "fp32",
    tracker: TrackerName = "",
    json: Json = False,
) -> None:
    """Compress a network by a recipe: train it if it has no weights yet, change it step by step, write the file.

    \bRECIPES

    Started by torchrun or accelerate launch, the processes share every batch and come to the result of one.

    The file is read back, run over the whole test set in the engine and compared with PyTorch before success is
    reported. Patterns are shell patterns on layer names; one that matches no layer is an error.

    Example: [bold]paring compress lenet_5_caffe --data mnist5k --out lenet.pare --report lenet.html[/bold]

    Example: [bold]paring compress lenet.safetensors --data mnist5k -k 'fc*=5%' -k 'conv*=50%' -c 16 --out lenet.pare
    [/bold]

    Example: [bold]paring compress lenet.safetensors --data mnist5k --recipe int8 --out lenet.pare[/bold]

    Example: [bold]paring compress net.py:net -w net.pt --recipe int8 --calibrate pictures/ --normalization imagenet
    --size 224 --out net.pare[/bold]
    """
    check_writable(out, ".pare", "--out")
    check_writable(report, ".html", "--report")
    _check_words(coding, effort)
    given = {"preset": preset, "keep": keep, "macs": macs, "centroids": centroids, "bits": bits, "layers": layers}
    given |= {"epochs": epochs, "calibrate": calibrate, "augment": augment, "option": option}
    place = calibrate if calibrate is not None and not calibrate.strip().isdigit() else None
    if place is not None:
        given["calibrate"] = None
    options = options_of(recipe, given)
    _check_data(data, place, recipe, options)
    threads, folder = threads_here(threads), run or out.with_suffix(".run")
    if not rank():  # the others may come when the first one has begun
        check_folder(folder, resume or overwrite or restart is not None)
    asked = {**(pictures or {}), "limit": limit, "on_bad_image": on_bad_image}
    if place is not None:
        from paring.cli.inputs._calibration import open_unlabeled

        shop = open_unlabeled(net, weights, place, val, asked, threads)
    else:
        shop = _opened(net, weights, str(data), val, asked, seed, threads, checked_workers(workers))
    again = {"resume": resume, "overwrite": overwrite, "restart": restart}
    where = {"threads": threads, "device": device, "precision": precision, "tracker": tracker}
    how = {
        "trained": place is not None or shop.named.weights is not None,
        "effort": effort,
        "seed": seed,
        "output": out,
        "coding": coding,
    }
    done = _compressed(shop, recipe, folder, {**again, **where, **how, **options})
    if done.main:
        _tell(shop, recipe, done, folder, report, threads, json)


def _opened(
    net: str,
    weights: Path | None,
    data: str,
    val: str | None,
    asked: dict[str, Any],
    seed: int,
    threads: int,
    workers: int | None,
) -> Workshop:
    from paring.cli.inputs._workshop import open_workshop
    from paring.training.input import derived_seed

    return open_workshop(net, weights, data, val, asked, derived_seed(seed, "weights"), threads, workers)


def _compressed(shop: Workshop, recipe: str, folder: Path, options: dict[str, Any]) -> Compressed:
    """The recipe's run; where it is stopped, say how to go on."""
    from paring import recipes
    from paring.training import here

    try:
        done = recipes.compress(
            shop.module,
            (shop.train, shop.test),
            folder,
            recipe,
            name=shop.named.title,
            trained=options.pop("trained"),
            commands=[as_typed()],
            log=note,
            **options,
        )
    except KeyboardInterrupt:
        note(f"Its state is in {folder}; the same command with --resume goes on.")
        raise
    bad = [place for images in (shop.train, shop.test) for place in all_met(here(shop.module), images)]
    if done.main:
        note_bad(bad)
    return done


def _tell(
    shop: Workshop, recipe: str, done: Compressed, folder: Path, report: Path | None, threads: int, json: bool
) -> None:
    """Measure the file and say what it is worth."""
    from paring.cli.measure._comparison import judge, write_report

    record, out = done.record, done.path
    outcome, model, contents = judge(out, record, done.original, shop.test, threads)
    if outcome.error - outcome.error_before > NOTABLE_LOSS:
        note(_advice(recipe, outcome.error - outcome.error_before))
    if report is not None:
        write_report(report, outcome, model, record, folder, (contents, done.inspection))
    if json:
        steps = [step.to_json() for step in done.steps]
        document = {**outcome.to_json(), "recipe": recipe, "record": str(folder / "record.json"), "steps": steps}
        document |= {"paper_bytes": record.paper_bytes, "report": str(report) if report else None}
        print_json({**document, "layers": [vars(x) for x in record.layers]})
        return
    _show_layers(done.inspection, record)
    log()
    outcome.show(f"{shop.named.title} on {outcome.data}, {count(outcome.images)} images, {threads_text(threads)}")
    log()
    facts = {"agreement": outcome.agreement, "file": str(out), "report": str(report or ""), "run": str(folder)}
    print_facts(facts)


def _check_data(data: str | None, place: str | None, recipe: str, options: dict[str, Any]) -> None:
    """Labeled data, or pictures alone for a recipe that trains nothing."""
    if place is None:
        if data is None:
            fix = "Give --data SPEC; int8 also takes pictures without labels: --calibrate FOLDER"
            raise ArgumentError("no data", where=f"--recipe {recipe}", fix=fix)
        return
    if data is not None:
        fix = "Give --data SPEC with --calibrate N, or --calibrate FOLDER with --val SPEC, if anything"
        raise ArgumentError("two sets to calibrate on", where="--calibrate", found=f"{place} and {data}", fix=fix)
    if recipe != "int8" or options.get("epochs"):
        fix = "Give labeled images with --data SPEC, or take --recipe int8 without --epochs"
        raise ArgumentError("training needs labels", where=f"--recipe {recipe} --calibrate {place}", fix=fix)


def _check_words(coding: str, effort: float) -> None:
    if coding not in ("adaptive", "huffman"):
        raise ArgumentError("no such coding", where="--coding", found=coding, expected="adaptive or huffman")
    if not 0 < effort <= 1000:
        raise ArgumentError("invalid effort", where="--effort", found=effort, expected="above 0, up to 1000")


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


#: How the command's help is made.
compress.help_class = RecipeHelp  # type: ignore[attr-defined]
