"""What a compressed file is worth, measured: bytes, error in the engine, agreement with torch, latency by turns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paring.cli.measure import _latency as _measure
from paring.cli.measure._latency import Latency, NotMeasurableError, Program
from paring.cli.measure._scoring import in_torch, score
from paring.cli.render._output import count, percent, print_table, threads_text
from paring.errors import ParingError

if TYPE_CHECKING:
    from torch import nn

    from paring.container import Contents, Inspection
    from paring.record import Record
    from paring.report import Accuracy
    from paring.runtime import Model
    from paring.training.input import Images

#: Largest difference between a score of the engine and of torch, relative to the largest score, that is rounding.
TOLERANCE = 1e-3
#: Operators that jump: where a sum comes out a rounding apart, its sign or code may, and all scores behind it.
JUMPS = ("sign", "quantize")
#: Share of images, one at least, on which such a network may then name another class.
LEEWAY = 0.01
#: Name of a split of pictures without labels: those that the float network gives them stand for labels.
AGREEMENT = "held out, named by the float network"


@dataclass(frozen=True)
class Comparison:
    """A `.pare` file beside the float network it came from.

    Attributes:
        file: the file.
        float_bytes: the float network's weights at four bytes each.
        bytes: length of the file.
        error_before: of the float network in torch, fraction.
        error: of the file in the engine, fraction.
        data: the set both errors are over.
        images: how many images it has.
        same: images on which engine and torch, running the file's network, name the same class.
        difference: largest absolute difference between their scores.
        before: latency of the float network in torch, one image, with the number of threads that is best for it; None
            if not timed.
        after: latency of the file in the engine, one image.
        disturbed: why there are no latencies although they were asked for.
    """

    file: Path
    float_bytes: int
    bytes: int
    error_before: float
    error: float
    data: str
    images: int
    same: int
    difference: float
    before: Latency | None
    after: Latency | None
    disturbed: str = ""

    @property
    def ratio(self) -> float:
        """How many times smaller the file is than the float weights."""
        return self.float_bytes / self.bytes

    @property
    def agreement(self) -> str:
        """In words, how far engine and torch agree."""
        return (
            f"engine and torch name the same class on {count(self.same)} of {count(self.images)} images; "
            f"scores differ by at most {self.difference:.2g}"
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values; latencies are medians in milliseconds."""
        return {
            "file": str(self.file),
            "float_bytes": self.float_bytes,
            "bytes": self.bytes,
            "ratio": self.ratio,
            "error_before": self.error_before,
            "error": self.error,
            "data": self.data,
            "images": self.images,
            "same_class": self.same,
            "largest_difference": self.difference,
            "torch_ms": self.before and self.before.median,
            "engine_ms": self.after and self.after.median,
            "torch_threads": self.before and self.before.threads,
            "engine_threads": self.after and self.after.threads,
            "not_measurable": self.disturbed or None,
        }

    def accuracy(self) -> Accuracy:
        """The report's line about errors."""
        from paring.report import Accuracy

        return Accuracy(
            self.data,
            self.images,
            self.error_before,
            self.error,
            "float network in torch",
            "this file in the engine",
            self.same,
        )

    def show(self, title: str) -> None:
        """The one table: before, after."""
        rows = [
            ("bytes", count(self.float_bytes), count(self.bytes), f"{self.ratio:.1f} x smaller"),
            (
                "test error",
                percent(self.error_before),
                percent(self.error),
                f"{100 * (self.error - self.error_before):+.2f} points",
            ),
        ]
        if self.data.endswith(AGREEMENT):
            rows[-1] = ("same class as the float network", "", percent(1 - self.error), "")
        if self.before and self.after:
            ratio = self.before.median / self.after.median
            rows.append(
                (
                    "median latency",
                    f"{self.before}, {threads_text(self.before.threads)}",
                    f"{self.after}, {threads_text(self.after.threads)}",
                    f"{ratio:.1f} x {'faster' if ratio >= 1 else 'the speed'}",
                )
            )
        if self.disturbed:
            rows.append(("median latency", "not measurable now", "", self.disturbed))
        print_table(("", "float network in torch", "file in Paring's engine", ""), rows, title=title)


def judge(
    file: Path, record: Record, network: nn.Module, test: Images, threads: int, *, time: bool = True
) -> tuple[Comparison, Model, Contents]:
    """Measure a file that a recipe has just written.

    Args:
        file: the `.pare` file, reloaded here.
        record: of its run.
        network: the float network, in eval mode, for the latency before.
        test: the test set.
        threads: of torch and of the engine.
        time: measure latencies.

    Returns:
        what was measured, the file's model, and what the file holds, which is decoded once.

    Raises:
        ParingError: if engine and torch do not agree about the file's network; that is a fault in Paring.
    """
    from paring import container, runtime
    from paring.capture import rebuild

    contents = container.read(file)
    graph = contents.graph
    model = runtime.Model(contents, threads=threads)
    mine = score(model, test, 64, "engine")
    theirs = score(in_torch(rebuild(graph).eval()), test, 64, "torch")
    difference = float(np.abs(mine.scores - theirs.scores).max())
    same = int(np.count_nonzero(mine.predicted == theirs.predicted))
    scale = max(1.0, float(np.abs(theirs.scores).max()))
    jumping = any(node.op in JUMPS for node in graph.nodes) and np.isfinite(difference)
    images = len(mine.labels)
    alike = jumping and images - same <= max(1, LEEWAY * images)
    if not (difference <= TOLERANCE * scale or alike):
        raise ParingError(
            "engine and torch disagree about the file",
            where=file,
            found=f"scores differ by up to {difference:.3g}, {images - same} classes of {images}",
            expected=f"at most {TOLERANCE * scale:.3g}",
            fix="Please report this with the file",
        )
    before, after, disturbed = (
        _latencies(network, model, test.first.prepared(0, 1), threads) if time else (None, None, "")
    )
    outcome = Comparison(
        file=file,
        float_bytes=record.float_bytes,
        bytes=file.stat().st_size,
        error_before=record.baseline_error if record.baseline_error is not None else float("nan"),
        error=mine.error,
        data=f"{test.name} {test.split}",
        images=images,
        same=same,
        difference=difference,
        before=before,
        after=after,
        disturbed=disturbed,
    )
    return outcome, model, contents


def _latencies(
    network: nn.Module, model: Model, image: np.ndarray, threads: int
) -> tuple[Latency | None, Latency | None, str]:
    """Of torch with one thread or all, whichever is faster, and of the engine; or why there is none."""
    import torch

    now = torch.get_num_threads()
    programs = {"the engine": Program(partial(model, image), threads)}
    for count_ in sorted({1, threads}):
        ready = partial(torch.set_num_threads, count_)
        programs[f"torch, {threads_text(count_)}"] = Program(partial(in_torch(network), image), count_, ready)
    try:
        found = _measure.alternate(programs, seconds=1.0)
    except NotMeasurableError as error:
        return None, None, str(error)
    finally:
        torch.set_num_threads(now)
    after = found.pop("the engine")
    return min(found.values(), key=lambda latency: latency.median), after, ""


def write_report(
    page: Path, outcome: Comparison, model: Model, record: Record, run: Path, opened: tuple[Contents, Inspection]
) -> None:
    """The page about a file that was just measured and is ``opened``: its contents, and where its bytes are."""
    from paring.report import write

    timings = []
    if outcome.before and outcome.after:
        timings.append(_measure.torch_timing(outcome.before, "float network"))
        timings.append(_measure.engine_timing(outcome.after))
    profile, source = _measure.profile(model)
    write(
        page,
        outcome.file,
        record,
        run=run,
        accuracy=outcome.accuracy(),
        timings=timings,
        profile=profile,
        profile_source=source,
        opened=opened,
    )
