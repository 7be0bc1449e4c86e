"""The options of a training run, told once for every command that trains, and the settings they come to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paring.errors import ArgumentError

if TYPE_CHECKING:
    from paring.training import Settings

#: What is taken where neither an option nor a preset says otherwise.
DEFAULTS: dict[str, Any] = {"epochs": 20, "batch": 64, "optimizer": "adam", "lr": 1e-3, "schedule": "cosine"}

_RATE, _STEP, _IMAGES, _SPEED = "Learning rate", "Optimizer", "What the loss sees", "Arithmetic and memory"


def _option(kind: Any, panel: str, *words: str, metavar: str | None = None, text: str) -> Any:
    return Annotated[kind | None, typer.Option(*words, metavar=metavar, help=text, rich_help_panel=panel)]


#: Before the name of a setting where it is a parameter, so that a command can have parameters of the same name.
_PREFIX = "setting_"

#: Settings by name, each with its option. All are None unless given, so that a preset shows through.
_OPTIONS: dict[str, Any] = {
    "epochs": _option(
        int, _STEP, "--epochs", "-e", metavar="N", text="Passes over the training set. [dim]Default: 20.[/dim]"
    ),
    "batch": _option(
        int,
        _STEP,
        "--batch-size",
        "-b",
        metavar="N",
        text="Images per step, all processes together. [dim]Default: 64.[/dim]",
    ),
    "optimizer": _option(
        str, _STEP, "--optimizer", metavar="NAME", text="sgd, adam, adamw or rmsprop. [dim]Default: adam.[/dim]"
    ),
    "momentum": _option(
        float, _STEP, "--momentum", metavar="X", text="Momentum of sgd and rmsprop. [dim]Default: 0.9.[/dim]"
    ),
    "nesterov": _option(bool, _STEP, "--nesterov/--no-nesterov", text="Nesterov's momentum, with sgd."),
    "weight_decay": _option(float, _STEP, "--weight-decay", metavar="X", text="L2 penalty. [dim]Default: 0.[/dim]"),
    "decay_biases": _option(
        bool, _STEP, "--decay-biases/--no-decay-biases", text="Also decay biases and normalizations, or not."
    ),
    "clip": _option(float, _STEP, "--clip", metavar="X", text="Largest norm of all gradients together; 0: no limit."),
    "ema": _option(
        float, _STEP, "--ema", metavar="X", text="Keep a moving average of the weights with this decay, and score it."
    ),
    "lr": _option(float, _RATE, "--lr", metavar="X", text="Learning rate at the start. [dim]Default: 0.001.[/dim]"),
    "schedule": _option(
        str,
        _RATE,
        "--schedule",
        metavar="NAME",
        text="constant, cosine, step, inv, polynomial, linear or exponential. [dim]Default: cosine.[/dim]",
    ),
    "warmup": _option(int, _RATE, "--warmup", metavar="STEPS", text="Steps of a linear rise at the start."),
    "milestones": _option(
        str,
        _RATE,
        "--milestones",
        metavar="T,T",
        text="Where step falls: fractions of the training, or numbers of steps. [dim]Default: 0.5,0.75.[/dim]",
    ),
    "gamma": _option(
        str,
        _RATE,
        "--gamma",
        metavar="X[,X]",
        text="Factor of step (one, or one for each milestone), exponential, inv.",
    ),
    "power": _option(float, _RATE, "--power", metavar="X", text="Exponent of polynomial and inv."),
    "every": _option(float, _RATE, "--every", metavar="EPOCHS", text="Epochs between two falls of exponential."),
    "augment": _option(
        str, _IMAGES, "--augment", metavar="NAME", text="Augmentation of the images. [dim]Default: none.[/dim]"
    ),
    "smoothing": _option(float, _IMAGES, "--smoothing", metavar="X", text="Label smoothing, 0 to below 1."),
    "mixup": _option(float, _IMAGES, "--mixup", metavar="ALPHA", text="Mix pairs of images and labels; 0: do not mix."),
    "accumulate": _option(
        int, _SPEED, "--accumulate", metavar="N", text="Compute a batch in N pieces: the same step in less memory."
    ),
    "precision": _option(str, _SPEED, "--precision", metavar="NAME", text="fp32, bf16 or fp16 (GPU)."),
    "channels_last": _option(
        bool, _SPEED, "--channels-last/--channels-first", text="Memory layout of images and weights."
    ),
    "compiler": _option(
        str, _SPEED, "--compile", metavar="BACKEND", text="Compile the network: inductor, or another of torch's."
    ),
}

Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="A paper's recipe, such as resnet-cifar10; options override it. A wrong name lists the nearest.",
    ),
]
ReportPage = Annotated[
    Path | None, typer.Option("--report", metavar="PAGE.html", help="Also make a page with the curves.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-j",
        metavar="N",
        help="Decode images in N processes as they are needed, instead of holding all in memory.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="cpu, cuda or cuda:1. [dim]Default: a GPU if there is one.[/dim]"),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted run of the same command, to the same result.")
]
Until = Annotated[
    int | None,
    typer.Option("--until", metavar="N", help="Stop after epoch N. --resume goes on; the schedule stays the same."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Forget an earlier run in the folder and begin anew.")]
KeepCheckpoints = Annotated[
    int, typer.Option("--keep-checkpoints", metavar="N", help="How many of the newest checkpoints stay.")
]
Every = Annotated[
    float,
    typer.Option("--checkpoint", metavar="SECONDS", help="Write a checkpoint every so many seconds, and at the end."),
]
LogEvery = Annotated[int, typer.Option("--log", metavar="STEPS", help="Steps between two lines of log.jsonl; 0: none.")]
TrackerName = Annotated[
    str, typer.Option("--tracker", metavar="NAME", help="Also report to tensorboard, or another of Accelerate's.")
]
Precision = Annotated[
    str, typer.Option("--precision", metavar="NAME", help="Trainings compute in fp32, bf16 or fp16 (GPU).")
]
Run = Annotated[
    Path | None,
    typer.Option("--run", "-r", metavar="DIR", help="Checkpoints, log and record. [dim]Default: FILE.train[/dim]"),
]


def checked_workers(workers: int | None) -> int | None:
    """The number of decoding processes as it was given.

    Raises:
        ArgumentError: if it is negative.
    """
    if workers is not None and workers < 0:
        raise ArgumentError("invalid number of processes", where="--workers", found=workers, expected="0 or more")
    return workers


def training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options of :data:`_OPTIONS` in place of its parameter ``given``.

    ``given`` then holds those that the user wrote, by the names of :class:`paring.training.Settings`.
    """
    own = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        if parameter.name == "given":
            names = [(_PREFIX + name, option) for name, option in _OPTIONS.items()]
            parameters += [inspect.Parameter(n, keyword, default=None, annotation=a) for n, a in names]
        else:
            parameters.append(parameter.replace(kind=keyword))

    @wraps(command)
    def run(**values: Any) -> None:
        given = {name: values.pop(_PREFIX + name) for name in _OPTIONS}
        command(**values, given={name: value for name, value in given.items() if value is not None})

    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def chosen(preset: str | None, given: dict[str, Any], seed: int) -> Settings:
    """A preset's settings, or the default ones, with what the user gave in their place.

    ``--epochs`` beside a preset that counts steps trains that many epochs, its milestones in proportion; what an
    ``inv`` schedule, the stairs of an exponential one and a warm-up count stays.

    Raises:
        ArgumentError: on an unknown preset, or an invalid number.
    """
    from paring import training
    from paring.cli.options._common import numbers

    settings = training.preset(preset).settings if preset else training.Settings(**DEFAULTS)
    changes = {**given, "seed": seed}
    if "milestones" in given:
        changes["milestones"] = numbers(given["milestones"], "--milestones")
    if "gamma" in given:
        found = numbers(given["gamma"], "--gamma") or ()
        changes["gamma"] = found[0] if len(found) == 1 else found
    if "epochs" in given and settings.steps:
        changes["steps"] = 0
        marks = tuple(mark / settings.steps if mark >= 1 else mark for mark in settings.milestones)
        changes.setdefault("milestones", marks)
    if changes.get("epochs", 1) < 1:
        raise ArgumentError("invalid number of epochs", where="--epochs", found=given["epochs"], expected="1 or more")
    settings = settings.changed(**changes)
    settings.check()
    return settings
