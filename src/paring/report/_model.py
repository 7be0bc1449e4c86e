"""What a report says, as plain data; :func:`paring.report.render` turns it into a page and measures nothing.

Errors are fractions in 0..1, times milliseconds or seconds as named, sizes bytes. A number that nobody measured is
``None`` and leaves its place in the page empty or out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from paring.errors import ArgumentError


@dataclass(frozen=True)
class Section:
    """One stretch of the file.

    Attributes:
        name: what it holds: a weight (``fc1.weight``) or a part of the file (``graph``).
        part: which kind of content that is; bytes are summed up by it.
        bytes: its length in the file.
        form: how a weight is kept; empty for other stretches.
    """

    name: str
    part: str
    bytes: int
    form: str = ""


@dataclass(frozen=True)
class Layer:
    """One layer's weights, biases included.

    Attributes:
        name: the node's name.
        op: its operator.
        form: how its weight is kept.
        weights: number of its parameters.
        kept: how many of them are not zero.
        before: bytes as 32-bit floats.
        after: bytes in the file.
    """

    name: str
    op: str
    form: str
    weights: int
    kept: int
    before: int
    after: int


@dataclass(frozen=True)
class Histogram:
    """One weight tensor's distribution.

    Attributes:
        name: the weight's name.
        low: left edge of the first bin.
        high: right edge of the last bin.
        kept: weights per bin that the file keeps.
        pruned: weights per bin that are exactly zero in the file.
        centroids: shared values in ascending order; empty if the weight shares none.
        baseline: whether the bins count the weights before compression; False if they count the file's own.
    """

    name: str
    low: float
    high: float
    kept: tuple[int, ...]
    pruned: tuple[int, ...]
    centroids: tuple[float, ...] = ()
    baseline: bool = True

    @property
    def weights(self) -> int:
        """Number of weights."""
        return sum(self.kept) + sum(self.pruned)

    @property
    def pruned_share(self) -> float:
        """Share of the weights that are exactly zero in the file."""
        return sum(self.pruned) / self.weights if self.weights else 0.0


@dataclass(frozen=True)
class Accuracy:
    """Test error before and after, on one named set.

    Attributes:
        data: name of the set, split included (``mnist test``).
        images: how many images it has.
        before: error of the float network, fraction.
        after: error of the compressed network, fraction.
        before_source: what ran before (``torch, float32``).
        after_source: what ran after (``this file in the native engine``).
        agree: images on which the engine and the torch network give the same class.
        simulated: True if ``after`` comes from a simulation rather than from the file.
    """

    data: str
    images: int
    before: float | None
    after: float | None
    before_source: str = ""
    after_source: str = ""
    agree: int | None = None
    simulated: bool = False


@dataclass(frozen=True)
class Timing:
    """The median time of one answer.

    Attributes:
        what: what was timed (``torch 2.13.0, float32``, ``engine``).
        median: milliseconds for the whole batch.
        threads: number of threads.
        isa: instruction set the kernels used; empty if the library does not say.
        batch: images at once.
        runs: timed runs behind the median.
        low: lower end of the middle four fifths of the runs, milliseconds.
        high: upper end.
        machine: the processor.
        ours: True for the engine.
    """

    what: str
    median: float
    threads: int
    isa: str = ""
    batch: int = 1
    runs: int | None = None
    low: float | None = None
    high: float | None = None
    machine: str = ""
    ours: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage of the recipe.

    Attributes:
        name: ``train``, ``prune``, ``retrain``, ``share``, ``tune``, ...
        note: what was done, in a few words.
        error: test error after the stage, fraction.
        kept: share of the weights that are not zero after it.
        seconds: wall time.
        simulated: True if the error comes from a simulation.
    """

    name: str
    note: str = ""
    error: float | None = None
    kept: float | None = None
    seconds: float | None = None
    simulated: bool = False


@dataclass(frozen=True)
class NodeTime:
    """Median milliseconds of one node in the engine."""

    name: str
    op: str
    median: float
    kernel: str = ""


@dataclass(frozen=True)
class Coding:
    """One line of Deep Compression's layer tables (arXiv 1510.00149, tables 2 to 5).

    ``pq`` is pruning and quantisation with fixed-width codes, ``pqh`` the same with Huffman coding.

    Attributes:
        weights: number of weights, biases not counted.
        kept: share of them that is not zero.
        weight_bits_pq: bits of one weight code before Huffman coding.
        weight_bits_pqh: mean bits after it.
        index_bits_pq: bits of one relative index before.
        index_bits_pqh: mean bits after.
        size_pq: bytes over float32 bytes, before.
        size_pqh: bytes over float32 bytes, after.
    """

    weights: float
    kept: float | None = None
    weight_bits_pq: float | None = None
    weight_bits_pqh: float | None = None
    index_bits_pq: float | None = None
    index_bits_pqh: float | None = None
    size_pq: float | None = None
    size_pqh: float | None = None


@dataclass(frozen=True)
class CodingRow:
    """Ours beside the paper's for one layer.

    Attributes:
        layer: our layer's name.
        ours: computed from the weight in the file, as the paper counts.
        paper: the paper's line for it.
        paper_layer: the paper's name of the layer.
        huffman: bytes of the weight in the paper's coding, tables and centroids included.
        file: bytes of the weight in this file.
        total: True for the line of the whole network.
    """

    layer: str
    ours: Coding
    paper: Coding | None = None
    paper_layer: str = ""
    huffman: int | None = None
    file: int | None = None
    total: bool = False


@dataclass(frozen=True)
class GraphNode:
    """One node of the graph, or one of its inputs (``op`` is then ``input``).

    Attributes:
        name: the value's name.
        op: its operator.
        inputs: names of the values it reads.
        shape: batch-free output shape, NHWC.
        detail: the attributes worth reading.
        weights: number of parameters it owns.
        output: True if the network answers with it.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    detail: str = ""
    weights: int = 0
    output: bool = False


@dataclass(frozen=True)
class Facts:
    """A titled list of names and values on the network card."""

    title: str
    rows: tuple[tuple[str, str], ...]


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
        profile: per node, in the graph's order.
        profile_source: how the profile was taken (``median of 50 runs, 1 thread, avx512, ...``).
        codings: the paper's columns.
        coding_source: which table of the paper the lines come from.
        coder: name of the coder that wrote the file.
        preparation: what happens to an image before the network sees it.
        classes: class names.
        facts: provenance, seeds, machine, versions.
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
