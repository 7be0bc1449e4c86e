"""Any network, any data set, any recipe: from a float network to a `.pare` file, one step after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paring.data import Dataset
from paring.distillation import teacher_identity
from paring.errors import ArgumentError
from paring.graph import Graph
from paring.recipes._registry import recipe as named
from paring.recipes.run._chain import Chain, Measured
from paring.recipes.run._context import RecipeContext
from paring.recipes.run._inputs import Network, maker, open_data
from paring.recipes.run._result import begun, check_coding, finished, keep_baseline, write_file
from paring.recipes.steps._base import Change, State, Step
from paring.recipes.steps._training import train as train_step
from paring.record import Record
from paring.training import device
from paring.training.input import derived_seed
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
    """

    record: Record
    original: nn.Module
    network: nn.Module
    graph: Graph
    steps: tuple[Measured, ...]


def compress(
    network: Network | nn.Module,
    data: str | tuple[Dataset, Dataset],
    run: str | Path,
    recipe: str | Sequence[Step],
    *,
    trained: bool | None = None,
    training: Mapping[str, Any] | None = None,
    effort: float = 1.0,
    seed: int = 0,
    resume: bool = False,
    restart: str | None = None,
    output: str | Path | None = None,
    coding: str = "adaptive",
    network_args: Mapping[str, Any] | None = None,
    data_args: Mapping[str, Any] | None = None,
    hold_out: int = 0,
    threads: int | None = None,
    on: str = "cpu",
    checkpoint_seconds: float = 60.0,
    checkpoint_steps: int = 0,
    commands: Sequence[str] = (),
    log: Callable[[str], None] = print,
    progress: bool = True,
    **options: Any,
) -> Compressed:
    """Compress a network by a recipe, in a folder; with ``resume``, go on after a kill, to the same bytes.

    Args:
        network: zoo name, a function that makes the network, or the network itself, which stays as it is.
        data: data set, ``kind:where``; or a training set and a test set that are already loaded.
        run: the run folder; made if missing.
        recipe: a name (``int8``, ``slim``, ...; all of them in ``paring.recipes.RECIPES``), or a list of steps of
            your own from ``paring.recipes.steps``.
        trained: whether the network has weights already; by default one that is given as a module has, and one by
            name or function has not and is trained first.
        training: settings for that (:class:`paring.training.Settings`).
        effort: multiplies the epochs of every step.
        seed: everything random is derived from it.
        resume: go on with what the folder holds.
        restart: name or number of a step: do it and all later ones again.
        output: where the `.pare` file goes; ``RUN/<network>.pare`` if not given.
        coding: of the file, ``adaptive`` or ``huffman``.
        network_args: arguments for the zoo's builder.
        data_args: arguments for :func:`paring.data.load`, if it is to load.
        hold_out: train without the last so many training images and test on them instead of the test set.
        threads: torch's threads while it runs; the bits of the result depend on it. The present number if not given.
        on: device that the trainings run on.
        checkpoint_seconds: at most so long between two checkpoints of a training; 0 for none.
        checkpoint_steps: also one after every so many steps; 0 for none.
        commands: command lines to put into the record.
        log: takes a line about each step; ``print`` unless given.
        progress: show a progress bar on a terminal.
        options: of the recipe; see its function.

    Returns:
        what came out.

    Raises:
        ArgumentError: if an option cannot be or is not the recipe's, a pattern matches nothing, or the folder holds
            an earlier run that was not to be resumed; before anything is trained.
        CheckpointError: if the folder holds a run of something else, with the differences.
        TrainingError, DataError, GraphError, OutputError: as the parts raise them.
        KeyboardInterrupt: after Ctrl-C, when the training step was finished and saved.
    """
    check_coding(coding)
    if not effort > 0:
        raise ArgumentError("invalid effort", found=effort, expected="above 0")
    place = device(on)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    torch.set_flush_denormal(True)
    try:
        made = network if not isinstance(network, nn.Module) else _copier(network)
        train, test, title = open_data(data, made, hold_out, data_args)
        build = maker(made, train, network_args)
        subject = RecipeContext(build(), train)
        words = recipe if isinstance(recipe, str) else "own list"
        steps = named(recipe).steps(subject, options) if isinstance(recipe, str) else _own(recipe, options)
        ready = isinstance(network, nn.Module) if trained is None else trained
        first = Step("float", {}, _as_it_is) if ready else train_step(**(training or {}))
        steps = [step.scaled(effort) for step in (first, *steps)]

        torch.manual_seed(derived_seed(seed, "weights"))
        fresh = build().eval()
        name = network if isinstance(network, str) else getattr(made, "__name__", "network")
        identity = {
            "network": {"name": name, **teacher_identity(fresh)},
            "data": {"train": train.digest, "test": test.digest, "preparation": repr(train.preparation)},
            "seed": seed,
            "threads": torch.get_num_threads(),
            "device": on,
        }
        chain = Chain(Path(run), steps, identity)
        log(f"{words}: {len(chain.steps)} steps and the file")
        for line in chain.plan():
            log(f"  {line}")
        chain.open(resume, restart)
        clock = partial(Clock, checkpoint_seconds, checkpoint_steps)
        state = State(fresh, fresh, train, test, seed=seed, device=place, clock=clock, log=log, progress=progress)
        done = chain.run(state)

        record = begun(words, name, train, test, title, seed, commands)
        record.settings = {place: dict(step.options) for place, step in zip(chain.places, chain.steps, strict=True)}
        finished(record, done)
        keep_baseline(record, state.original, state.graph(), chain.folder)
        path = Path(output) if output else chain.folder / f"{name}.pare"
        write_file(record, state.graph(), train, path, chain.folder, coding, log)
        write_atomic(chain.folder / "record.json", record.to_json().encode())
        return Compressed(record, state.original, state.network, state.graph(), tuple(done))
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)


def _copier(network: nn.Module) -> Callable[[], nn.Module]:
    """A function, named after the network's class, that copies it."""

    def copied() -> nn.Module:
        return copy.deepcopy(network).to("cpu")

    copied.__name__ = type(network).__name__
    return copied


def _as_it_is(state: State, options: Mapping[str, Any]) -> Change:
    return Change("the network as it was given")


def _own(steps: Sequence[Step], options: Mapping[str, Any]) -> list[Step]:
    if options:
        raise ArgumentError("a list of steps takes no options of a recipe", found=", ".join(options))
    if not all(isinstance(step, Step) for step in steps):
        raise ArgumentError("not a list of steps", found=[type(step).__name__ for step in steps])
    return list(steps)
