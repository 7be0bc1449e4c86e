"""The report as a whole, as plain data; :func:`paring.report.render` turns it into a page and measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from paring.errors import ArgumentError
from paring.report._pieces import (
    Accuracy,
    CodingRow,
    Facts,
    GraphNode,
    Histogram,
    Layer,
    NodeTime,
    Section,
    Stage,
    Timing,
)


@dataclass(frozen=True)
class Report:
    """Everything the page shows.

    Attributes:
        title: the network's name.
        file: name of the file, without its folder.
        bytes: length of the file.
        sections: stretches of the file; they add up to ``bytes``.
        layers: in the graph's order.
        nodes: the graph in order, its inputs first.
        accuracy: None if nobody measured it.
        timings: one row per program timed.
        stages: of the recipe.
        stage_data: name of the set the stages' errors are over.
        histograms: in the graph's order.
        profile: per step of the engine, in the order they run.
        profile_source: how the profile was taken (``median of 50 runs, 1 thread, avx512, ...``).
        codings: the paper's columns.
        coding_source: which table of the paper the lines come from.
        coder: name of the coder that wrote the file.
        preparation: what happens to an image before the network sees it.
        classes: class names.
        facts: provenance, seeds, machine, versions.
        settings: of the recipe, one group for each phase and one, first, for what holds for all.
        commands: command lines that made the file, in order.
        absent: why a part has no data, by the part's key (:data:`PARTS`).
        version: of the Paring that made the page.

    Raises:
        ArgumentError: if the sections do not add up to the file's length.
    """

    title: str
    file: str
    bytes: int
    sections: tuple[Section, ...]
    layers: tuple[Layer, ...]
    nodes: tuple[GraphNode, ...] = ()
    accuracy: Accuracy | None = None
    timings: tuple[Timing, ...] = ()
    stages: tuple[Stage, ...] = ()
    stage_data: str = ""
    histograms: tuple[Histogram, ...] = ()
    profile: tuple[NodeTime, ...] = ()
    profile_source: str = ""
    codings: tuple[CodingRow, ...] = ()
    coding_source: str = ""
    coder: str = ""
    preparation: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    facts: tuple[Facts, ...] = ()
    settings: tuple[Facts, ...] = ()
    commands: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

    def __post_init__(self) -> None:
        total = sum(section.bytes for section in self.sections)
        if total != self.bytes:
            raise ArgumentError(
                "sections do not add up to the file", where=self.file, found=total, expected=f"{self.bytes} bytes"
            )

    @property
    def float_bytes(self) -> int:
        """Bytes of the same network as 32-bit floats, nothing but its parameters."""
        return sum(layer.before for layer in self.layers)

    @property
    def weights(self) -> int:
        """Number of parameters."""
        return sum(layer.weights for layer in self.layers)

    @property
    def kept(self) -> int:
        """Number of parameters that are not zero."""
        return sum(layer.kept for layer in self.layers)


#: The parts of the page that can be absent, with the sentence that stands in for one when nothing better is known.
PARTS: dict[str, str] = {
    "accuracy": "No accuracy: nobody has measured this file on a named set.",
    "latency": "No latency: nothing was timed for this page.",
    "weights": "No histograms: the file holds no weight matrix or kernel.",
    "recipe": "No stages: this page was made without the record of the run that made the file.",
    "time": "No time by layer: the engine was not profiled for this page.",
    "paper": "No comparison with the paper: the file holds no weights that are shared as the paper's are.",
}
