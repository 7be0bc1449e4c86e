"""What running a file may cost: bounds that follow from its size, checked before memory is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from paring.container import Contents
from paring.errors import FormatError
from paring.graph import Graph, Node
from paring.graph._cost import weight_uses

#: Bytes of a value's number, whatever it is; a bound has no need to tell codes apart.
_BYTES = 4
_Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Limits:
    """How much one image may cost in the native engine: a fixed part, and so much more for each byte of the file.

    Real networks stay far below: a weight of one byte may be used at every pixel of a map of 2048 x 2048. A batch costs
    as many times the work as it has images; each further thread may ask for scratch space of its own.

    Attributes:
        memory: bytes of all values together, with the scratch space of the convolution that needs most.
        memory_per_byte: more of them for each byte of the file.
        work: multiply-adds, comparisons and moves of numbers.
        work_per_byte: more of them for each byte of the file.
    """

    memory: int = 1 << 29
    memory_per_byte: int = 1 << 16
    work: int = 1 << 32
    work_per_byte: int = 1 << 22

    def check(self, contents: Contents, size: int, where: object) -> None:
        """Refuse what a file of ``size`` bytes holds if it would cost more.

        Raises:
            FormatError: naming the file, the cost and the bound.
        """
        graph = contents.graph
        memory, work = memory_of(graph), work_of(graph)
        if contents.preparation is not None:  # two more copies while a picture is prepared
            memory += 2 * _BYTES * prod(contents.preparation.shape)
        most_memory, most_work = self.memory + self.memory_per_byte * size, self.work + self.work_per_byte * size
        fix = "If you trust the file: paring.load(path, limits=None), or --no-limits"
        if memory > most_memory:
            found, expected = f"{memory:,} bytes per image", f"at most {most_memory:,} for a file of {size:,} bytes"
            raise FormatError(
                "network would take too much memory", where=where, found=found, expected=expected, fix=fix
            )
        if work > most_work:
            found, expected = f"{work:,} operations per image", f"at most {most_work:,} for a file of {size:,} bytes"
            raise FormatError("network would take too long", where=where, found=found, expected=expected, fix=fix)


DEFAULT_LIMITS = Limits()


def memory_of(graph: Graph) -> int:
    """Bytes of all values of one image, and the largest scratch space of a convolution."""
    values = sum(prod(shape) for shape in graph.shapes.values())
    scratch = max((_scratch(node, graph) for node in graph.nodes if node.op == "conv2d"), default=0)
    return _BYTES * (values + scratch)


def work_of(graph: Graph) -> int:
    """Operations for one image: numbers read and written by every node, and what its windows take."""
    return sum(_work(node, graph) for node in graph.nodes)


def _work(node: Node, graph: Graph) -> int:
    shapes = graph.shapes
    made, read = prod(shapes[node.name]), sum(prod(shapes[name]) for name in node.inputs)
    return made + read + _windows(node, graph, shapes[node.inputs[0]], shapes[node.name])


def _windows(node: Node, graph: Graph, source: tuple[int, ...], target: tuple[int, ...]) -> int:
    if "weight" in node.weights:
        weight = graph.weights[node.weights["weight"]]
        multiplied = weight_uses(node, graph.shapes) * weight.size
        # A transposed convolution looks for every tap at every pixel, whether there is an input under it or not.
        return multiplied + (prod(target[:2]) * prod(weight.shape[2:]) if node.op == "conv_transpose2d" else 0)
    if node.op == "lrn":
        size = node.attrs["size"]
        assert isinstance(size, int)
        return prod(target) * min(size, target[-1])
    if node.op == "adaptive_avg_pool":
        spans = [-(-a // b) + 1 for a, b in zip(source[:2], target[:2], strict=True)]
        return prod(target) * prod(spans)
    kernel = node.attrs.get("kernel")
    return prod(target) * prod(kernel) if isinstance(kernel, tuple) else 0


def _scratch(node: Node, graph: Graph) -> int:
    """Floats that a convolution from its non-zero weights may ask for; ``native/kernels/conv2d/choose.cc`` computes it
    otherwise where its planes or lines would be larger than the bounds here."""
    (height, width, channels), (tall, wide, outputs) = graph.shapes[node.inputs[0]], graph.shapes[node.name]
    *_, kernel_h, kernel_w = graph.weights[node.weights["weight"]].shape
    if kernel_h * kernel_w > 4096:  # goes one multiplication after the other
        return 0
    stride, dilation = node.attrs["stride"], node.attrs["dilation"]
    assert isinstance(stride, tuple)
    assert isinstance(dilation, tuple)
    most = 16 * (height * width * channels + tall * wide * outputs) + (1 << 16)
    rows, columns = tall + (kernel_h - 1) * dilation[0] // stride[0], -(-wide // 8) * 8
    planes = channels * kernel_w * min(stride[0], (kernel_h - 1) * dilation[0] + 1) * rows * columns
    lines = 256 * (columns + (kernel_w - 1) * dilation[1])
    sums = -(-outputs // 16) * 16 * min(512, tall * columns + 15)
    return min(planes, most) + min(lines, most + (1 << 20)) + sums
