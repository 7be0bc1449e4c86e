"""``paring train``: train a network and write a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paring.cli._invocation import as_typed
from paring.cli.inputs._images import all_met, telling
from paring.cli.inputs._networks import check_writable
from paring.cli.options._common import (
    NET_HELP,
    Data,
    Json,
    Limit,
    OnBadImage,
    Seed,
    Threads,
    Val,
    Weights,
    checked_threads,
)
from paring.cli.options._pictures import picture_options
from paring.cli.options._training import (
    Device,
    Every,
    KeepCheckpoints,
    LogEvery,
    Overwrite,
    Preset,
    ReportPage,
    Resume,
    Run,
    TrackerName,
    Until,
    Workers,
    checked_workers,
    chosen,
    training_options,
)
from paring.cli.render._output import count, note, note_bad, percent, print_facts, print_json

if TYPE_CHECKING:
    from paring.cli.inputs._workshop import Workshop
    from paring.training import Settings, Source, World
    from paring.training.loop import Outcome


@picture_options
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
    overwrite: Overwrite = False,
    until: Until = None,
    report: ReportPage = None,
    workers: Workers = None,
    device: Device = None,
    keep_checkpoints: KeepCheckpoints = 2,
    checkpoint: Every = 60.0,
    log: LogEvery = 50,
    tracker: TrackerName = "",
    seed: Seed = 0,
    pictures: dict[str, Any] | None = None,
    limit: Limit = None,
    on_bad_image: OnBadImage = "stop",
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
    asked = {**(pictures or {}), "limit": limit, "on_bad_image": on_bad_image}
    from paring.cli.inputs._workshop import open_workshop

    shop = open_workshop(net, weights, data, val, asked, seed, threads_here(threads), checked_workers(workers))
    with telling(world, folder, (shop.train, shop.test)):
        outcome = training.run(
            shop.module,
            batches(shop, settings, world),
            settings,
            folder=folder,
            evaluate=training.evaluator(shop.test),
            classes=len(shop.train.classes),
            resume=resume,
            overwrite=overwrite,
            until=until,
            identity=identity(shop),
            about=about(shop, preset),
            world=world,
            keep=keep_checkpoints,
            clock=training.Clock(checkpoint),
            log_every=log,
            tracker=tracker,
            title=shop.named.title,
            log=note,
        )
    bad, bad_tests = (all_met(world, images) for images in (shop.train, shop.test))
    if world.main:
        note_bad([*bad, *bad_tests])
        finish(shop, settings, outcome, folder, out, report, json, skipped=len(bad), test_skipped=len(bad_tests))


def batches(shop: Workshop, settings: Settings, world: World) -> Source:
    """The training set as batches: any object that is a :class:`paring.training.Source` will do."""
    return shop.train.batches(
        size=settings.batch,
        seed=settings.seed,
        augment=settings.augment,
        channels_last=settings.channels_last,
        device=world.device,
    )


def threads_here(threads: int | None) -> int:
    """As many as asked for, or this process's share of the cores."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return checked_threads(threads) if threads is not None else max(checked_threads(None) // local, 1)


def identity(shop: Workshop) -> dict[str, Any]:
    """What the result depends on beside the settings; where fresh weights came from, their checkpoint's bytes."""
    import hashlib

    from paring import networks

    weights = shop.named.weights
    return {
        "net": shop.named.net,
        "data": shop.train.digest,
        "weights": hashlib.sha256(networks.file_of(weights).read_bytes()).hexdigest() if weights else "",
    }


def about(shop: Workshop, preset: str | None) -> dict[str, Any]:
    """What the record of the run says for people."""
    return {
        "network": shop.named.net,
        "parameters": shop.parameters,
        "data": shop.train.name,
        "train images": len(shop.train),
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
    test_skipped: int = 0,
) -> None:
    """Write the checkpoint and say what came out, with ``more`` facts of the command's own.

    ``skipped`` and ``test_skipped`` count damaged images beside those that were left out when the sets were opened.
    """
    from paring.cli.inputs._networks import save

    shop.module.to("cpu")
    save(out, shop.module, shop.named, shop.train.first)
    if report is not None:
        from paring.report import write_training

        write_training(report, folder)
    position = outcome.position
    result = {
        "network": shop.named.net,
        "parameters": shop.parameters,
        "data": shop.train.name,
        "train_images": len(shop.train),
        "test_images": len(shop.test) - test_skipped,
        "skipped": skipped + test_skipped + shop.train.skipped + shop.test.skipped,
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
            "data": f"{shop.train.name}, {count(len(shop.train))} images to train, "
            f"{count(result['test_images'])} to test"
            + (f", {count(result['skipped'])} damaged left out" if result["skipped"] else ""),
            "trained": f"{outcome.steps:,} steps in {position.seconds:.1f} s, last mean loss "
            f"{result['train_loss']:.4f}",
            "test error": percent(outcome.score["error"]),
            "checkpoint": f"{out}, {count(result['bytes'])} bytes",
            "run folder": str(folder),
        }
    )
