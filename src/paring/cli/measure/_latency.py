"""Measuring for tables and reports: latency by turns, profiles, agreement of engine and torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from paring.cli.measure._load import Load, cores
from paring.cli.render._output import threads_text

if TYPE_CHECKING:
    from paring.record import Record
    from paring.report import Accuracy, NodeTime, Timing
    from paring.runtime import Model


#: Cores that others may take beyond those that are free, before a time says nothing.
_LEEWAY = 0.25
#: Most times the slowest turns may take what the fastest take.
_SPREAD = 3.0
#: How often a disturbed measurement is tried.
_TRIES = 3


class NotMeasurableError(Exception):
    """Times that other work on the machine would falsify; the message says how."""


@dataclass(frozen=True)
class Latency:
    """Timed runs of one program, as the medians of its turns.

    Attributes:
        seconds: float64 ``(turns,)``, the median wall time of a run in each turn.
        runs: timed runs in all.
        threads: of the program.
    """

    seconds: np.ndarray
    runs: int
    threads: int = 1

    @property
    def median(self) -> float:
        """Milliseconds."""
        return float(np.median(self.seconds) * 1e3)

    @property
    def low(self) -> float:
        """10th percentile of the turns, milliseconds."""
        return float(np.percentile(self.seconds, 10) * 1e3)

    @property
    def high(self) -> float:
        """90th percentile of the turns, milliseconds."""
        return float(np.percentile(self.seconds, 90) * 1e3)

    def __str__(self) -> str:
        return f"{self.median:.3f} ms ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Program:
    """Something to be timed.

    Attributes:
        run: one run.
        threads: how many it computes with.
        ready: called before each turn, such as to set the number of threads.
    """

    run: Callable[[], object]
    threads: int = 1
    ready: Callable[[], object] = lambda: None


def alternate(programs: Mapping[str, Program], seconds: float = 2.0, chunk: float = 0.05) -> dict[str, Latency]:
    """Time programs by turns, so that what else the machine does falls on all of them alike.

    Each turn pauses until threads of the program before have stopped spinning, runs one program once for warm-up and
    then for ``chunk`` seconds (at least three runs); turns go round until ``seconds`` are spent on each. The first turn
    of each is not counted.

    Args:
        programs: name to program.
        seconds: per program.
        chunk: seconds of one turn.

    Raises:
        NotMeasurableError: if other processes took cores that the programs needed, or times vary too much.
    """
    for left in reversed(range(_TRIES)):
        load = Load()
        found = _rounds(programs, seconds, chunk)
        reason = _disturbance(found, load.foreign())
        if not reason:
            return found
        if left:
            time.sleep(0.2)
    raise NotMeasurableError(reason)


def _rounds(programs: Mapping[str, Program], seconds: float, chunk: float) -> dict[str, Latency]:
    turns: dict[str, list[list[float]]] = {name: [] for name in programs}
    spent = dict.fromkeys(programs, 0.0)
    warm = False
    while not warm or min(spent.values()) < seconds:
        for name, program in programs.items():
            times = _turn(program, chunk)
            if warm:
                turns[name].append(times)
                spent[name] += sum(times)
        warm = True
    return {
        name: Latency(np.array([np.median(times) for times in each]), sum(map(len, each)), programs[name].threads)
        for name, each in turns.items()
    }


def _turn(program: Program, chunk: float) -> list[float]:
    program.ready()
    time.sleep(min(chunk, 0.005))
    program.run()
    times: list[float] = []
    while sum(times) < chunk or len(times) < 3:
        start = time.perf_counter()
        program.run()
        times.append(time.perf_counter() - start)
    return times


def _disturbance(found: Mapping[str, Latency], foreign: float | None) -> str:
    """Why these times say nothing; empty if they do."""
    needed = max(latency.threads for latency in found.values())
    if foreign is not None and foreign > cores() - needed + _LEEWAY:
        return f"other work kept {foreign:.1f} of {cores()} cores busy"
    for name, latency in found.items():
        if latency.high > _SPREAD * latency.low:
            return f"times of {name} vary from {latency.low:.3f} to {latency.high:.3f} ms"
    return ""


def processor() -> str:
    """The processor's name as its maker calls it, or what Python knows."""
    import platform

    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def engine_timing(latency: Latency) -> Timing:
    """A row of the report's table of latencies for the engine."""
    from paring import runtime
    from paring.report import Timing

    return _timing(Timing, "Paring engine, this file", latency, isa=runtime.info()["isa"], ours=True)


def torch_timing(latency: Latency, what: str) -> Timing:
    """A row of the report's table of latencies for torch."""
    import torch

    from paring.report import Timing

    return _timing(Timing, f"torch {torch.__version__}, {what}", latency)


def _timing(kind: type[Timing], what: str, latency: Latency, **more: object) -> Timing:
    return kind(
        what,
        latency.median,
        latency.threads,
        runs=latency.runs,
        low=latency.low,
        high=latency.high,
        machine=processor(),
        **more,  # type: ignore[arg-type]
    )


def profile(model: Model, runs: int = 50) -> tuple[list[NodeTime], str]:
    """Median time of each step of the engine, batch 1, with the words that say how it was taken."""
    from paring import runtime
    from paring.report import NodeTime

    ops = {node.name: node.op for node in model.graph.nodes}
    rounds = [model.profile(repeats=1) for _ in range(runs)]
    medians = np.median([[step.seconds for step in steps] for steps in rounds], axis=0) * 1e3
    nodes = [
        NodeTime(step.name, ops.get(step.name, ""), float(ms), step.kernel)
        for step, ms in zip(rounds[0], medians, strict=True)
    ]
    assert model.engine is not None
    threads = threads_text(model.engine.threads)
    return nodes, f"median of {runs} runs, batch 1, {threads}, {runtime.info()['isa']}, {processor()}"


def accuracy(model: Model, path: Path, spec: str, loading: dict[str, object], record: Record | None) -> Accuracy:
    """The error of a file in the engine over the test split of a set, beside what the run's record says of before."""
    from paring import data
    from paring.cli.measure._scoring import check_classes, in_engine, score
    from paring.errors import FormatError
    from paring.report import Accuracy

    if model.preparation is None:
        raise FormatError("file does not say how to prepare an image", where=path)
    samples = data.load(spec, "test", preparation=model.preparation, **loading)  # type: ignore[arg-type]
    check_classes(path, model, samples)
    found = score(in_engine(model), samples, 64, "evaluating")
    same = record is not None and record.data == spec and record.test_images == len(samples)
    return Accuracy(
        f"{samples.name} {samples.split}",
        len(samples),
        record.baseline_error if record is not None and same else None,
        found.error,
        "float network in torch" if same else "",
        "this file in the engine",
    )
