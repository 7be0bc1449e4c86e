"""A complete training run: from a network and a source of batches to trained weights, whatever happens between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paring.errors import ArgumentError, CheckpointError
from paring.layers import bare, check_built
from paring.parametrize import between_steps
from paring.record import Training
from paring.training._distributed import World, join, together
from paring.training._evaluate import Evaluate
from paring.training._settings import Settings
from paring.training.input import Mixup, Source, sliced
from paring.training.loop._checkpoint import Clock, differences
from paring.training.loop._checkpoints import Checkpoints
from paring.training.loop._fit import Position, fit
from paring.training.loop._progress import Progress
from paring.training.loop._trainer import Trainer
from paring.training.loop._watch import Watcher
from paring.training.optim import Loss, cross_entropy, synchronized

#: What to do about a folder that is in use.
EARLIER = "Go on with it (resume=True, --resume), do it anew (overwrite=True, --overwrite) or name another folder"


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        position: where it stands; its ``seconds`` leave interruptions out.
        steps: done in all.
        score: of the last evaluation; empty if there was none.
        history: one entry for each epoch, as in the log.
    """

    position: Position
    steps: int = 0
    score: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def run(
    network: nn.Module,
    source: Source,
    settings: Settings,
    *,
    folder: str | Path,
    loss: Loss | None = None,
    evaluate: Evaluate | None = None,
    classes: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    until: int | None = None,
    identity: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    before_training: Callable[[torch.optim.Optimizer, int], None] | None = None,
    before_step: Callable[[int], None] | None = None,
    after_step: Callable[[int], None] | None = None,
    world: World | None = None,
    keep: int = 2,
    clock: Clock | None = None,
    log_every: int = 50,
    tracker: str = "",
    title: str = "train",
    progress: bool = True,
    log: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Train a network, or go on where the same call was stopped, to the same weights bit for bit (on a processor, with
    the same number of threads and processes).

    Several processes that a launcher started share each batch (see :func:`sliced`), give the result of one process,
    and only the first one writes. Binary weights are centered and clipped before the first step and after each
    (:func:`paring.methods.low_bit.center_and_clip_weights`). ``RUN`` then holds:

    - ``step-00000123.safetensors``: the newest checkpoints, each with everything needed to go on;
    - ``log.jsonl``: one JSON value a line, ``kind`` ``step`` every ``log_every`` steps and ``epoch`` after each;
    - ``training.json``: a :class:`paring.record.Training`, for the report.

    Args:
        network: trained in place, with any trainable forms of :mod:`paring.methods`; afterwards in eval mode, with
            the moving average of its weights if the settings ask for one.
        source: batches; made with the batch size and the seed of ``settings`` by the caller.
        settings: hyper-parameters; ``batch``, ``augment`` and ``seed`` have had their effect in ``source``.
        folder: ``RUN``.
        loss: a mean over the batch; cross-entropy with the settings' label smoothing if not given. A loss that is an
            ``nn.Module`` is trained along, and kept with all its state (so a teacher does not belong inside).
        evaluate: scores the network after each epoch; see :func:`evaluator`.
        classes: how many, for mixup.
        resume: go on from the newest checkpoint in ``folder``; from the beginning if there is none.
        overwrite: forget an earlier run in ``folder`` and begin anew.
        until: stop after so many epochs in all, with the schedule meant for ``settings.epochs``; ``resume`` goes on.
        identity: what else the result depends on (network, data, teacher), JSON values; a checkpoint made under
            another identity or other settings is refused.
        about: what the record says beside that, JSON values: ``network``, ``data``, ``command``.
        before_training: called once with the optimizer, as it was left, and the number of steps in the whole training.
        before_step: called with the step's number from 0.
        after_step: called with the same number after the optimizer's step.
        world: where this process computes, and with whom; found out by :func:`join` if not given.
        keep: how many of the newest checkpoints stay.
        clock: says when a checkpoint is due; every minute if not given.
        log_every: steps between two lines of the log; 0 for none.
        tracker: one of Accelerate's trackers (``tensorboard``), or empty; ``world`` must have been joined with it.
        title: what the progress bar says.
        progress: show a progress bar on a terminal.
        log: takes a line for people.

    Returns:
        what the run came to.

    Raises:
        ArgumentError: if settings cannot be, the number of processes does not divide the batch, or the folder holds
            another run that was not to be resumed.
        CheckpointError: if a checkpoint is damaged, or of a run with other settings (listing the differences).
        TrainingError: if the loss or a weight is not a number any more, or another process is gone; the last good
            checkpoint stays.
        OutputError: if the folder cannot be written.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when the step was finished and saved.
    """
    folder, network = Path(folder), bare(network)
    check_built(network)
    settings.check()
    for name, number, low in (("until", until, 1), ("keep", keep, 1), ("log_every", log_every, 0)):
        if number is not None and number < low:
            raise ArgumentError("invalid setting", where=name, found=number, expected=f"{low} or more")
    world = world or join(tracker=tracker, folder=folder)
    source = _shared(source, settings, classes, world)
    every = {**settings.to_json(), **(identity or {})}
    checkpoints = Checkpoints(folder, keep)
    found = _found(checkpoints, world, every, resume, overwrite, log)
    if not found and (clip := between_steps(network)):
        clip()
    trainer = Trainer(network, loss or cross_entropy(settings.smoothing), settings, world, found)
    clip = between_steps(network)  # a checkpoint may have brought other forms
    position, history = trainer.position, list(found[2]["history"]) if found else []
    steps, per_epoch = settings.steps or settings.epochs * len(source), max(len(source), 1)
    epochs = -(-steps // per_epoch)
    bar = Progress(title, steps, progress and world.main, epochs)
    record = Training(title=title, settings=every, about=dict(about or {}), history=history, processes=world.size)
    watcher = Watcher(folder, world, record, per_epoch, log_every, bar, evaluate, trainer.ema, network)

    if before_training:
        before_training(trainer.optimizer, steps)

    def done(at: Position) -> int:
        return at.epoch * per_epoch + at.step

    def save(at: Position) -> None:
        trainer.check(f"{title}, step {done(at)}")
        if world.main:
            tensors, words = trainer.state(at)
            checkpoints.write(done(at), tensors, {**words, "settings": every, "history": history})

    def after(number: int) -> None:
        if clip:
            clip()
        if after_step:
            after_step(number)
        if trainer.ema:
            trainer.ema.update(network, number)

    with ExitStack() as stack:
        stack.enter_context(together(world, lambda: f"{title}, step {done(position)}"))
        stack.enter_context(synchronized(network) if world.size > 1 else nullcontext())
        stack.callback(watcher.close)
        watcher.open(done(position), tracker)
        fit(
            network,
            source,
            trainer.optimizer,
            epochs=epochs,
            steps=steps,
            schedule=settings.factor(per_epoch),
            stepper=trainer.stepper,
            before_step=before_step,
            after_step=after,
            after_epoch=watcher.epoch,
            watch=watcher.step,
            position=position,
            until=until,
            save=save,
            clock=clock or Clock(),
            title=title,
            progress=bar,
        )
        save(position)
        watcher.finish(done(position) == steps)
    trainer.finish()
    return Outcome(position, done(position), watcher.score, history)


def _shared(source: Source, settings: Settings, classes: int, world: World) -> Source:
    """This process's share of the batches, mixed if they are to be."""
    if settings.mixup:
        if not classes:
            raise ArgumentError("mixup needs the number of classes", expected="classes=...")
        source = Mixup(source, settings.mixup, classes)
    return sliced(source, world.rank, world.size)


def _found(
    checkpoints: Checkpoints,
    world: World,
    settings: Mapping[str, Any],
    resume: bool,
    overwrite: bool,
    log: Callable[[str], None],
) -> Any:
    """The checkpoint to go on from, read by the first process and given to all; ``None`` to begin anew."""

    def read() -> Any:
        if overwrite and world.main:
            checkpoints.forget()
        return _read(checkpoints, settings, resume, log) if world.main else None

    return world.shared(world.agreed(read))


def _read(checkpoints: Checkpoints, settings: Mapping[str, Any], resume: bool, log: Callable[[str], None]) -> Any:
    if not resume:
        if checkpoints.paths():
            raise ArgumentError("folder holds an earlier run", where=checkpoints.folder, fix=EARLIER)
        return None
    found = checkpoints.newest(log)
    if found is None:
        log(f"Nothing to go on from in {checkpoints.folder}; beginning anew.")
        return None
    if changed := differences(found[2].get("settings", {}), settings):
        raise CheckpointError(
            "interrupted run had other settings", where=found[0], found="; ".join(changed), fix="Repeat its settings"
        )
    return found
