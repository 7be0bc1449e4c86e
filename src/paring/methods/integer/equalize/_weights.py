"""Cross-layer equalization and the absorption of high biases: data-free quantization's first half.

Nagel, van Baalen, Blankevoort, Welling, "Data-free quantization through weight equalization and bias correction", ICCV
2019, arXiv 1906.04721, sections 4.1 and 4.2. Where one layer alone reads another through nothing but functions with
``f(s x) = s f(x)`` for ``s > 0``, channel ``i`` between them may be scaled at will. With ``r1``, ``r2`` the largest
weights of the channel in the two layers,

    s = sqrt(r1 r2) / r2,       W1[i] /= s,  b1[i] /= s,  W2[:, i] *= s

gives the channel the same range ``sqrt(r1 r2)`` on both sides and leaves the network's function as it is; for three
layers in a row, the middle one depthwise, the range is ``(r1 r2 r3)^(1/3)``. Repeated over the network until nothing
moves. It serves weights with one scale for the whole tensor, which a network with depthwise convolutions otherwise
does not survive.

A channel whose output is hardly ever below zero is shifted down, and the shift given to the next layer's bias:

    c = max(0, beta - 3 gamma),     b1 -= c,     b2 += W2 c
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from paring.errors import ArgumentError
from paring.forms import Dense, Form
from paring.graph import OPS, Graph, Node, carried
from paring.methods.integer._moments import Normal, through

#: What an upper clip may become.
CLIPS = ("keep", "relu")


@dataclass(frozen=True)
class Link:
    """Two layers of which the second alone reads the first.

    Attributes:
        first: node name.
        second: node name.
        between: operators on the way, in order.
        channels: for each input feature of the second, the channel of the first that it holds, int64.
    """

    first: str
    second: str
    between: tuple[str, ...]
    channels: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Equalized:
    """What :func:`equalize` and :func:`absorb_high_biases` give.

    Attributes:
        graph: the new graph.
        normals: what layers' outputs are now distributed like, for those that were known.
        links: the pairs of layers that were changed.
        unclipped: names of the ``clip`` nodes that became ``relu``.
    """

    graph: Graph
    normals: dict[str, Normal]
    links: list[Link]
    unclipped: list[str] = field(default_factory=list)


def links(graph: Graph) -> list[Link]:
    """Every pair of layers whose channels may be scaled against each other, in the graph's order.

    Both are convolutions or fully connected layers with 32-bit dense weights of their own.
    """
    readers = graph.readers()
    found = []
    for node in graph.nodes:
        if _is_layer(node) and owned(graph, node):
            link = _follow(graph, node, readers)
            if link is not None:
                found.append(link)
    return found


def equalize(
    graph: Graph, normals: Mapping[str, Normal] | None = None, *, clips: str = "keep", sweeps: int = 50
) -> Equalized:
    """Scale every pair of linked layers until both have the same range in each channel.

    Args:
        graph: batch norms folded; unchanged.
        normals: what layers' outputs are distributed like, to be scaled along; see :func:`paring.methods.normals`.
        clips: ``keep`` leaves layers around a ReLU6 alone, since its bound does not scale; ``relu`` turns each ReLU6
            between two linked layers into ReLU first, as the paper does. That changes the network where the bound
            was reached.
        sweeps: most passes over the network; it stops when no factor is further than 0.1 % from 1.

    Returns:
        a graph with the same answers, to rounding (but for ``clips="relu"``).

    Raises:
        ArgumentError: on another value of ``clips``.
    """
    if clips not in CLIPS:
        raise ArgumentError("unknown treatment of clips", found=repr(clips), expected=" or ".join(CLIPS))
    unclipped: list[str] = []
    if clips == "relu":
        graph, unclipped = _unclipped(graph)
    work = Work(graph, normals or {})
    pairs = links(graph)
    chain = {link.first: link for link in pairs}
    for _ in range(sweeps):
        moved = 0.0
        for link in pairs:
            after = chain.get(link.second)
            if after is not None and _is_depthwise(work.nodes[link.second], work.array(link.second)):
                moved = max(moved, _equalize_three(work, link, after))
            else:
                moved = max(moved, _equalize_two(work, link))
        if moved < 1e-3:
            break
    return Equalized(work.graph(), work.normals, pairs, unclipped)


def absorb_high_biases(graph: Graph, normals: Mapping[str, Normal], *, deviations: float = 3.0) -> Equalized:
    """Shift channels down that are nearly always positive, and let the next layer's bias make up for it.

    Done between layers linked by ReLU alone whose second does not pad, since padding stays zero while the channel
    moves; exact where the channel is never below the shift.

    Args:
        graph: batch norms folded; unchanged.
        normals: what layers' outputs are distributed like.
        deviations: how far below its mean a channel is taken to reach.
    """
    work = Work(graph, normals)
    done = []
    for link in links(graph):
        first, second = work.nodes[link.first], work.nodes[link.second]
        if link.between != ("relu",) or link.first not in work.normals or any(second.attrs.get("padding", ())):  # type: ignore[arg-type]
            continue
        mean, std = work.normals[link.first]
        shift = np.maximum(0, mean - deviations * std)
        if not shift.any():
            continue
        groups: Any = second.attrs.get("groups", 1)
        work.add_bias(first, -shift)
        work.add_bias(second, through(work.array(link.second), shift[link.channels], groups))
        work.normals[link.first] = Normal(mean - shift, std)
        done.append(link)
    return Equalized(work.graph(), work.normals, done)


class Work:
    """Float64 copies of the layers' weights while they are scaled."""

    def __init__(self, graph: Graph, normals: Mapping[str, Normal]) -> None:
        self.source = graph
        self.nodes = {node.name: node for node in graph.nodes}
        self.arrays: dict[str, np.ndarray] = {}
        self.normals = dict(normals)

    def array(self, layer: str, role: str = "weight") -> np.ndarray:
        name = self.nodes[layer].weights[role]
        if name not in self.arrays:
            self.arrays[name] = self.source.weights[name].dense().astype(np.float64)
        return self.arrays[name]

    def set(self, layer: str, array: np.ndarray, role: str = "weight") -> None:
        self.arrays[self.nodes[layer].weights[role]] = array

    def scale_outputs(self, layer: str, factors: np.ndarray) -> None:
        for role in self.nodes[layer].weights:
            array = self.array(layer, role)
            self.set(layer, array * factors.reshape(-1, *[1] * (array.ndim - 1)), role)
        if layer in self.normals:
            mean, std = self.normals[layer]
            self.normals[layer] = Normal(mean * factors, std * factors)

    def scale_inputs(self, layer: str, factors: np.ndarray) -> None:
        weight = self.array(layer)
        groups: Any = self.nodes[layer].attrs.get("groups", 1)
        rows = np.repeat(factors.reshape(groups, -1), len(weight) // groups, 0)
        self.set(layer, weight * rows.reshape(*rows.shape, *[1] * (weight.ndim - 2)))

    def add_bias(self, node: Node, bias: np.ndarray) -> None:
        node = self.nodes[node.name]
        if "bias" not in node.weights:
            name = f"{node.weights['weight'].removesuffix('weight')}bias"
            while name in self.source.weights or name in self.arrays:
                name += "_2"
            self.nodes[node.name] = replace(node, weights={**node.weights, "bias": name})
            self.arrays[name] = np.zeros(len(bias))
        self.set(node.name, self.array(node.name, "bias") + bias, "bias")

    def graph(self) -> Graph:
        weights: dict[str, Form] = {**self.source.weights, **{n: Dense(a) for n, a in self.arrays.items()}}
        nodes = [self.nodes[node.name] for node in self.source.nodes]
        return self.source.replaced(nodes=nodes, weights=weights)


def _equalize_two(work: Work, link: Link) -> float:
    """Scale a pair; how far the largest factor was from 1, as a logarithm."""
    out = np.abs(work.array(link.first)).reshape(len(work.array(link.first)), -1).max(1)
    into = _input_ranges(work, link)
    return _apply(work, link, _factors(out, np.sqrt(out * into)))


def _equalize_three(work: Work, before: Link, after: Link) -> float:
    """Scale three layers in a row, the middle one depthwise, so that each has the same range in every channel."""
    first, middle = work.array(before.first), work.array(before.second)
    r1 = np.abs(first).reshape(len(first), -1).max(1)
    r2 = np.abs(middle).reshape(len(middle), -1).max(1)
    r3 = _input_ranges(work, after)
    common = np.cbrt(r1 * r2 * r3)
    one = _factors(r1, common)
    two = np.where(common > 0, r1 * r2 / np.maximum(common, 1e-300) ** 2, 1.0)
    return max(_apply(work, before, one), _apply(work, after, two))


def _factors(present: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """``present / wanted``; 1 where the channel is dead on either side."""
    return np.where(wanted > 0, present / np.maximum(wanted, 1e-300), 1.0)


def _apply(work: Work, link: Link, factors: np.ndarray) -> float:
    factors = np.clip(factors, 1e-8, 1e8)
    work.scale_outputs(link.first, 1 / factors)
    work.scale_inputs(link.second, factors[link.channels])
    return float(np.abs(np.log(factors)).max())


def _input_ranges(work: Work, link: Link) -> np.ndarray:
    """Largest weight of the second layer over each channel of the first."""
    weight = work.array(link.second)
    groups: Any = work.nodes[link.second].attrs.get("groups", 1)
    grouped = np.abs(weight).reshape(groups, len(weight) // groups, weight.shape[1], -1)
    ranges = np.zeros(len(work.array(link.first)))
    np.maximum.at(ranges, link.channels, grouped.max((1, 3)).reshape(-1))
    return ranges


def _is_depthwise(node: Node, weight: np.ndarray) -> bool:
    return node.op == "conv2d" and node.attrs["groups"] == len(weight) and weight.shape[1] == 1


def _is_layer(node: Node) -> bool:
    return OPS[node.op].weight_axes == (0, 1)


def _follow(graph: Graph, node: Node, readers: Mapping[str, list[Node]]) -> Link | None:
    channels = np.arange(graph.shapes[node.name][-1])
    between: list[str] = []
    value = node.name
    while value not in graph.outputs and len(readers[value]) == 1:
        reader = readers[value][0]
        if _is_layer(reader):
            return Link(node.name, reader.name, tuple(between), channels) if owned(graph, reader) else None
        spec = OPS[reader.op]
        if spec.channels is None or not (spec.homogeneous or spec.moves_data) or len(reader.inputs) > 1:
            return None
        sources = spec.channels(reader.attrs, [graph.shapes[value]])
        if len(np.unique(sources)) < len(channels) or (sources < 0).any():
            return None  # a channel that goes astray, or zeros among them
        channels = carried(sources, [channels])
        between.append(reader.op)
        value = reader.name
    return None


def owned(graph: Graph, node: Node) -> bool:
    """Whether the layer's weights are 32-bit dense and nobody else reads them."""
    users = graph.weight_users()
    forms = [graph.weights[name] for name in node.weights.values()]
    plain = all(isinstance(form, Dense) and form.bits == 32 for form in forms)
    return plain and all(len(users[name]) == 1 for name in node.weights.values())


def _unclipped(graph: Graph) -> tuple[Graph, list[str]]:
    """``clip`` from 0 upwards made ``relu`` wherever that links two layers."""
    nodes = list(graph.nodes)
    clips = [n.name for n in nodes if n.op == "clip" and n.attrs["low"] == 0.0]
    freed = [replace(n, op="relu", attrs={}) if n.name in clips else n for n in nodes]
    trial = graph.replaced(nodes=freed)
    readers = trial.readers()
    used: set[str] = set()
    for link in links(trial):
        value = link.first
        while value != link.second:
            value = readers[value][0].name
            used.add(value)
    kept = [new if new.name in used else old for new, old in zip(freed, nodes, strict=True)]
    return graph.replaced(nodes=kept), [n for n in clips if n in used]
