"""What a report is made of, as plain data.

Errors are fractions in 0..1, times milliseconds or seconds as named, sizes bytes. A number that nobody measured is
``None`` and leaves its place in the page empty or out.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    """Median milliseconds of one step of the engine.

    Attributes:
        name: the node; of fused ones the one with weights.
        op: its operator; of fused ones all of them, joined by ``+``.
        median: milliseconds.
        kernel: what computed it.
    """

    name: str
    op: str
    median: float
    kernel: str = ""


@dataclass(frozen=True)
class Coding:
    """One line of Deep Compression's layer tables (arXiv 1510.00149, tables 2 to 5).

    ``pq`` is pruning and quantization with fixed-width codes, ``pqh`` the same with Huffman coding.

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
