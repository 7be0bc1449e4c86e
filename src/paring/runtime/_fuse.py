"""From a graph to jobs: what is dead is dropped, what follows a convolution closely joins it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

from paring.graph import OPS, Graph, Node

#: Operators whose kernels can add a second value and clamp before they write.
_HEADS = ("conv2d", "linear")


@dataclass(frozen=True)
class Job:
    """One step of the engine to be.

    Attributes:
        node: the operation; for a fused job its head, whose weights and attributes count.
        name: name of the value it makes, which is the last fused node's.
        inputs: values it reads; a second one for ``conv2d`` and ``linear`` is added to the result.
        low: results are clamped to ``low`` ..
        high: .. ``high``, after the addition.
    """

    node: Node
    name: str
    inputs: tuple[str, ...]
    low: float = -inf
    high: float = inf


def fuse(graph: Graph) -> list[Job]:
    """The jobs of a graph, in order.

    A convolution or fully connected layer takes in an addition that is its only reader (a residual connection) and then
    a ``relu`` or ``clip`` that is the only reader so far. The job stands where its last node stood, when everything it
    reads has been made.
    """
    jobs: dict[str, Job] = {}
    readers = Counter(name for node in live(graph) for name in node.inputs)
    readers.update(graph.outputs)
    for node in live(graph):
        job = _with_addition(node, jobs, readers, graph.shapes) or _with_clamp(node, jobs, readers)
        if job is None:
            job = Job(node, node.name, node.inputs)
        jobs[node.name] = job
    return list(jobs.values())


def live(graph: Graph) -> list[Node]:
    """The nodes that some output depends on, in order."""
    needed, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _with_addition(
    node: Node, jobs: dict[str, Job], readers: Counter[str], shapes: Mapping[str, tuple[int, ...]]
) -> Job | None:
    if node.op != "add" or node.inputs[0] == node.inputs[1]:
        return None
    # The second operand is usually the shortcut, which was made first or not at all.
    for name, other in (node.inputs, node.inputs[::-1]):
        if name not in jobs:
            continue
        job = jobs[name]
        unclamped = (job.low, job.high) == (-inf, inf)
        fits = job.node.op in _HEADS and len(job.inputs) == 1 and unclamped and readers[name] == 1
        if fits and shapes[other] == shapes[name] == shapes[node.name]:
            del jobs[name]
            return replace(job, name=node.name, inputs=(*job.inputs, other))
    return None


def _with_clamp(node: Node, jobs: dict[str, Job], readers: Counter[str]) -> Job | None:
    clamp = OPS[node.op].clamp
    if clamp is None or node.inputs[0] not in jobs or readers[node.inputs[0]] != 1:
        return None
    job = jobs[node.inputs[0]]
    if job.node.op not in _HEADS or (job.low, job.high) != (-inf, inf):
        return None
    low, high = clamp(node.attrs)
    del jobs[node.inputs[0]]
    return replace(job, name=node.name, low=low, high=high)
