"""Rewrites that leave the function of a graph as it is. Each takes a graph and returns a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from paring.forms import Dense
from paring.graph._graph import Graph, Node
from paring.graph._integer_ops import LAYERS, OPS


def simplify(graph: Graph) -> Graph:
    """Fewer nodes for the same answers, bit for bit but for merged ``scale_shift`` pairs (one rounding less).

    A pool to 1x1 with a flatten behind it becomes ``global_avg_pool``; ``subsample`` and ``scale_shift`` pairs become
    one; zero padding moves into the convolution that reads it; nodes and weights no output depends on go.
    """
    work = _Work(graph)
    for rewrite in (_pool_to_global, _merge_subsample, _merge_scale_shift, _pad_into_conv):
        work.sweep(rewrite)
    return work.finished()


def fold_scale_shift(graph: Graph) -> Graph:
    """Per-channel factors moved into the convolution or fully connected layer before them.

    ``weight' = weight * scale``, ``bias' = bias * scale + shift``, in float64, rounded once to float32. Done where the
    ``scale_shift`` is the layer's only reader, the layer's weight belongs to it alone and is 32-bit dense; elsewhere
    the node stays. A layer that reads signs keeps its weight: sums of +1 and -1 are exact integers, and a sum of zero,
    which is common, must not come out a little above or below it where the next sign is taken.
    """
    work = _Work(graph)
    work.sweep(_fold)
    return work.finished()


class _Work:
    """A graph being rewritten: nodes by name, and who reads what."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.shapes = dict(graph.shapes)
        self.nodes = {node.name: node for node in graph.nodes}
        self.weights = dict(graph.weights)
        self.outputs = list(graph.outputs)
        self.readers: dict[str, list[str]] = {name: [] for name in self.shapes}
        for node in graph.nodes:
            for name in node.inputs:
                self.readers[name].append(node.name)
        self.users = {name: {node.name for node, _ in pairs} for name, pairs in graph.weight_users().items()}

    def sweep(self, rewrite: Callable[[_Work, Node], None]) -> None:
        """Apply ``rewrite`` to every node in order."""
        for name in list(self.nodes):
            if name in self.nodes:
                rewrite(self, self.nodes[name])

    def maker(self, name: str, *ops: str) -> Node | None:
        """The node that makes a value, if it is one of ``ops`` and nothing else reads it."""
        node = self.nodes.get(name)
        if node is None or node.op not in ops or name in self.outputs:
            return None
        return node if len(self.readers[name]) == 1 else None

    def absorb(self, kept: Node, gone: Node) -> None:
        """Put ``kept``, which alone read into ``gone``, in its place and let whoever read ``gone`` read it."""
        self.nodes[kept.name] = kept
        del self.nodes[gone.name]
        self.shapes[kept.name] = self.shapes.pop(gone.name)
        self.outputs = [kept.name if name == gone.name else name for name in self.outputs]
        self.readers[kept.name] = self.readers.pop(gone.name)
        for name in set(self.readers[kept.name]):
            node = self.nodes[name]
            inputs = tuple(kept.name if i == gone.name else i for i in node.inputs)
            self.nodes[name] = replace(node, inputs=inputs)
        for name in gone.weights.values():
            self.users[name].discard(gone.name)
        for name in kept.weights.values():
            self.users.setdefault(name, set()).add(kept.name)

    def array(self, node: Node, role: str) -> np.ndarray:
        """A weight in float64; zero where the node has none."""
        name = node.weights.get(role)
        return np.zeros(()) if name is None else self.weights[name].dense().astype(np.float64)

    def sole(self, name: str, *users: Node) -> bool:
        """Whether a weight is read by no node but these."""
        return self.users[name] <= {user.name for user in users}

    def keep(self, wanted: str, array: np.ndarray, *users: Node) -> str:
        """Store a float32 weight under ``wanted``, or under a free name like it if others read that one."""
        name, number = wanted, 1
        while name in self.weights and not self.sole(name, *users):
            number += 1
            name = f"{wanted}_{number}"
        self.weights[name] = Dense(array)
        return name

    def finished(self) -> Graph:
        """The graph of what the outputs depend on."""
        wanted = set(self.outputs)
        kept: list[Node] = []
        for node in reversed(self.nodes.values()):
            if node.name in wanted:
                kept.append(node)
                wanted.update(node.inputs)
        used = {name for node in kept for name in node.weights.values()}
        weights = {name: form for name, form in self.weights.items() if name in used}
        return self.graph.replaced(nodes=kept[::-1], outputs=self.outputs, weights=weights)


def _pool_to_global(work: _Work, node: Node) -> None:
    if node.op != "flatten" or not (pool := work.maker(node.inputs[0], "adaptive_avg_pool", "avg_pool")):
        return
    attrs: Mapping[str, Any] = pool.attrs
    whole = attrs.get("size") == (1, 1)
    if pool.op == "avg_pool":
        whole = attrs["kernel"] == work.shapes[pool.inputs[0]][:2] and not any(attrs["padding"])
    if whole:
        work.absorb(Node(pool.name, "global_avg_pool", pool.inputs), node)


def _merge_subsample(work: _Work, node: Node) -> None:
    if node.op == "subsample" and (first := work.maker(node.inputs[0], "subsample")):
        one: Any = first.attrs["stride"]
        two: Any = node.attrs["stride"]
        work.absorb(replace(first, attrs={"stride": (one[0] * two[0], one[1] * two[1])}), node)


def _merge_scale_shift(work: _Work, node: Node) -> None:
    if node.op != "scale_shift" or not (first := work.maker(node.inputs[0], "scale_shift")):
        return
    scale, shift = work.array(node, "scale"), work.array(node, "shift")
    new = {"scale": work.array(first, "scale") * scale, "shift": work.array(first, "shift") * scale + shift}
    names = {role: work.keep(first.weights[role], array, first, node) for role, array in new.items()}
    work.absorb(replace(first, weights=names), node)


def _pad_into_conv(work: _Work, node: Node) -> None:
    if node.op != "conv2d":
        return
    before = work.nodes.get(node.inputs[0])
    if before is None or before.op != "pad" or any(before.attrs["channels"]):  # type: ignore[arg-type]
        return
    sides: Any = before.attrs["padding"]
    own: Any = node.attrs["padding"]
    attrs = {**node.attrs, "padding": tuple(a + b for a, b in zip(sides, own, strict=True))}
    work.nodes[node.name] = replace(node, inputs=before.inputs, attrs=attrs)
    work.readers[before.name].remove(node.name)
    work.readers[before.inputs[0]].append(node.name)


def _fold(work: _Work, node: Node) -> None:
    if node.op != "scale_shift" or not (layer := work.maker(node.inputs[0], *LAYERS)):
        return
    source = work.nodes.get(layer.inputs[0])
    if source is not None and source.op == "sign":
        return
    name = layer.weights["weight"]
    form = work.weights[name]
    bias_name = layer.weights.get("bias")
    if not isinstance(form, Dense) or form.bits != 32 or not work.sole(name, layer):
        return
    scale, shift = work.array(node, "scale"), work.array(node, "shift")
    weight, bias = work.array(layer, "weight"), work.array(layer, "bias")
    if OPS[layer.op].weight_axes == (1, 0):  # (in, out / groups, kh, kw): a group's inputs share its outputs' factors
        groups: Any = layer.attrs["groups"]
        factors = np.repeat(scale.reshape(groups, -1), len(weight) // groups, 0)
        work.weights[name] = Dense(weight * factors[:, :, None, None])
    else:
        work.weights[name] = Dense(weight * scale.reshape(-1, *[1] * (weight.ndim - 1)))
    if bias_name is None:
        bias_name = (name[: -len("weight")] if name.endswith("weight") else f"{layer.name}.") + "bias"
    bias_name = work.keep(bias_name, bias * scale + shift, layer)
    work.absorb(replace(layer, weights={"weight": name, "bias": bias_name}), node)
