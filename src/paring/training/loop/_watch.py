"""Watching a run: log, record, tracker, progress bar and the scores after each epoch."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path

from torch import nn

from paring.errors import OutputError
from paring.record import Training
from paring.training._distributed import World
from paring.training._evaluate import Evaluate
from paring.training.loop._checkpoint import write_atomic
from paring.training.loop._fit import Position, StepInfo
from paring.training.loop._log import Log, Tracker
from paring.training.loop._progress import Progress
from paring.training.optim import EMA

#: Names in a run folder.
LOG, RECORD = "log.jsonl", Training.NAME


class Watcher:
    """Everything a run says while it runs; only the first process writes."""

    def __init__(
        self,
        folder: Path,
        world: World,
        record: Training,
        per_epoch: int,
        log_every: int,
        bar: Progress,
        evaluate: Evaluate | None,
        ema: EMA | None,
        network: nn.Module,
    ) -> None:
        self.folder, self.world, self.record, self.per_epoch = folder, world, record, per_epoch
        self.log_every, self.bar, self.evaluate, self.ema, self.network = log_every, bar, evaluate, ema, network
        self.log = Log(folder / LOG if world.main else None)
        self.score: dict[str, float] = {}
        self.last: StepInfo | None = None
        self.tracker: Tracker | None = None

    def open(self, done: int, tracker: str) -> None:
        """Begin to write, after ``done`` steps."""
        if self.record.history:
            self.score = dict(self.record.history[-1].get("score", {}))
        if self.world.main:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError("cannot make the run folder", where=self.folder, found=error.strerror) from error
            self.log.cut(done)
            self._write()
        self.tracker = Tracker(tracker, self.world, self.record.settings)

    def step(self, step: StepInfo) -> None:
        """One step is done."""
        self.last = step
        done = step.number + 1
        if self.log_every and done % self.log_every == 0:
            values = {"step": done, "epoch": step.number // self.per_epoch + 1, "loss": step.loss, "lr": step.lr}
            values["images_per_second"] = step.images / max(step.seconds, 1e-9)
            self.log.write("step", values)
            if self.tracker:
                self.tracker.write(done, values)

    def epoch(self, position: Position) -> None:
        """An epoch is complete, or the run ends within one."""
        last = self.last
        assert last is not None
        if self.evaluate:
            with self.ema.in_place_of(self.network) if self.ema else nullcontext():
                was = self.network.training
                self.network.eval()
                self.score = dict(self.evaluate(self.network))
                self.network.train(was)
            if "error" in self.score:
                self.bar.score = f"accuracy {100 * (1 - self.score['error']):.2f} %"
        mean = position.loss / position.step if position.step else position.last_loss
        entry = {
            "epoch": -(-(last.number + 1) // self.per_epoch),
            "step": last.number + 1,
            "train_loss": mean if math.isfinite(mean) else None,
            "lr": last.lr,
            "seconds": round(position.seconds, 3),
            "images_per_second": last.images / max(last.seconds, 1e-9),
            "score": self.score,
        }
        self.record.history.append(entry)
        self.log.write("epoch", {**{n: v for n, v in entry.items() if n != "score"}, **self.score})
        if self.tracker:
            # Names of their own: a tracker has one curve a name, and "loss" is that of the steps.
            scores = {f"test_{name}": value for name, value in self.score.items()}
            self.tracker.write(last.number + 1, {"train_loss": mean, **scores})
        if self.world.main:
            self._write()

    def finish(self, done: bool) -> None:
        """The call is over; ``done`` if the run is."""
        self.record.done = done
        if self.world.main:
            self._write()

    def close(self) -> None:
        """Also after an error."""
        if self.tracker:
            self.tracker.close()

    def _write(self) -> None:
        write_atomic(self.folder / RECORD, self.record.to_json().encode())
