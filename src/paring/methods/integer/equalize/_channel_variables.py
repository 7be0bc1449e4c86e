"""Every channel of a network as a variable that may be scaled: which are one, which must stay.

A channel may be scaled where it is made and unscaled where it is read if everything between is ``f(t x) = t f(x)`` or
moves it. Channels that are added up must be scaled alike; those that anything else reads or makes must stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paring.graph import Graph, Node
from paring.methods.integer.equalize._weights import LAYERS, owned

#: Functions with ``f(t x) = t f(x)`` for ``t > 0``, channel by channel, and those that keep channels in their places.
_KEEPING = (
    *("relu", "leaky_relu", "prelu", "max_pool", "avg_pool", "adaptive_avg_pool", "global_avg_pool"),
    "subsample",
)


@dataclass
class Channels:
    """Every channel of every layer as a variable; those that add up are one.

    Attributes:
        parent: union-find over the variables.
        pinned: variables that something reads or makes that does not scale.
        clip: upper bound of the ReLU6 a variable goes through, infinite where there is none.
        of: value to the variable of each feature, int64 ``(features,)``.
    """

    parent: list[int] = field(default_factory=list)
    pinned: list[bool] = field(default_factory=list)
    clip: list[float] = field(default_factory=list)
    of: dict[str, np.ndarray] = field(default_factory=dict)

    def new(self, count: int, pinned: bool = False) -> np.ndarray:
        first = len(self.parent)
        self.parent += range(first, first + count)
        self.pinned += [pinned] * count
        self.clip += [np.inf] * count
        return np.arange(first, first + count)

    def find(self, variable: int) -> int:
        while self.parent[variable] != variable:
            self.parent[variable] = self.parent[self.parent[variable]]
            variable = self.parent[variable]
        return variable

    def join(self, one: int, two: int) -> None:
        one, two = self.find(one), self.find(two)
        self.parent[two] = one
        self.pinned[one] |= self.pinned[two]
        self.clip[one] = min(self.clip[one], self.clip[two])

    def pin(self, value: str) -> None:
        for variable in self.of[value]:
            self.pinned[self.find(variable)] = True

    def settle(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Root of every variable, whether it is pinned, and its bound."""
        roots = np.array([self.find(variable) for variable in range(len(self.parent))], np.int64)
        return roots, np.array(self.pinned, bool)[roots], np.array(self.clip)[roots]


def channel_variables(graph: Graph, layers: Collection[str]) -> Channels:
    """The variables of a folded graph; ``layers`` are those whose weights may be scaled."""
    shapes = graph.validate()
    channels = Channels()
    for name, shape in graph.inputs.items():
        channels.of[name] = channels.new(shape[-1], pinned=True)
    for node in graph.nodes:
        sources = [channels.of[name] for name in node.inputs]
        follow = _FOLLOWED.get(node.op)
        bounded = node.op == "clip" and node.attrs["low"] == 0.0
        if node.op in LAYERS:
            if node.name not in layers:
                channels.pin(node.inputs[0])
            scalable = node.name in layers and owned(graph, node)
            channels.of[node.name] = channels.new(shapes[node.name][-1], pinned=not scalable)
            if not scalable:
                channels.pin(node.inputs[0])
        elif node.op in _KEEPING or bounded:
            channels.of[node.name] = sources[0]
            for variable in sources[0] if bounded else ():
                root = channels.find(variable)
                channels.clip[root] = min(channels.clip[root], float(node.attrs["high"]))  # type: ignore[arg-type]
        elif node.op == "add" and len(sources[0]) == len(sources[1]) and _alike(node, shapes):
            for one, two in zip(*sources, strict=True):
                channels.join(one, two)
            channels.of[node.name] = sources[0]
        elif follow is not None:
            channels.of[node.name] = follow(channels, node, sources, shapes[node.inputs[0]])
        else:
            for name in node.inputs:
                channels.pin(name)
            channels.of[node.name] = channels.new(shapes[node.name][-1], pinned=True)
    for name in graph.outputs:
        channels.pin(name)
    return channels


def _alike(node: Node, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return shapes[node.inputs[0]] == shapes[node.inputs[1]]


def _flatten(channels: Channels, node: Node, sources: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    pixels = int(np.prod(shape[:-1]))
    return np.tile(sources[0], pixels) if node.attrs["order"] == "hwc" else np.repeat(sources[0], pixels)


def _slice(channels: Channels, node: Node, sources: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    a: Any = node.attrs
    return sources[0][a["start"] : a["stop"]]


def _shuffle(channels: Channels, node: Node, sources: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    groups: Any = node.attrs["groups"]
    return sources[0].reshape(groups, -1).T.reshape(-1)


def _concat(channels: Channels, node: Node, sources: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.concatenate(sources)


def _pad(channels: Channels, node: Node, sources: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    a: Any = node.attrs
    front, back = a["channels"]
    return np.concatenate([channels.new(front), sources[0], channels.new(back)])


_FOLLOWED = {"flatten": _flatten, "slice_channels": _slice, "channel_shuffle": _shuffle, "concat": _concat, "pad": _pad}
