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

from paring.errors import ArgumentError, CheckpointError, OutputError
from paring.recipes.steps._base import Change, State, Step
from paring.record import Stage
from paring.training import evaluator
from paring.training.loop import differences, write_atomic

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
    """A list of steps over a state.

    Args:
        folder: the run folder.
        steps: in order, the one that makes the float network first.
        identity: what else the result depends on, JSON values.

    Raises:
        OutputError: if the folder cannot be made.
    """

    def __init__(self, folder: Path, steps: Sequence[Step], identity: Mapping[str, Any]) -> None:
        self.folder, self.steps = folder, list(steps)
        self.places = places(steps)
        self.identity = {
            **identity,
            "steps": {place: dict(step.options) for place, step in zip(self.places, self.steps, strict=True)},
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError("cannot make the run folder", where=folder, found=error.strerror) from error

    def plan(self) -> list[str]:
        """The resolved list, one line a step."""
        width = max(len(place) for place in self.places)
        return [f"{p:{width}}  {s}".rstrip() for p, s in zip(self.places, self.steps, strict=True)]

    def open(self, resume: bool, restart: str | None) -> None:
        """See that the folder is free or holds this very run, and make it this run's.

        Args:
            resume: go on with what is there.
            restart: forget what this step (its name or number) and later ones left, and go on from there.

        Raises:
            ArgumentError: if the folder holds an earlier run that was not to be resumed, or there is no such step.
            CheckpointError: if what it holds was made from something else, listing the differences.
        """
        there = self.folder / "recipe.json"
        first = self._place(restart) if restart else len(self.places)
        if there.exists():
            if not (resume or restart):
                raise ArgumentError(
                    "folder holds an earlier run", where=self.folder, fix="Resume it, or name another folder"
                )
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
        write_atomic(there, json.dumps({"version": VERSION, **self.identity}, indent=1).encode())

    def run(self, state: State) -> list[Measured]:
        """Every step; those that were finished are done again without being measured again."""
        kept, done = self._kept(), []
        score = evaluator(state.test)
        for number, (place, step) in enumerate(zip(self.places, self.steps, strict=True)):
            state.place, state.folder = place, self.folder / place
            began = time.perf_counter()
            change = step.do(state, step.options)
            seconds = time.perf_counter() - began if change.seconds is None else change.seconds
            if number == 0:
                state.original = copy.deepcopy(state.network).requires_grad_(False)
            if place in kept:
                done.append(kept[place])
                state.log(f"{place}: done before, {done[-1]}")
                continue
            whole = done[0].stage.weights if done else 0
            done.append(_measured(place, step.name, change, seconds, state, score(state.network)["error"], whole))
            self._keep(done)
            state.log(f"{place}: {done[-1]}")
        return done

    # --- the folder ----------------------------------------------------------------------------------------------

    def _place(self, word: str) -> int:
        """The index of the step of this number or name."""
        for number, (place, step) in enumerate(zip(self.places, self.steps, strict=True)):
            if word in (str(number + 1), place, step.name, place.partition("-")[2]):
                return number
        names = ", ".join(place.partition("-")[2] for place in self.places)
        raise ArgumentError("no such step", found=repr(word), expected=names)

    def _forget(self, kept: list[str]) -> None:
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
