"""``paring distill``: train a network by the answers of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from paring.cli.commands.train import about, batches, finish, identity, threads_here
from paring.cli.inputs._images import all_met, telling
from paring.cli.inputs._networks import check_writable
from paring.cli.inputs._teachers import hint_pairs, opened_teachers
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
from paring.cli.render._output import note, note_bad
from paring.errors import ArgumentError

_PANEL = "Teacher"


@picture_options
@training_options
def distill(
    net: Annotated[str, typer.Argument(metavar="STUDENT", help=NET_HELP)],
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.safetensors", help="The checkpoint to write.")],
    teacher: Annotated[
        list[str],
        typer.Option(
            "--teacher",
            metavar="NET[:weights]|FILE.pare",
            rich_help_panel=_PANEL,
            help="A zoo name with its checkpoint (resnet56:resnet56.safetensors), a checkpoint of paring train, "
            "your own path/to/file.py:function, or a .pare file. Several are an ensemble.",
        ),
    ],
    teacher_mean: Annotated[
        str | None,
        typer.Option(
            "--teacher-mean",
            metavar="R,G,B",
            rich_help_panel=_PANEL,
            help="How images were normalized for a teacher whose file does not say it (.pare files and checkpoints of "
            "paring train do), per channel in 0..1. [dim]Default: as the student's.[/dim]",
        ),
    ] = None,
    teacher_std: Annotated[
        str | None,
        typer.Option("--teacher-std", metavar="R,G,B", rich_help_panel=_PANEL, help="Goes with --teacher-mean."),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature",
            metavar="T",
            rich_help_panel=_PANEL,
            help="Temperature of the soft targets; inf matches logits.",
        ),
    ] = 4.0,
    hard_weight: Annotated[
        float,
        typer.Option(
            "--hard-weight", metavar="X", rich_help_panel=_PANEL, help="Share of the labels in the loss, 0 to 1."
        ),
    ] = 0.1,
    ensemble: Annotated[
        str,
        typer.Option(
            "--average",
            metavar="NAME",
            rich_help_panel=_PANEL,
            help="What to average over teachers: logits or probabilities.",
        ),
    ] = "logits",
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="FILE.safetensors",
            rich_help_panel=_PANEL,
            help="The teachers' logits on the undistorted images: computed into this file once, then read.",
        ),
    ] = None,
    cache_half: Annotated[
        bool, typer.Option("--cache-half", rich_help_panel=_PANEL, help="Keep these logits in half precision.")
    ] = False,
    hint: Annotated[
        list[str] | None,
        typer.Option(
            "--hint",
            metavar="LAYER=LAYER",
            rich_help_panel=_PANEL,
            help="The student's layer learns the teacher's, through a 1x1 convolution that is dropped at the end.",
        ),
    ] = None,
    hint_weight: Annotated[
        float,
        typer.Option(
            "--hint-weight", metavar="X", rich_help_panel=_PANEL, help="Weight of all hints together in the loss."
        ),
    ] = 1.0,
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
    """Train a student by the softened answers of one or more teachers, beside the labels, and write its checkpoint.

    The teachers see each image as the student does, distorted alike. With --cache they are asked once, about the
    undistorted images, and do not run in training: choose it with --augment none, and without --workers. Everything
    else is as in paring train, --resume and several processes included.

    Example: [bold]paring distill lenet_300_100 --teacher lenet.safetensors --data mnist5k --temperature 8 --out
    student.safetensors[/bold]

    Example: [bold]paring distill resnet20 --teacher resnet56:resnet56.safetensors --hint layer2=layer2 --preset
    resnet-cifar10 --data parquet:cifar10 --out student.safetensors[/bold]
    """
    from paring import training

    check_writable(out, ".safetensors", "--out")
    check_writable(cache, ".safetensors", "--cache")
    check_writable(report, ".html", "--report")
    pairs = hint_pairs(hint or [])
    if not temperature > 0:
        raise ArgumentError("invalid temperature", where="--temperature", found=temperature, expected="above 0")
    if not 0 <= hard_weight <= 1:
        raise ArgumentError("invalid weight", where="--hard-weight", found=hard_weight, expected="0 to 1")
    checked_workers(workers)
    if workers is not None and cache is not None:
        raise ArgumentError(
            "logits are cached of images in memory",
            where="--cache",
            found=f"--workers {workers}",
            fix="Leave out one of the two: without --cache the teacher answers as the images come",
        )
    folder = run or out.with_suffix(".train")
    settings = chosen(preset, given or {}, seed)
    world = training.join(device, tracker=tracker, folder=folder)
    asked = {**(pictures or {}), "limit": limit, "on_bad_image": on_bad_image}
    from paring import distillation
    from paring.cli.inputs._workshop import open_workshop

    shop = open_workshop(net, weights, data, val, asked, seed, threads_here(threads), workers)
    tell = note if world.main else lambda line: None
    teachers = opened_teachers(teacher, shop.train.first, teacher_mean, teacher_std, tell)

    facts = {"teacher": ", ".join(teacher), "temperature": str(temperature), "hard weight": str(hard_weight)}
    with telling(world, folder, (shop.train, shop.test)):
        outcome = distillation.distill(
            shop.module,
            batches(shop, settings, world),
            settings,
            teachers,
            shop.train.first,
            folder=folder,
            temperature=temperature,
            hard_weight=hard_weight,
            average=ensemble,
            cache=cache,
            cache_dtype="F16" if cache_half else "F32",
            hints=pairs,
            hint_weight=hint_weight,
            identity=identity(shop),
            warn=note,
            evaluate=training.evaluator(shop.test),
            classes=len(shop.train.classes),
            resume=resume,
            overwrite=overwrite,
            until=until,
            about={**about(shop, preset), **facts},
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
        finish(shop, settings, outcome, folder, out, report, json, facts, len(bad), len(bad_tests))
