"""Any network, any data set, any recipe: from a float network to a `.pare` file, one step after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paring.container import Inspection
from paring.distillation import teacher_identity
from paring.errors import ArgumentError
from paring.graph import Graph
from paring.recipes._registry import find
from paring.recipes.run._chain import Chain, Measured
from paring.recipes.run._context import RecipeContext
from paring.recipes.run._inputs import Data, Inputs, Network, opened
from paring.recipes.run._result import begun, check_coding, finished, keep_baseline, write_file
from paring.recipes.steps._base import Change, State, Step
from paring.recipes.steps._training import train as train_step
from paring.record import Record
from paring.training import PRECISIONS, World, join
from paring.training.loop import Clock, write_atomic


@dataclass(frozen=True)
class Compressed:
    """What a recipe came to.

    Attributes:
        record: what happened; also in ``RUN/record.json``.
        original: the float network it began with, in eval mode.
        network: the last one, in eval mode.
        graph: what the file holds.
        steps: what each step did and came to.
        inspection: where the file's bytes are.
        path: the file.
        main: whether this is the process that wrote it.
    """

    record: Record
    original: nn.Module
    network: nn.Module
    graph: Graph
    steps: tuple[Measured, ...]
    inspection: Inspection
    path: Path
    main: bool = True


def compress(
    network: Network,
    data: Data,
    run: str | Path,
    recipe: str | Sequence[Step],
    *,
    trained: bool | None = None,
    training: Mapping[str, Any] | None = None,
    effort: float = 1.0,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    restart: str | None = None,
    output: str | Path | None = None,
    coding: str = "adaptive",
    name: str | None = None,
    network_args: Mapping[str, Any] | None = None,
    data_args: Mapping[str, Any] | None = None,
    hold_out: int = 0,
    workers: int | None = None,
    threads: int | None = None,
    device: str | None = "cpu",
    precision: str = "fp32",
    tracker: str = "",
    checkpoint_seconds: float = 60.0,
    checkpoint_steps: int = 0,
    commands: Sequence[str] = (),
    log: Callable[[str], None] = print,
    progress: bool = True,
    **options: Any,
) -> Compressed:
    """Compress a network by a recipe, in a folder; with ``resume``, go on after a kill, to the same bytes.

    Processes that a launcher started (``torchrun``, ``accelerate launch``) share every batch of a training and every
    score; they come to the result of one process, and the first one alone writes and logs.

    Args:
        network: zoo name, a function that makes the network, or the network itself, which stays as it is.
        data: data set, ``kind:where``; or a training set and a test set.
        run: the run folder; made if missing.
        recipe: a name (``int8``, ``deep-compression``, ...; all of them in ``paring.recipes.RECIPES``), or a list of
            steps of your own from ``paring.recipes.steps``.
        trained: whether the network has weights already; by default one that is given as a module has, and one by
            name or function has not and is trained first.
        training: changes to that training (:class:`paring.training.Settings`).
        effort: multiplies the epochs of every step.
        seed: everything random is derived from it.
        resume: go on with what the folder holds.
        overwrite: forget an earlier run that the folder holds.
        restart: name or number of a step: do it and all later ones again.
        output: where the `.pare` file goes; ``RUN/<network>.pare`` if not given.
        coding: of the file, ``adaptive`` or ``huffman``.
        name: what records call the network; its zoo name, its class or its function if not given.
        network_args: arguments for the zoo's builder.
        data_args: arguments for :func:`paring.data.load`, if it is to load.
        hold_out: train without the last so many training images and test on them instead of the test set.
        workers: read images as they are needed, decoded in so many processes; None: hold them in memory.
        threads: torch's threads while it runs; the bits of the result depend on it. The present number if not given.
        device: where trainings and scores run, ``cpu`` or ``cuda``; None for the best there is.
        precision: that trainings compute in: ``fp32``, ``bf16`` or ``fp16``.
        tracker: one of Accelerate's trackers (``tensorboard``) that trainings report to, or empty.
        checkpoint_seconds: at most so long between two checkpoints of a training; 0 for none.
        checkpoint_steps: also one after every so many steps; 0 for none.
        commands: command lines to put into the record.
        log: takes a line about each step; ``print`` unless given.
        progress: show a progress bar on a terminal.
        options: of the recipe; see its function.

    Returns:
        what came out.

    Raises:
        ArgumentError: if an option is out of range, of another type or not the recipe's, a pattern matches nothing, or
            the folder holds an earlier run that was not to be resumed; before anything is trained.
        CheckpointError: if the folder holds a run of something else, with the differences.
        TrainingError, DataError, GraphError, OutputError: as the parts raise them.
        KeyboardInterrupt: after Ctrl-C, when the training step was finished and saved.
    """
    _check(recipe, options, coding, effort, precision, resume, overwrite)
    world = join(device, tracker=tracker, folder=run)
    log = log if world.main else _quiet
    with _computing(threads):
        inputs = opened(
            network,
            data,
            name=name,
            seed=seed,
            hold_out=hold_out,
            workers=workers,
            network_args=network_args,
            data_args=data_args,
        )
        ready = isinstance(network, nn.Module) if trained is None else trained
        words = recipe if isinstance(recipe, str) else "own list"
        steps = [step.scaled(effort) for step in _steps(recipe, inputs, options, ready, dict(training or {}))]
        chain = Chain(Path(run), steps, _identity(words, inputs, seed, world, precision), world)
        chain.open(resume, overwrite, restart)
        _announce(words, chain, log)
        state = State(
            inputs.network,
            inputs.network,
            inputs.train,
            inputs.test,
            seed=seed,
            world=world,
            precision=precision,
            tracker=tracker,
            clock=partial(Clock, checkpoint_seconds, checkpoint_steps),
            log=log,
            progress=progress,
            _outline=inputs.outline,
        )
        done = chain.run(state)
        record = begun(words, inputs, seed, commands)
        record.settings = {place: dict(step.options) for place, step in zip(chain.places, chain.steps, strict=True)}
        record.preset = str(options.get("preset") or "")
        finished(record, done)
        path = Path(output) if output else chain.folder / f"{inputs.name}.pare"
        compare = find(recipe).compare if isinstance(recipe, str) else ""
        record, table = _written(record, state, chain.folder, path, coding, compare)
        log(f"write: {path}, {table.total:,} bytes, {record.ratio:.1f} times smaller than float")
        return Compressed(record, state.original, state.network, state.graph(), tuple(done), table, path, world.main)


def _check(
    recipe: str | Sequence[Step],
    options: Mapping[str, Any],
    coding: str,
    effort: float,
    precision: str,
    resume: bool,
    overwrite: bool,
) -> None:
    """What can be seen to be wrong before data are loaded."""
    check_coding(coding)
    if not effort > 0:
        raise ArgumentError("invalid effort", found=effort, expected="above 0")
    if precision not in PRECISIONS:
        raise ArgumentError("unknown precision", found=repr(precision), expected=" or ".join(PRECISIONS))
    if resume and overwrite:
        raise ArgumentError("a run is resumed or overwritten", found="both", fix="Leave out one of the two")
    if isinstance(recipe, str):
        find(recipe).check(options)
    elif options:
        raise ArgumentError("a list of steps takes no options of a recipe", found=", ".join(options))
    elif not all(isinstance(step, Step) for step in recipe):
        raise ArgumentError("not a list of steps", found=[type(step).__name__ for step in recipe])


@contextmanager
def _computing(threads: int | None) -> Iterator[None]:
    """So many threads of torch's, and denormals flushed: moments of pruned weights fade into them, which is slow."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)


def _steps(
    recipe: str | Sequence[Step], inputs: Inputs, options: Mapping[str, Any], ready: bool, training: dict[str, Any]
) -> list[Step]:
    """The whole list: the step that makes the float network, then the recipe's own."""
    if isinstance(recipe, str):
        context = RecipeContext(inputs.name, inputs.network, inputs.outline, inputs.train)
        listed = find(recipe).steps(context, options)
    else:
        listed = list(recipe)
    begins = bool(listed) and listed[0].name == "train" and (isinstance(recipe, str) or not ready)
    own = listed.pop(0) if begins else train_step()
    first = replace(own, options=train_step(**{**own.options, **training}).options)
    return [Step("float", {}, _as_it_is) if ready else first, *listed]


def _identity(recipe: str, inputs: Inputs, seed: int, world: World, precision: str) -> dict[str, Any]:
    """What the result depends on beside the steps."""
    train, test = inputs.train, inputs.test
    return {
        "recipe": recipe,
        "network": {"name": inputs.name, **teacher_identity(inputs.network)},
        "data": {"train": train.digest, "test": test.digest, "preparation": repr(train.preparation)},
        "seed": seed,
        "threads": torch.get_num_threads(),
        "device": world.device.type,
        "precision": precision,
    }


def _announce(words: str, chain: Chain, log: Callable[[str], None]) -> None:
    log(f"{words}: {len(chain.steps)} steps and the file")
    for line in chain.plan():
        log(f"  {line}")


def _written(
    record: Record, state: State, folder: Path, path: Path, coding: str, compare: str
) -> tuple[Record, Inspection]:
    """The file and all that is said about it, written by the first process and told to the others."""

    def write() -> tuple[Record, Inspection] | None:
        if not state.world.main:
            return None
        keep_baseline(record, state.original, state.graph(), folder)
        table = write_file(record, state.graph(), state.train, path, folder, coding, compare)
        write_atomic(folder / "record.json", record.to_json().encode())
        return record, table

    return state.world.shared(state.world.agreed(write))


def _as_it_is(state: State, options: Mapping[str, Any]) -> Change:
    return Change("the network as it was given")


def _quiet(line: str) -> None:
    """What processes but the first one say."""
