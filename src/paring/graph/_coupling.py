"""Which channels of which weights go together when one is cut, read off the graph.

A channel that a layer makes is read by the next, added to another, interleaved, flattened into a stripe of columns. Two
entries of two axes belong to one *class* if a network without the one but with the other makes no sense. The walk
gives every value of the graph a vector of classes, one number per channel, and joins classes with union-find:

=====================  ==========================================================================================
convolution, linear    the input axis has the input's classes, the output axis fresh ones
depthwise convolution  an output goes with its input
grouped convolution    position p of every group is one class, in and out, so that the groups stay equal
add, mul               the two operands' channels are joined (squeeze-and-excite: a channel goes with its gate)
concat, slice          classes side by side, a part of them
channel shuffle        position q of every group is one class, then transposed
pad                    the zero channels in front and behind have fresh classes, cut with what they are added to
flatten                a channel becomes height x width columns of its class
scale_shift, prelu     their vectors have the input's classes
pools, activations     pass on what they read
=====================  ==========================================================================================

The inputs and answers of the network stay, and so does what mixes channels in another way (a softmax, a response
normalization, a mean over channels, an operator not named here); each such class has its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from paring.graph._channel_flow import Classes, follow
from paring.graph._graph import Graph, Node
from paring.graph._integer_ops import OPS

#: A weight's name and one of its axes.
Axis = tuple[str, int]


@dataclass(frozen=True)
class Couplings:
    """The classes of a graph's channels, numbered from 0.

    Attributes:
        count: number of classes.
        values: value name to the class of each entry of its last axis, int64.
        axes: (weight, axis) to the class of each entry of that axis, int64; an axis that is not here is never cut.
        makers: the axes of :attr:`axes` along which a weight makes its channels; vectors beside them (a bias, a scale)
            are no makers.
        layers: weight of a maker to the name of the first node that reads it.
        fixed: class to the reason why it must stay.
    """

    count: int
    values: dict[str, np.ndarray]
    axes: dict[Axis, np.ndarray]
    makers: tuple[Axis, ...]
    layers: dict[str, str]
    fixed: dict[int, str]

    def entries(self, axis: Axis) -> np.ndarray:
        """How many entries of an axis each class has, int64 ``(count,)``."""
        return np.bincount(self.axes[axis], minlength=self.count)


def couplings(graph: Graph) -> Couplings:
    """Follow every channel through the graph."""
    walk = _Walk(graph)
    walk.values = follow(graph, walk.input, walk.node, walk.new)
    for name in graph.outputs:
        walk.fix(walk.values[name], "is an answer of the network")
    return walk.finished()


class _Walk(Classes):
    """Classes of channels in the making."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.why: dict[int, str] = {}
        self.values: dict[str, np.ndarray] = {}
        self.axes: dict[Axis, np.ndarray] = {}
        self.makers: list[Axis] = []
        self.layers: dict[str, str] = {}

    def input(self, name: str) -> np.ndarray:
        """The classes of an input of the network."""
        classes = self.new(self.graph.inputs[name][-1])
        self.fix(classes, "is an input of the network")
        return classes

    def node(self, node: Node, inputs: list[np.ndarray]) -> np.ndarray | None:
        """The classes that a node makes; None where its channels are its inputs'."""
        if node.op in _RULES:
            return _RULES[node.op](self, node, *inputs)
        if OPS[node.op].channels is None:
            return _unknown(self, node, *inputs)
        for role in node.weights:  # a number per channel
            self.tie(node, role, 0, inputs[0])
        return None

    def fix(self, classes: np.ndarray, why: str) -> None:
        """Let nobody cut these."""
        for one in dict.fromkeys(classes.tolist()):
            self.why.setdefault(one, why)

    def tie(self, node: Node, role: str, axis: int, classes: np.ndarray, *, makes: bool = False) -> None:
        """The axis of a node's weight, if it has one in this role, has these classes."""
        name = node.weights.get(role)
        if name is None:
            return
        key = (name, axis)
        if key in self.axes:  # two nodes share the weight
            self.join(self.axes[key], classes)
            return
        self.axes[key] = classes
        if makes:
            self.makers.append(key)
            self.layers[name] = node.name

    def rows(self, classes: np.ndarray, groups: int) -> np.ndarray:
        """Position p of every group made one class; the classes of the positions."""
        table = classes.reshape(groups, -1)
        for row in table[1:]:
            self.join(table[0], row)
        return table[0]

    def finished(self) -> Couplings:
        """Classes renumbered, reasons gathered."""
        kept, number = np.unique(self.roots(), return_inverse=True)
        number = number.reshape(-1)  # some releases of NumPy 2 keep a shape here
        fixed: dict[int, str] = {}
        for one, why in self.why.items():
            fixed.setdefault(int(number[one]), why)
        values = {name: number[classes] for name, classes in self.values.items()}
        axes = {key: number[classes] for key, classes in self.axes.items()}
        return Couplings(len(kept), values, axes, tuple(self.makers), self.layers, fixed)


def _unknown(walk: _Walk, node: Node, *inputs: np.ndarray) -> np.ndarray:
    why = f"is read by {node.name}, a {node.op}, which mixes channels"
    for x in inputs:
        walk.fix(x, why)
    out = walk.new(walk.graph.shapes[node.name][-1])
    walk.fix(out, f"is made by {node.name}, a {node.op}")
    return out


def _layer(walk: _Walk, node: Node, x: np.ndarray) -> np.ndarray:
    groups: Any = node.attrs.get("groups", 1)
    made, per_group = walk.graph.weights[node.weights["weight"]].shape[:2]
    if groups > 1 and per_group == 1:
        out = np.repeat(x, made // groups)
    else:
        walk.tie(node, "weight", 1, walk.rows(x, groups))
        out = np.tile(walk.new(made // groups), groups)
    walk.tie(node, "weight", 0, out, makes=True)
    walk.tie(node, "bias", 0, out)
    return out


def _conv_transpose2d(walk: _Walk, node: Node, x: np.ndarray) -> np.ndarray:
    groups: Any = node.attrs["groups"]
    read, per_group = walk.graph.weights[node.weights["weight"]].shape[:2]
    if groups > 1 and read == groups:
        out = np.repeat(x, per_group)
        walk.tie(node, "weight", 0, x, makes=True)
    else:
        walk.rows(x, groups)
        walk.tie(node, "weight", 0, x)
        made = walk.new(per_group)
        out = np.tile(made, groups)
        walk.tie(node, "weight", 1, made, makes=True)
    walk.tie(node, "bias", 0, out)
    return out


def _elementwise(walk: _Walk, node: Node, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if len(x) == len(y):
        return walk.join(x, y)
    walk.fix(y, f"is read by {node.name}, which applies it to every channel")
    return x


def _shuffle(walk: _Walk, node: Node, x: np.ndarray) -> None:
    """The channels go on as the operator's row says; positions of groups are tied before."""
    groups: Any = node.attrs["groups"]
    if groups > 1 and groups < len(x):
        walk.rows(x, groups)


_RULES: dict[str, Callable[..., np.ndarray | None]] = {
    "conv2d": _layer,
    "conv_transpose2d": _conv_transpose2d,
    "linear": _layer,
    "add": _elementwise,
    "mul": _elementwise,
    "channel_shuffle": _shuffle,
}
