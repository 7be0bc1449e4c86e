"""What a network costs, read off its graph: parameters, multiply-accumulates, activations, peak memory, bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2, prod
from typing import Any

import numpy as np

from paring.forms import Codebook, Form
from paring.graph._cost_table import html, text
from paring.graph._graph import Graph, Node
from paring.graph._integer_ops import OPS


@dataclass(frozen=True)
class Row:
    """The cost of one node.

    Attributes:
        name: the node's.
        op: its operator.
        form: how its weight is kept (``dense``, ``codebook``, ...), empty without weights.
        output: batch-free shape it makes.
        parameters: numbers in its weights and biases, zeros included; a shared weight counts where it is first read.
        macs: multiply-accumulates of convolutions and fully connected layers for one input, padding included, those
            of binary weights like any other; bias, batch norm, pooling and activations are not counted.
        nonzero_macs: those of them whose weight is not zero.
        activations: elements of its output.
        live_bytes: bytes of all activations that exist while it runs; see :attr:`Cost.peak_bytes`.
        dense_bytes: its parameters as 32-bit floats.
        packed_bytes: its weights in their forms, every symbol in the fewest whole bits its alphabet needs.
        entropy_bytes: its weights in their forms at the zero-order entropy of every stream of symbols, rounded up:
            what a coder without contexts cannot go below. Simulated; a size is the length of a file.
        weight_bits: width of its weight's numbers or codes; 0 without weights.
        activation_bits: width of the numbers or codes it makes.
    """

    name: str
    op: str
    form: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    nonzero_macs: int
    activations: int
    live_bytes: int
    dense_bytes: int
    packed_bytes: int
    entropy_bytes: int
    weight_bits: int = 32
    activation_bits: int = 32


@dataclass(frozen=True)
class Cost:
    """The cost of a network for one input: one row per node, in order.

    Attributes:
        rows: one :class:`Row` per node.
        input_bytes: bytes of the inputs as activations.
        activation_bytes: bytes of one activation that is not codes; codes take one byte whatever their width.
    """

    rows: tuple[Row, ...]
    input_bytes: int
    activation_bytes: int

    def total(self, column: str) -> int:
        """Sum of a column of :class:`Row` (``macs``, ``parameters``, ``dense_bytes``, ...)."""
        return sum(getattr(row, column) for row in self.rows)

    @property
    def parameters(self) -> int:
        """Numbers in all weights."""
        return self.total("parameters")

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one input."""
        return self.total("macs")

    @property
    def activations(self) -> int:
        """Elements of all outputs of nodes."""
        return self.total("activations")

    @property
    def peak_bytes(self) -> int:
        """Most bytes of activations alive at once, weights and scratch space not counted.

        A value lives from the node that makes it to the last that reads it; element-wise operators write over their
        input where it dies with them.
        """
        return max((row.live_bytes for row in self.rows), default=self.input_bytes)

    def __str__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        """For a notebook."""
        return html(self)


def cost(graph: Graph, activation_bytes: int = 4) -> Cost:
    """The cost of a graph for one input.

    Args:
        graph: any well-formed graph.
        activation_bytes: 4 for float32 activations, 1 to simulate 8-bit ones; values that are codes take one byte.

    Raises:
        GraphError: if the graph is not well formed.
    """
    shapes, codes = graph.shapes, graph.quant_params
    sizes = {name: prod(shape) * (1 if name in codes else activation_bytes) for name, shape in shapes.items()}
    live = _live_bytes(graph, sizes)
    counted: set[str] = set()
    rows = []
    for node, bytes_alive in zip(graph.nodes, live, strict=True):
        new = [name for name in dict.fromkeys(node.weights.values()) if name not in counted]
        counted.update(new)
        forms = [graph.weights[name] for name in new]
        weight = graph.weights[node.weights["weight"]] if "weight" in node.weights else None
        macs, nonzero = _macs(node, weight, shapes)
        parameters = sum(form.size for form in forms)
        rows.append(
            Row(
                name=node.name,
                op=node.op,
                form=weight.kind if weight else ("dense" if node.weights else ""),
                output=shapes[node.name],
                parameters=parameters,
                macs=macs,
                nonzero_macs=nonzero,
                activations=prod(shapes[node.name]),
                live_bytes=bytes_alive,
                dense_bytes=4 * parameters,
                packed_bytes=sum(map(packed_bytes, forms)),
                entropy_bytes=sum(map(entropy_bytes, forms)),
                weight_bits=_width(
                    weight or (graph.weights[next(iter(node.weights.values()))] if node.weights else None)
                ),
                activation_bits=codes[node.name].bits if node.name in codes else 8 * activation_bytes,
            )
        )
    return Cost(tuple(rows), sum(prod(s) for s in graph.inputs.values()) * activation_bytes, activation_bytes)


def _macs(node: Node, weight: Form | None, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
    """(all, those with a weight that is not zero)."""
    positions = weight_uses(node, shapes)
    return (0, 0) if weight is None else (positions * weight.size, positions * weight.nonzeros)


def weight_uses(node: Node, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How often each number of a node's weight is multiplied for one input; 0 of what is no layer."""
    map_of = {"output": node.name, "input": node.inputs[0]}.get(OPS[node.op].macs)
    return 0 if map_of is None else prod(shapes[map_of][:-1])


def _width(weight: Form | None) -> int:
    """Bits of one of the weight's numbers; of a codebook those of an index."""
    if weight is None:
        return 0
    if isinstance(weight, Codebook):
        return max(1, len(weight.centroids).bit_length())
    return weight.params().get("bits", 32)


def _live_bytes(graph: Graph, size: Mapping[str, int]) -> list[int]:
    """Bytes alive while each node runs, from the bytes of every value."""
    last = {name: position for position, node in enumerate(graph.nodes) for name in node.inputs}
    last |= {name: len(graph.nodes) for name in graph.outputs}
    alive = sum(size[name] for name in graph.inputs)
    out = []
    for position, node in enumerate(graph.nodes):
        dying = {name for name in node.inputs if last[name] == position}
        freed = sum(size[name] for name in dying)
        first = node.inputs[0]
        reused = OPS[node.op].in_place and first in dying and size[first] == size[node.name]
        alive += 0 if reused else size[node.name]
        out.append(alive)
        alive -= freed - (size[first] if reused else 0)
        if node.name not in last:  # read by nobody
            alive -= size[node.name]
    return out


def packed_bytes(form: Form) -> int:
    """Bytes of a form's streams with every symbol in ``ceil(log2(alphabet))`` bits and numbers as they are."""
    bits = 0
    for stream in form.streams():
        spec = stream.spec
        bits += spec.count * (ceil(log2(spec.alphabet)) if spec.alphabet > 1 else 0)
        bits += spec.count * spec.dtype.itemsize * 8 if spec.alphabet == 0 else 0
    return -(-bits // 8)


def entropy_bytes(form: Form) -> int:
    """Bytes of a form's streams at their zero-order entropies, each rounded up; numbers as they are."""
    total = 0
    for stream in form.streams():
        spec: Any = stream.spec
        if spec.alphabet == 0:
            total += spec.count * spec.dtype.itemsize
            continue
        counts = np.bincount(np.asarray(stream.values, np.int64).ravel())
        share = counts[counts > 0] / max(spec.count, 1)
        total += ceil(-float(np.sum(share * np.log2(share))) * spec.count / 8 - 1e-9)
    return total
