"""Deep Compression's own per-layer lines (Han, Mao, Dally, arXiv 1510.00149, tables 2 to 5), and ours beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paring.coding import relative
from paring.forms import Codebook
from paring.graph import Graph
from paring.report._pieces import Coding, CodingRow


@dataclass(frozen=True)
class PaperTable:
    """One network's table.

    Attributes:
        source: which table it is.
        counts: exact number of weights of each layer, by which a network is recognized.
        layers: (the paper's name of the layer, its line), in order; the last one is the total.
    """

    source: str
    counts: tuple[int, ...]
    layers: tuple[tuple[str, Coding], ...]


def _line(
    weights: float, kept: float, bits: float, bits_h: float, index: float, index_h: float, size: float, size_h: float
) -> Coding:
    """A printed line: shares in percent become fractions."""
    return Coding(weights, kept / 100, bits, bits_h, index, index_h, size / 100, size_h / 100)


_LENET_300_100 = PaperTable(
    "table 2, LeNet-300-100",
    (235_200, 30_000, 1_000),
    (
        ("ip1", _line(235e3, 8, 6, 4.4, 5, 3.7, 3.1, 2.32)),
        ("ip2", _line(30e3, 9, 6, 4.4, 5, 4.3, 3.8, 3.04)),
        ("ip3", _line(1e3, 26, 6, 4.3, 5, 3.2, 15.7, 12.70)),
        ("total", _line(266e3, 8, 6, 5.1, 5, 3.7, 3.1, 2.49)),
    ),
)
_LENET_5 = PaperTable(
    "table 3, LeNet-5",
    (500, 25_000, 400_000, 5_000),
    (
        ("conv1", _line(500, 66, 8, 7.2, 5, 1.5, 78.5, 67.45)),
        ("conv2", _line(25e3, 12, 8, 7.2, 5, 3.9, 6.0, 5.28)),
        ("ip1", _line(400e3, 8, 5, 4.5, 5, 4.5, 2.7, 2.45)),
        ("ip2", _line(5e3, 19, 5, 5.2, 5, 3.7, 6.9, 6.13)),
        ("total", _line(431e3, 8, 5.3, 4.1, 5, 4.4, 3.05, 2.55)),
    ),
)
_ALEXNET = PaperTable(
    "table 4, AlexNet",
    (34_848, 307_200, 884_736, 663_552, 442_368, 37_748_736, 16_777_216, 4_096_000),
    (
        ("conv1", _line(35e3, 84, 8, 6.3, 4, 1.2, 32.6, 20.53)),
        ("conv2", _line(307e3, 38, 8, 5.5, 4, 2.3, 14.5, 9.43)),
        ("conv3", _line(885e3, 35, 8, 5.1, 4, 2.6, 13.1, 8.44)),
        ("conv4", _line(663e3, 37, 8, 5.2, 4, 2.5, 14.1, 9.11)),
        ("conv5", _line(442e3, 37, 8, 5.6, 4, 2.5, 14.0, 9.43)),
        ("fc6", _line(38e6, 9, 5, 3.9, 4, 3.2, 3.0, 2.39)),
        ("fc7", _line(17e6, 9, 5, 3.6, 4, 3.7, 3.0, 2.46)),
        ("fc8", _line(4e6, 25, 5, 4, 4, 3.2, 7.3, 5.85)),
        ("total", _line(61e6, 11, 5.4, 4, 4, 3.2, 3.7, 2.88)),
    ),
)
_VGG_16 = PaperTable(
    "table 5, VGG-16",
    (1_728, 36_864, 73_728, 147_456, 294_912, 589_824, 589_824, 1_179_648, 2_359_296, 2_359_296, 2_359_296, 2_359_296,
     2_359_296, 102_760_448, 16_777_216, 4_096_000),
    (
        ("conv1_1", _line(2e3, 58, 8, 6.8, 5, 1.7, 40.0, 29.97)),
        ("conv1_2", _line(37e3, 22, 8, 6.5, 5, 2.6, 9.8, 6.99)),
        ("conv2_1", _line(74e3, 34, 8, 5.6, 5, 2.4, 14.3, 8.91)),
        ("conv2_2", _line(148e3, 36, 8, 5.9, 5, 2.3, 14.7, 9.31)),
        ("conv3_1", _line(295e3, 53, 8, 4.8, 5, 1.8, 21.7, 11.15)),
        ("conv3_2", _line(590e3, 24, 8, 4.6, 5, 2.9, 9.7, 5.67)),
        ("conv3_3", _line(590e3, 42, 8, 4.6, 5, 2.2, 17.0, 8.96)),
        ("conv4_1", _line(1e6, 32, 8, 4.6, 5, 2.6, 13.1, 7.29)),
        ("conv4_2", _line(2e6, 27, 8, 4.2, 5, 2.9, 10.9, 5.93)),
        ("conv4_3", _line(2e6, 34, 8, 4.4, 5, 2.5, 14.0, 7.47)),
        ("conv5_1", _line(2e6, 35, 8, 4.7, 5, 2.5, 14.3, 8.00)),
        ("conv5_2", _line(2e6, 29, 8, 4.6, 5, 2.7, 11.7, 6.52)),
        ("conv5_3", _line(2e6, 36, 8, 4.6, 5, 2.3, 14.8, 7.79)),
        ("fc6", _line(103e6, 4, 5, 3.6, 5, 3.5, 1.6, 1.10)),
        ("fc7", _line(17e6, 4, 5, 4, 5, 4.3, 1.5, 1.25)),
        ("fc8", _line(4e6, 23, 5, 4, 5, 3.4, 7.1, 5.24)),
        ("total", _line(138e6, 7.5, 6.4, 4.1, 5, 3.1, 3.2, 2.05)),
    ),
)  # fmt: skip

TABLES = (_LENET_300_100, _LENET_5, _ALEXNET, _VGG_16)


def paper_table(counts: Sequence[int]) -> PaperTable | None:
    """The paper's table for a network whose layers have these numbers of weights, if it has one."""
    return next((table for table in TABLES if table.counts == tuple(counts)), None)


def coding_rows(graph: Graph, sizes: Mapping[str, int]) -> tuple[tuple[CodingRow, ...], str]:
    """Our lines with the paper's beside them where the network is one of the paper's, and which table those are from.

    A line is computed from the weight as the file holds it; only codebooks of two or more axes have one.

    Args:
        graph: the network in the file.
        sizes: bytes of each weight in the file.
    """
    kernels = {name: form for name, form in graph.weights.items() if len(form.shape) >= 2}
    shared = {name: form for name, form in kernels.items() if isinstance(form, Codebook)}
    if not shared:
        return (), ""
    table = paper_table([form.size for form in kernels.values()]) if len(shared) == len(kernels) else None
    width = round(table.layers[0][1].index_bits_pq or 0) if table else relative.INDEX_BITS
    lines, rows = [], []
    for i, (name, form) in enumerate(shared.items()):
        alphabet = len(form.centroids) + 1
        lines.append(relative.layer_size(form.indices, alphabet, width))
        paper_name, paper = table.layers[i] if table else ("", None)
        huffman = len(relative.encode(form.indices, alphabet, width)) + form.centroids.nbytes
        rows.append(CodingRow(name, _coding(lines[-1]), paper, paper_name, huffman, sizes[name]))
    paper_name, paper = table.layers[-1] if table else ("", None)
    huffman, file = sum(row.huffman or 0 for row in rows), sum(row.file or 0 for row in rows)
    total = _coding(relative.total_size(lines))
    rows.append(CodingRow("total", total, paper, paper_name, huffman, file, True))
    return tuple(rows), table.source if table else ""


def _coding(line: relative.LayerSize) -> Coding:
    return Coding(
        line.weights,
        line.kept_share,
        line.weight_bits,
        line.weight_bits_huffman,
        line.index_bits,
        line.index_bits_huffman,
        line.size,
        line.size_huffman,
    )
