"""What the numbers that a network answers with are."""

from __future__ import annotations

from paring.errors import ArgumentError
from paring.graph import Graph

#: In the order of the file's numbers, from 1: scores of exclusive classes, softmax makes probabilities of them; the
#: probabilities themselves; each class for itself, a sigmoid makes probabilities of them; numbers; a map.
OUTPUTS = ("logits", "probabilities", "multi-label", "regression", "map")
#: What keeps numbers as they are, or only changes how they are written down.
_THROUGH = ("flatten", "dequantize", "channel_shuffle", "slice_channels")


def output_of(graph: Graph, classes: int = 0) -> str:
    """What a graph's last operators show its first output to be.

    Args:
        graph: the network.
        classes: how many have names: a single number is the logit of the second of two classes, else a regression.
    """
    shape = graph.shapes[graph.outputs[0]]
    if len(shape) != 1:
        return "map"
    makers = {node.name: node for node in graph.nodes}
    waiting, found = [graph.outputs[0]], set()
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.op in (*_THROUGH, "concat"):
            waiting += node.inputs
        else:
            op = "" if node is None else node.op
            found.add({"softmax": "probabilities", "sigmoid": "multi-label", "hard_sigmoid": "multi-label"}.get(op, op))
    ends = found & {"probabilities", "multi-label", "tanh"}
    if ends:
        return next(iter(ends)) if found == ends and len(ends) == 1 and "tanh" not in ends else "regression"
    return "regression" if shape == (1,) and classes != 2 else "logits"


def check_output(kind: str, where: object = None) -> str:
    """``kind`` itself.

    Raises:
        ArgumentError: if it is neither empty nor one of :data:`OUTPUTS`.
    """
    if kind and kind not in OUTPUTS:
        raise ArgumentError("unknown kind of output", where=where, found=repr(kind), expected=" or ".join(OUTPUTS))
    return kind
