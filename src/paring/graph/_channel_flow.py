"""How channels flow through a graph: which channel of an operator's inputs each channel of its output is.

One module serves all who follow channels: structured pruning (``_coupling.py``), equalization and moments
(``paring.methods.integer``). An operator's row says by :attr:`paring.graph.OpSpec.channels` where its channels come
from; what happens at operators that make or mix channels, or tie them together, is each caller's own business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from paring.graph._shapes import Shape

if TYPE_CHECKING:
    from paring.graph._graph import Graph, Node

#: ``(attrs, input shapes) -> int64 (output channels,)``: for each channel of the output, the channel of the inputs laid
#: side by side that it is; -1 where it is zeros.
Sources = Callable[[Mapping[str, Any], Sequence[Shape]], np.ndarray]


def kept(attrs: Mapping[str, Any], inputs: Sequence[Shape]) -> np.ndarray:
    """Every channel stays where it is."""
    return np.arange(inputs[0][-1])


def joined(attrs: Mapping[str, Any], inputs: Sequence[Shape]) -> np.ndarray:
    """All inputs' channels, side by side."""
    return np.arange(sum(shape[-1] for shape in inputs))


def sliced(attrs: Mapping[str, Any], inputs: Sequence[Shape]) -> np.ndarray:
    """Channels start .. stop - 1."""
    return np.arange(attrs["start"], attrs["stop"])


def shuffled(attrs: Mapping[str, Any], inputs: Sequence[Shape]) -> np.ndarray:
    """groups x channels / groups, transposed."""
    return np.arange(inputs[0][-1]).reshape(attrs["groups"], -1).T.reshape(-1)


def padded(attrs: Mapping[str, Any], inputs: Sequence[Shape]) -> np.ndarray:
    """Zero channels in front and behind."""
    return np.pad(np.arange(inputs[0][-1]), attrs["channels"], constant_values=-1)


def flattened(attrs: Mapping[str, Any], inputs: Sequence[Shape]) -> np.ndarray:
    """A channel becomes height x width features."""
    channels, pixels = np.arange(inputs[0][-1]), prod(inputs[0][:-1])
    return np.tile(channels, pixels) if attrs["order"] == "hwc" else np.repeat(channels, pixels)


def carried(
    sources: np.ndarray, vectors: Sequence[np.ndarray], zeros: Callable[[int], np.ndarray] = np.zeros
) -> np.ndarray:
    """What an output's channels hold if channels carry something with them.

    Args:
        sources: what an operator's ``channels`` rule says.
        vectors: one for each input, ``(..., channels)``.
        zeros: given a number of channels that are zeros, what these hold.
    """
    beside = np.concatenate(vectors, axis=-1)
    made = beside[..., sources]
    if (sources < 0).any():
        made[..., sources < 0] = zeros(int((sources < 0).sum()))
    return made


def follow(
    graph: Graph,
    begin: Callable[[str], np.ndarray],
    own: Callable[[Node, list[Any]], Any],
    zeros: Callable[[int], np.ndarray] = np.zeros,
) -> dict[str, Any]:
    """Give every value of a graph what its channels carry, ``(..., channels)``.

    Args:
        graph: the network.
        begin: what an input of the network carries, by its name.
        own: ``(node, what its inputs carry) -> what its output carries``; None: what the operator's row says.
        zeros: as in :func:`carried`.
    """
    from paring.graph._integer_ops import OPS

    values = {name: begin(name) for name in graph.inputs}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        made = own(node, inputs)
        if made is None:
            rule = OPS[node.op].channels
            assert rule is not None, f"{node.op} has no rule for channels; own() must have one"
            made = carried(rule(node.attrs, [graph.shapes[name] for name in node.inputs]), inputs, zeros)
        values[node.name] = made
    return values


class Classes:
    """Union-find over channels: entries of one class belong together."""

    def __init__(self) -> None:
        self.parent: list[int] = []

    def new(self, count: int) -> np.ndarray:
        """New classes of one channel each, int64 ``(count,)``."""
        first = len(self.parent)
        self.parent += range(first, first + count)
        return np.arange(first, first + count)

    def root(self, one: int) -> int:
        """The entry that stands for this one's class."""
        while self.parent[one] != one:
            self.parent[one] = self.parent[self.parent[one]]
            one = self.parent[one]
        return one

    def roots(self) -> np.ndarray:
        """Of every entry, int64."""
        return np.array([self.root(one) for one in range(len(self.parent))], np.int64)

    def join(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Make entry i of the one and of the other one class; gives the first back."""
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            self.parent[self.root(b)] = self.root(a)
        return first
