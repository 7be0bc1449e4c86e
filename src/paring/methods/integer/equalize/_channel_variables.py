"""Every channel of a network as a variable that may be scaled: which are one, which must stay.

A channel may be scaled where it is made and unscaled where it is read if everything between is ``f(t x) = t f(x)`` or
moves it. Channels that are added up must be scaled alike; those that anything else reads or makes must stay.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from paring.graph import OPS, Classes, Graph, Node, follow
from paring.methods.integer.equalize._weights import owned


class Channels(Classes):
    """Every channel of every layer as a variable; those that add up are one.

    Attributes:
        pinned: variables that something reads or makes that does not scale.
        clip: upper bound of the ReLU6 a variable goes through, infinite where there is none.
        of: value to the variable of each feature, int64 ``(features,)``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pinned: list[np.ndarray] = []
        self.clip: list[tuple[np.ndarray, float]] = []
        self.of: dict[str, np.ndarray] = {}

    def pin(self, variables: np.ndarray) -> np.ndarray:
        """Let nothing scale these; gives them back."""
        self.pinned.append(variables)
        return variables

    def settle(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Root of every variable, whether it is pinned, and its bound."""
        roots = self.roots()
        pinned, clip = np.zeros(len(roots), bool), np.full(len(roots), np.inf)
        for variables in self.pinned:
            pinned[roots[variables]] = True
        for variables, bound in self.clip:
            np.minimum.at(clip, roots[variables], bound)
        return roots, pinned[roots], clip[roots]


def channel_variables(graph: Graph, layers: Collection[str]) -> Channels:
    """The variables of a folded graph; ``layers`` are those whose weights may be scaled."""
    channels = Channels()

    def own(node: Node, inputs: list[np.ndarray]) -> np.ndarray | None:
        spec, out = OPS[node.op], graph.shapes[node.name]
        if spec.weight_axes == (0, 1) and node.name in layers and owned(graph, node):
            return channels.new(out[-1])
        if spec.homogeneous or spec.moves_data:
            return None
        if spec.clamp is not None and spec.clamp(node.attrs)[0] == 0.0:
            channels.clip.append((inputs[0], spec.clamp(node.attrs)[1]))
            return None
        if node.op == "add" and graph.shapes[node.inputs[0]] == graph.shapes[node.inputs[1]]:
            return channels.join(*inputs)
        for variables in inputs:
            channels.pin(variables)
        return channels.pin(channels.new(out[-1]))

    channels.of = follow(graph, lambda name: channels.pin(channels.new(graph.inputs[name][-1])), own, channels.new)
    for name in graph.outputs:
        channels.pin(channels.of[name])
    return channels
