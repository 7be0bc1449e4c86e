"""``paring train``: train a network and write a checkpoint."""

from __future__ import annotations

import os
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
from paring.cli._output import count, note, note_bad, percent, print_facts, print_json
from paring.cli._training_options import (
    Device,
    Every,
    Keep,
    LogEvery,
    Preset,
    Resume,
    Run,
    TrackerName,
    Until,
    chosen,
    training_options,
)
from paring.errors import ArgumentError

if TYPE_CHECKING:
    from paring.cli._workshop import Workshop
    from paring.training import Outcome, Settings, Source


@training_options
def train(
    net: Annotated[str, typer.Argument(metavar="NET", help=NET_HELP)],
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.safetensors", help="The checkpoint to write.")],
    val: Val = None,
    weights: Weights = None,
    preset: Preset = None,
    given: dict[str, Any] | None = None,
    run: Run = None,
    resume: Resume = False,
    until: Until = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="PAGE.html", help="Also make a page with the curves.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            "-j",
            metavar="N",
            help="Read training images as they are needed, decoded in N processes, instead of holding all in memory.",
        ),
    ] = None,
    device: Device = None,
    keep: Keep = 2,
    checkpoint: Every = 60.0,
    log: LogEvery = 50,
    tracker: TrackerName = "",
    seed: Seed = 0,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    limit: Limit = None,
    skip_bad_images: SkipBad = False,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Train a network from fresh weights (or from --weights) and write a checkpoint that paring compress takes.

    While it runs, its state is kept in the run folder every minute and on Ctrl-C; --resume goes on from there, to the
    same bits as an uninterrupted run with as many threads. Started by torchrun or accelerate launch, the processes
    share each batch and come to the result of one.

    Example: [bold]paring train lenet_5_caffe --data mnist5k --epochs 20 --augment light --out lenet.safetensors[/bold]

    Example: [bold]paring train resnet20 --preset resnet-cifar10 --data parquet:cifar10 --out resnet.safetensors
    [/bold]
    """
    from paring import training

    check_writable(out, ".safetensors", "--out")
    check_writable(report, ".html", "--report")
    folder = run or out.with_suffix(".train")
    settings = chosen(preset, given or {}, seed)
    world = training.join(device, tracker=tracker, folder=folder)
    asked = {
        "size": size,
        "mean": numbers(mean, "--mean"),
        "std": numbers(std, "--std"),
        "limit": limit,
        "on_bad_image": on_bad_image(skip_bad_images),
    }
    from paring.cli._workshop import open_workshop

    if workers is not None and workers < 0:
        raise ArgumentError("impossible number of processes", where="--workers", found=workers, expected="0 or more")
    shop = open_workshop(net, weights, data, val, asked, seed, threads_here(threads), stream=workers is not None)
    images = source(shop, settings, workers or 0, on_bad_image(skip_bad_images))
    try:
        outcome = training.run(
            shop.module,
            images,
            settings,
            folder=folder,
            evaluate=training.evaluator(shop.test),
            classes=len(shop.train.classes),
            resume=resume,
            until=until,
            identity=identity(shop),
            about=about(shop, preset),
            world=world,
            keep=keep,
            clock=training.Clock(checkpoint),
            log_every=log,
            tracker=tracker,
            title=shop.named.title,
            say=note,
        )
    except KeyboardInterrupt:
        if world.main and training.Checkpoints(folder).paths():
            note(f"Its state is in {folder}; the same command with --resume goes on.")
        raise
    finally:  # a stream meets its damaged images on the way, each process those of its share
        met = getattr(images, "bad", {})
        note_bad(met)
    if world.main:
        finish(shop, settings, outcome, folder, out, report, json, skipped=len(met))


def source(shop: Workshop, settings: Settings, workers: int = 0, bad: str = "stop") -> Source:
    """The training set as batches: any object that is a :class:`paring.training.Source` will do."""
    from paring import training

    preparation = shop.train.preparation
    if shop.listing is not None:
        return training.Stream(
            shop.listing,
            preparation,
            size=settings.batch,
            seed=settings.seed,
            augment=settings.augment,
            workers=workers,
            on_bad_image=bad,
            channels_last=settings.channels_last,
        )
    return training.Batches(
        shop.train.images,
        shop.train.labels,
        mean=preparation.mean,
        std=preparation.std,
        size=settings.batch,
        seed=settings.seed,
        augment=settings.augment,
        channels_last=settings.channels_last,
    )


def threads_here(threads: int | None) -> int:
    """As many as asked for, or this process's share of the cores."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return checked_threads(threads) if threads is not None else max(checked_threads(None) // local, 1)


def identity(shop: Workshop) -> dict[str, Any]:
    """What the result depends on beside the settings; where fresh weights came from, their checkpoint's bytes."""
    import hashlib

    weights = shop.named.weights
    return {
        "net": shop.named.net,
        "data": shop.digest,
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest() if weights else "",
    }


def about(shop: Workshop, preset: str | None) -> dict[str, Any]:
    """What the record of the run says for people."""
    return {
        "network": shop.named.net,
        "parameters": shop.parameters,
        "data": shop.train.name,
        "train images": shop.train_images,
        "test set": shop.test.name,
        "test images": len(shop.test),
        "preset": preset or "",
        "command": as_typed(),
    }


def finish(
    shop: Workshop,
    settings: Settings,
    outcome: Outcome,
    folder: Path,
    out: Path,
    report: Path | None,
    json: bool,
    more: dict[str, str] | None = None,
    skipped: int = 0,
) -> None:
    """Write the checkpoint and say what came out, with ``more`` facts of the command's own.

    ``skipped`` counts damaged training images beside those that were left out when the set was opened.
    """
    from paring.cli._networks import save

    shop.module.to("cpu")
    save(out, shop.module, shop.named, shop.train)
    if report is not None:
        from paring.report import write_training

        write_training(report, folder)
    position = outcome.position
    result = {
        "network": shop.named.net,
        "parameters": shop.parameters,
        "data": shop.train.name,
        "train_images": shop.train_images,
        "test_images": len(shop.test),
        "skipped": skipped + shop.train.skipped + shop.test.skipped,
        "epochs": position.epoch,
        "steps": outcome.steps,
        "seconds": position.seconds,
        "train_loss": outcome.history[-1]["train_loss"],
        "error": outcome.score["error"],
        "checkpoint": str(out),
        "bytes": out.stat().st_size,
        "run": str(folder),
    }
    if json:
        print_json(result | {name.replace(" ", "_"): fact for name, fact in (more or {}).items()})
        return
    print_facts(
        {
            **(more or {}),
            "network": f"{shop.named.net}, {count(shop.parameters)} parameters",
            "data": f"{shop.train.name}, {count(shop.train_images)} images to train, {count(len(shop.test))} to test"
            + (f", {count(result['skipped'])} damaged left out" if result["skipped"] else ""),
            "trained": f"{outcome.steps:,} steps in {position.seconds:.1f} s, last mean loss "
            f"{result['train_loss']:.4f}",
            "test error": percent(outcome.score["error"]),
            "checkpoint": f"{out}, {count(result['bytes'])} bytes",
            "run folder": str(folder),
        }
    )
