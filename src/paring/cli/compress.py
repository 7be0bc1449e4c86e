"""``paring compress``: a network in, a measured `.pare` file out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paring.cli._command import as_typed
from paring.cli._networks import check_writable
from paring.cli._options import (
    NET_HELP,
    Data,
    Json,
    Limit,
    Mean,
    Seed,
    Size,
    SkipBad,
    Std,
    Threads,
    Val,
    Weights,
    checked_threads,
    numbers,
    on_bad_image,
)
from paring.cli._output import count, note, print_facts, print_json, print_table, say, threads_text
from paring.errors import ArgumentError

if TYPE_CHECKING:
    from paring.cli._workshop import Workshop
    from paring.container import Inspection
    from paring.recipes import Settings
    from paring.record import Record

#: Rise of the error above which the user is told what to do about it.
NOTABLE_LOSS = 0.02
RECIPES = ("deep-compression",)


def compress(
    net: Annotated[str, typer.Argument(metavar="NET", help=NET_HELP)],
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.pare", help="The file to write.")],
    recipe: Annotated[str, typer.Option("--recipe", metavar="NAME", help="deep-compression.")] = RECIPES[0],
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Settings to begin with: gentle, quick, small-lenet-5, paper-lenet-5. [dim]Default: its own, "
            "else gentle.[/dim]",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            "-k",
            metavar="[PATTERN=]SHARE",
            help="Weights to keep: 5% of all together, or fc1=8% of one layer. May be repeated.",
        ),
    ] = None,
    centroids: Annotated[
        list[str] | None,
        typer.Option(
            "--centroids",
            "-c",
            metavar="[PATTERN=]N",
            help="Shared values: 16 in every layer, or conv*=256 in some. May be repeated.",
        ),
    ] = None,
    effort: Annotated[
        float, typer.Option("--effort", metavar="X", help="Multiplies the epochs of every stage; 0.1 for a quick try.")
    ] = 1.0,
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
            "--restart", metavar="STAGE", help="Do this stage and later ones again: train, prune, retrain, share, tune."
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
    skip_bad_images: SkipBad = False,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Compress a network: train it if it has no weights yet, prune it, share its weights, tune them, write the file.

    The file is read back, run over the whole test set in the engine and compared with PyTorch before success is
    reported. Patterns are shell patterns on layer names; one that matches no layer is an error.

    Example: [bold]paring compress lenet_5_caffe --data mnist5k --out lenet.pare --report lenet.html[/bold]

    Example: [bold]paring compress lenet.safetensors --data mnist5k -k 'fc*=5%' -k 'conv*=50%' -c 16 --out lenet.pare
    [/bold]
    """
    from paring.cli._outcome import judge, write_report
    from paring.cli._workshop import open_workshop

    check_writable(out, ".pare", "--out")
    check_writable(report, ".html", "--report")
    _check_words(recipe, coding, effort)
    threads = checked_threads(threads)
    folder = run or out.with_suffix(".run")
    _check_folder(folder, resume or restart is not None)
    asked = {
        "size": size,
        "mean": numbers(mean, "--mean"),
        "std": numbers(std, "--std"),
        "limit": limit,
        "on_bad_image": on_bad_image(skip_bad_images),
    }
    shop = open_workshop(net, weights, data, val, asked, seed, threads)
    settings = _settings(shop, preset, keep or [], centroids or [], effort)
    record = _run(shop, settings, folder, out, coding, seed, restart, threads)
    outcome, model = judge(out, record, shop.float_network(folder), shop.test, threads)
    if outcome.error - outcome.error_before > NOTABLE_LOSS:
        note(
            f"The error rose by {100 * (outcome.error - outcome.error_before):.1f} points. Keep more weights (--keep), "
            "let them share more values (--centroids) or train longer (--effort)."
        )
    if report is not None:
        write_report(report, outcome, model, record, folder)
    if json:
        document = {**outcome.to_json(), "record": str(folder / "record.json"), "paper_bytes": record.paper_bytes}
        print_json({**document, "report": str(report) if report else None, "layers": [vars(x) for x in record.layers]})
        return
    from paring import container

    _show_layers(container.inspect(out), record)
    say()
    outcome.show(f"{shop.named.title} on {outcome.data}, {count(outcome.images)} images, {threads_text(threads)}")
    say()
    print_facts(
        {
            "agreement": outcome.agreement,
            "file": str(out),
            "report": str(report or ""),
            "run": str(folder),
        }
    )


def _check_words(recipe: str, coding: str, effort: float) -> None:
    if recipe not in RECIPES:
        raise ArgumentError("no such recipe", where="--recipe", found=recipe, expected=" or ".join(RECIPES))
    if coding not in ("adaptive", "huffman"):
        raise ArgumentError("no such coding", where="--coding", found=coding, expected="adaptive or huffman")
    if not 0 < effort <= 1000:
        raise ArgumentError("impossible effort", where="--effort", found=effort, expected="above 0, up to 1000")


def _check_folder(folder: Path, wanted: bool) -> None:
    """An earlier run in the folder is gone on with only if the user says so."""
    if folder.exists() and not folder.is_dir():
        raise ArgumentError("is not a folder", where=f"--run {folder}")
    if not wanted and folder.is_dir() and any(folder.glob("*.safetensors")):
        raise ArgumentError(
            "folder holds an earlier run",
            where=f"--run {folder}",
            fix="Go on with it (--resume), do it again (--restart train) or name another folder",
        )


def _settings(shop: Workshop, preset: str | None, keep: list[str], centroids: list[str], effort: float) -> Settings:
    """The preset with the user's changes; a network that has weights is not trained from scratch."""
    from paring import recipes

    settings = recipes.preset(preset or recipes.default_preset(shop.named.title)).scaled(effort)
    overall, layers = recipes.keep_targets(keep)
    shared, shared_layers = recipes.centroid_targets(centroids)
    changes: dict[str, Any] = {}
    if overall is not None:
        changes["keep"] = overall
    if keep:
        changes["keep_layers"] = layers
    if shared is not None:
        changes["centroids"] = shared
    if centroids:
        changes["centroid_layers"] = shared_layers
    if shop.named.weights is not None:
        changes["train"] = {"epochs": 0}
    return settings.changed(**changes)


def _run(
    shop: Workshop,
    settings: Settings,
    folder: Path,
    out: Path,
    coding: str,
    seed: int,
    restart: str | None,
    threads: int,
) -> Record:
    from paring.recipes import deep_compression

    try:
        return deep_compression(
            shop.maker(),
            (shop.train, shop.test),
            folder,
            settings=settings,
            seed=seed,
            restart=restart,
            output=out,
            coding=coding,
            threads=threads,
            commands=[as_typed()],
            say=note,
        )
    except KeyboardInterrupt:
        note(f"Its state is in {folder}; the same command with --resume goes on.")
        raise


def _show_layers(table: Inspection, record: Record) -> None:
    """One row per weight and part of the file; they add up to its length."""
    layers = {layer.name: layer for layer in record.layers}
    rows = []
    for row in table.rows:
        layer = layers.get(row.name) if row.section == "weights" else None
        kept = f"{100 * row.nonzeros / row.weights:.2f} %" if row.weights else ""
        shared = count(layer.centroids) if layer and layer.centroids is not None else ""
        bits = f"{8 * row.size / row.weights:.3f}" if row.weights else ""
        paper = count(layer.paper_bytes) if layer and layer.paper_bytes is not None else ""
        rows.append((row.name, "x".join(map(str, row.shape)), kept, shared, bits, count(row.size), paper))
    total = ("file", "", "", "", "", count(table.total), count(record.paper_bytes))
    columns = ("part", "shape", "kept", "centroids", "bits/weight", "bytes", "in the paper's coding")
    print_table(columns, rows, total=total)
