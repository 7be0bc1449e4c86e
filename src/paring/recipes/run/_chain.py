"""Runs a list of steps in a folder, so that a run killed at any moment goes on to the same bytes.

RUN/
  recipe.json        what the result depends on: network, data, seed, threads, every step's options
  steps.json         what each finished step did and measured
  01-train/ 03-tune/ checkpoints and log of the steps that train
  baseline.npz       the float network's weights by name
  record.json        what happened (:class:`paring.record.Record`)
  NAME.pare          the result
"""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paring.distillation import teacher_identity
from paring.errors import ArgumentError, CheckpointError, OutputError, TrainingError
from paring.files import remove_leftovers
from paring.parametrize import refresh
from paring.recipes.steps._base import Change, State, Step
from paring.record import Stage
from paring.training import Evaluate, World, evaluator
from paring.training.loop import EARLIER, differences, write_atomic

#: Version of the two JSON files.
VERSION = 1


@dataclass(frozen=True)
class Measured:
    """What a finished step did and came to.

    Attributes:
        place: number and name, ``03-tune``.
        words: what it changed, in one line.
        lines: layer by layer.
        macs: of the network after it.
        parameters: weights of the network after it, biases not counted.
        stage: the same for the run's record; its ``weights`` are those of the float network.
    """

    place: str
    words: str
    lines: tuple[str, ...]
    macs: int
    parameters: int
    stage: Stage

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**vars(self), "lines": list(self.lines), "stage": vars(self.stage)}

    def __str__(self) -> str:
        error = f"error {100 * self.stage.test_error:.2f} %" if self.stage.test_error is not None else ""
        weights = f"{self.parameters:,} weights"
        if self.stage.nonzeros < self.parameters:
            weights = f"{self.stage.nonzeros:,} of {weights}"
        return ", ".join((self.words, f"{self.macs:,} MACs", weights, error, f"{self.stage.seconds:.1f} s"))


class Chain:
    """A list of steps over a state. Every process does every step; the first one alone writes.

    Args:
        folder: the run folder; made by :meth:`open`.
        steps: in order, the one that makes the float network first.
        identity: what else the result depends on, JSON values.
        world: the processes.
    """

    def __init__(self, folder: Path, steps: Sequence[Step], identity: Mapping[str, Any], world: World) -> None:
        self.folder, self.steps, self.world = folder, list(steps), world
        self.places = places(steps)
        self.identity = {
            **identity,
            "steps": {place: dict(step.options) for place, step in zip(self.places, self.steps, strict=True)},
        }

    def plan(self) -> list[str]:
        """The resolved list, one line a step."""
        width = max(len(place) for place in self.places)
        return [f"{p:{width}}  {s}".rstrip() for p, s in zip(self.places, self.steps, strict=True)]

    def open(self, resume: bool, overwrite: bool, restart: str | None) -> None:
        """See that the folder is free or holds this very run, and make it this run's; every process must call it.

        Args:
            resume: go on with what is there.
            overwrite: forget what is there.
            restart: forget what this step (its name or number) and later ones left, and go on from there.

        Raises:
            ArgumentError: if the folder holds an earlier run and none of the three is asked for, or there is no such
                step.
            CheckpointError: if what it holds was made from something else, listing the differences.
            OutputError: if the folder cannot be made.
        """
        first = self._place(restart) if restart else len(self.places)
        self.world.agreed(lambda: self._open(resume, overwrite, restart, first) if self.world.main else None)

    def _open(self, resume: bool, overwrite: bool, restart: str | None, first: int) -> None:
        there = self.folder / "recipe.json"
        if overwrite:
            self._forget([])
        elif there.exists():
            if not (resume or restart):
                raise ArgumentError("folder holds an earlier run", where=self.folder, fix=EARLIER)
            found = _json(there)
            kept = set(self.places[:first])
            before, now = (_until(words, kept) if restart else words for words in (found, _plain(self.identity)))
            if changed := differences(before, now):
                raise CheckpointError(
                    "the run in this folder was another one",
                    where=self.folder,
                    found="; ".join(changed),
                    fix="Repeat its options, restart from the step that changes, or name another folder",
                )
        if restart:
            self._forget(self.places[:first])
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError("cannot make the run folder", where=self.folder, found=error.strerror) from error
        remove_leftovers(self.folder)
        write_atomic(there, json.dumps({"version": VERSION, **self.identity}, indent=1).encode())

    def run(self, state: State) -> list[Measured]:
        """Every step; those that were finished are done again without being measured again."""
        done: list[Measured] = []
        kept = self.world.shared(self.world.agreed(lambda: self._kept() if self.world.main else {}))
        score = evaluator(state.test)
        for number, (place, step) in enumerate(zip(self.places, self.steps, strict=True)):
            state.place, state.folder, state.key = place, self.folder / place, step.key
            began = time.perf_counter()
            change = step.do(state, step.options)
            alike(state)
            seconds = time.perf_counter() - began if change.seconds is None else change.seconds
            if number == 0:
                state.original = copy.deepcopy(state.network).requires_grad_(False)
            if place in kept:
                done.append(kept[place])
                state.log(f"{place}: done before, {done[-1]}")
                continue
            whole = done[0].stage.weights if done else 0
            error = self._scored(score, state)
            done.append(_measured(place, step.name, change, seconds, state, error, whole))
            self.world.agreed(lambda: self._keep(done) if self.world.main else None)
            state.log(f"{place}: {done[-1]}")
        return done

    def _scored(self, score: Evaluate, state: State) -> float:
        """The error over the whole test set, shared by the processes, computed where they train."""
        state.network.to(self.world.device)
        try:
            return score(state.network)["error"]
        finally:
            state.network.to("cpu")

    # --- the folder ----------------------------------------------------------------------------------------------

    def _place(self, word: str) -> int:
        """The index of the step of this number or name."""
        for number, (place, step) in enumerate(zip(self.places, self.steps, strict=True)):
            if word in (str(number + 1), place, step.name, place.partition("-")[2]):
                return number
        names = ", ".join(place.partition("-")[2] for place in self.places)
        raise ArgumentError("no such step", found=repr(word), expected=names)

    def _forget(self, kept: list[str]) -> None:
        if not self.folder.is_dir():
            return
        done = [measured for place, measured in self._kept().items() if place in kept]
        for path in self.folder.iterdir():
            if path.is_dir() and path.name[:2].isdigit() and path.name[2:3] == "-" and path.name not in kept:
                shutil.rmtree(path)
        self._keep(done)

    def _keep(self, done: Sequence[Measured]) -> None:
        rows = [one.to_json() for one in done]
        write_atomic(self.folder / "steps.json", json.dumps({"version": VERSION, "steps": rows}, indent=1).encode())

    def _kept(self) -> dict[str, Measured]:
        path = self.folder / "steps.json"
        if not path.exists():
            return {}
        try:
            rows = _json(path)["steps"]
            read = [Measured(**{**r, "lines": tuple(r["lines"]), "stage": Stage(**r["stage"])}) for r in rows]
        except (KeyError, TypeError) as error:
            raise CheckpointError("not the steps of a run", where=path, found=error) from None
        return {one.place: one for one in read}


def alike(state: State) -> None:
    """See that all processes hold the same network, to the bit; every process must call it.

    They do, as a rule: gradients are summed before each step and methods are deterministic. Processors of two kinds may
    round differently; then the first process's numbers are taken by all.

    Raises:
        TrainingError: if networks differ by more than their numbers.
    """
    world = state.world
    if world.size == 1:
        return
    tensors = dict(sorted(state.network.state_dict().items()))
    shapes = [(name, tuple(tensor.shape), str(tensor.dtype)) for name, tensor in tensors.items()]
    found = world.gathered((shapes, teacher_identity(state.network)["weights"]))
    if any(one[0] != shapes for one in found):
        raise TrainingError(
            "processes came to different networks",
            where=state.place,
            found=f"{sum(one[0] != shapes for one in found)} of {world.size} differ",
            fix="Run them on machines of one kind, or on one process",
        )
    if any(one[1] != found[0][1] for one in found):
        for name, tensor in world.shared({name: tensor for name, tensor in tensors.items() if world.main}).items():
            tensors[name].copy_(tensor)
        refresh(state.network)
        state.changed()


def places(steps: Sequence[Step]) -> list[str]:
    """Number and name of each step, unique: ``01-train``, ``02-cut``, ``03-tune``, ``05-tune-2``."""
    seen: dict[str, int] = {}
    found = []
    for number, step in enumerate(steps, 1):
        seen[step.name] = seen.get(step.name, 0) + 1
        again = f"-{seen[step.name]}" if seen[step.name] > 1 else ""
        found.append(f"{number:02}-{step.name}{again}")
    return found


def _measured(
    place: str, name: str, change: Change, seconds: float, state: State, error: float, whole: int
) -> Measured:
    macs, parameters, nonzeros = state.measured()
    stage = Stage(
        name=place.partition("-")[2],
        note=change.words,
        epochs=change.epochs,
        seconds=round(seconds, 3),
        train_loss=change.loss,
        test_error=error,
        weights=whole or parameters,
        nonzeros=nonzeros,
    )
    return Measured(place, change.words, change.lines, macs, parameters, stage)


def _until(words: Mapping[str, Any], kept: set[str]) -> dict[str, Any]:
    """An identity with the steps that stay alone."""
    return {**words, "steps": {place: options for place, options in words["steps"].items() if place in kept}}


def _plain(words: Mapping[str, Any]) -> dict[str, Any]:
    """As read back from JSON."""
    return json.loads(json.dumps(words))


def _json(path: Path) -> dict[str, Any]:
    try:
        words = json.loads(path.read_bytes())
        version = words.pop("version")
    except OSError as error:
        raise CheckpointError("cannot read", where=path, found=error.strerror) from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError("not a run of a recipe", where=path, found=error) from None
    if version != VERSION:
        raise CheckpointError("run has another version", where=path, found=version, expected=VERSION)
    return words
