"""Equalization by what activations look like: channels that share a scale are brought to like ranges beforehand.

One scale serves all channels of a value. Where some reach a hundred times further than others, these have a hundred
times fewer levels. As in cross-layer equalization (Nagel et al. 2019, arXiv 1906.04721, section 4.1) channel ``j``
may be scaled by ``t[j]`` where it is made and unscaled where it is read,

    W1[j] *= t[j],  b1[j] *= t[j],      W2[:, j] /= t[j]

but ``t`` is chosen for the activations, and paid for by the weights (Xiao et al. 2023, "SmoothQuant", arXiv
2211.10438, section 4): with ``R[j]`` how far the channel reaches on calibration images and ``A[j]`` the largest weight
that reads it,

    t[j] = R[j]^-alpha A[j]^beta

Ours: channels are followed one by one through everything that moves or adds them, residual streams and concatenations
included; ``alpha`` and ``beta`` are those with the least estimated noise, for each set of channels that meet. Rounding
a value of scale ``s`` adds ``s^2 / 12`` to each number, rounding a weight's row ``(max |W[i]| / n)^2 / 12`` to each
weight, so what reaches the readers is, over the power of their answers,

    sum_ij W[i,j]^2 s^2 / t[j]^2  +  sum_ij (max_k |W[i,k]| / t[k] / n)^2 t[j]^2 E[x[j]^2]

The network's function stays as it is, but for ReLU6: its bound stays where it is while the channel grows, up to where
the images reached, so that beyond that it clips, as codes would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paring.capture import rebuild
from paring.graph import OPS, Classes, Graph, Node
from paring.methods.integer._moments import Normal
from paring.methods.integer._weight_scales import largest_code
from paring.methods.integer._workers import Workers, pieces
from paring.methods.integer.equalize._channel_variables import Channels, channel_variables
from paring.methods.integer.equalize._weights import Work

#: Exponents that are tried.
_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Furthest a factor may be from the others of its set.
_MOST = 64.0


@dataclass(frozen=True)
class Scaled:
    """What :func:`equalize_activations` gives.

    Attributes:
        graph: the new graph.
        normals: what layers' outputs are now distributed like, for those that were known.
        layers: names of the layers whose inputs were scaled.
    """

    graph: Graph
    normals: dict[str, Normal]
    layers: list[str]


@dataclass
class _Reader:
    """A layer that reads scalable channels.

    Attributes:
        node: it.
        channels: for each input feature, the variable that scales it, int64 ``(in,)``.
        largest: largest weight of every output for every input, ``(out, in / groups)``.
        power: sum of squared weights, the same shape.
        features: input feature of each of these, int64, the same shape, or one row for all outputs.
        taps: weights of each pair.
        top: the largest code of its weight.
    """

    node: Node
    channels: np.ndarray
    largest: np.ndarray
    power: np.ndarray
    features: np.ndarray
    taps: int
    top: int


def equalize_activations(
    graph: Graph,
    images: Tensor,
    bits: Mapping[str, int],
    normals: Mapping[str, Normal] | None = None,
    *,
    activation_bits: int = 8,
    margin: float = 1.25,
) -> Scaled:
    """Scale channels so that values with one scale, and weights with a scale per output, lose the least.

    Args:
        graph: batch norms folded; unchanged.
        images: prepared calibration images ``(N, C, H, W)`` or ``(N, F)``.
        bits: width of the weight of each layer that will be integers; channels that others read stay as they are.
        normals: what layers' outputs are distributed like, to be scaled along.
        activation_bits: width of the codes.
        margin: ReLU6 clips a scaled channel no lower than so many times the furthest that it reached.

    Returns:
        a graph with the same answers, to rounding, wherever no channel reaches further than on the images.
    """
    channels = channel_variables(graph, bits)
    roots, pinned, clip = channels.settle()
    work = Work(graph, normals or {})
    readers = [
        _reader(work, node, roots[channels.of[node.inputs[0]]], bits[node.name])
        for node in graph.nodes
        if node.name in bits and OPS[node.op].weight_axes == (0, 1)
    ]
    reach, power = _measured(graph, images, {reader.node.inputs[0] for reader in readers})
    factors = np.ones(len(roots))
    for together in _meeting(readers, len(roots)):
        _choose(together, reach, power, pinned, clip, factors, activation_bits, margin)
    return _applied(work, readers, channels, roots, factors)


def _reader(work: Work, node: Node, variables: np.ndarray, bits: int) -> _Reader:
    weight = work.array(node.name)
    groups: Any = node.attrs.get("groups", 1)
    rows = weight.reshape(*weight.shape[:2], -1)
    first = np.arange(len(weight) if groups > 1 else 1) // (len(weight) // groups) * weight.shape[1]
    features = first[:, None] + np.arange(weight.shape[1])
    return _Reader(node, variables, np.abs(rows).max(2), (rows**2).sum(2), features, rows.shape[2], largest_code(bits))


def _measured(graph: Graph, images: Tensor, values: set[str]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Largest magnitude and mean square of every channel of the named values, float64 ``(C,)`` each."""
    network = rebuild(graph)

    def look(part: slice) -> dict[str, tuple[Tensor, Tensor]]:
        found = {}
        for name, value in network.steps(images[part]):
            if name in values:
                axes = [axis for axis in range(value.ndim) if axis != 1]
                largest = torch.maximum(value.amax(axes), -value.amin(axes))
                found[name] = largest, value.square().mean(axes).double() * len(value)
        return found

    with Workers() as workers:
        seen = workers.each(look, pieces(graph.shapes, len(images)))
    reach, power = {}, {}
    for name in seen[0]:
        largest, squares = zip(*(found[name] for found in seen), strict=True)
        reach[name] = torch.stack(largest).amax(0).double().numpy(force=True)
        power[name] = torch.stack(squares).sum(0).numpy(force=True) / len(images)
    return reach, power


def _meeting(readers: list[_Reader], count: int) -> list[list[_Reader]]:
    """Readers in sets that share a variable."""
    found = Classes()
    found.new(count)
    for reader in readers:
        found.join(np.repeat(reader.channels[:1], len(reader.channels)), reader.channels)
    sets: dict[int, list[_Reader]] = {}
    for reader in readers:
        sets.setdefault(found.root(int(reader.channels[0])), []).append(reader)
    return list(sets.values())


def _choose(
    readers: list[_Reader],
    reach: Mapping[str, np.ndarray],
    power: Mapping[str, np.ndarray],
    pinned: np.ndarray,
    clip: np.ndarray,
    factors: np.ndarray,
    bits: int,
    margin: float,
) -> None:
    """Set the factors of one set of readers' variables to the best that was tried."""
    furthest, weights = np.zeros(len(factors)), np.zeros(len(factors))
    for reader in readers:
        np.maximum.at(furthest, reader.channels, reach[reader.node.inputs[0]])
        variables = np.broadcast_to(reader.channels[reader.features], reader.largest.shape)
        np.maximum.at(weights, variables, reader.largest)
    free = np.zeros(len(factors), bool)
    free[np.concatenate([reader.channels for reader in readers])] = True
    free &= ~pinned & (furthest > 0) & (weights > 0)
    if not free.any():
        return
    best, chosen = np.inf, np.ones(len(factors))
    for alpha in _EXPONENTS:
        for beta in _EXPONENTS:
            trial = np.ones(len(factors))
            trial[free] = _tempered(furthest[free], weights[free], clip[free], alpha, beta, margin)
            noise = sum(_noise(reader, trial, reach, power, 2**bits - 1) for reader in readers)
            if noise < best * (1 - 1e-9):
                best, chosen = noise, trial
    factors[free] = chosen[free]


def _tempered(
    reach: np.ndarray, weights: np.ndarray, clip: np.ndarray, alpha: float, beta: float, margin: float
) -> np.ndarray:
    """Factors for one pair of exponents, the one that reaches furthest at 1, none further than allowed."""
    t = (reach / reach.max()) ** -alpha * (weights / weights.max()) ** beta
    t = np.clip(t / t.min(), 1, _MOST)
    bounded = np.isfinite(clip)
    room = np.maximum(clip[bounded] / (margin * reach[bounded]), 1)
    t[bounded] = np.minimum(t[bounded], room)
    return t


def _noise(
    reader: _Reader, t: np.ndarray, reach: Mapping[str, np.ndarray], power: Mapping[str, np.ndarray], steps: int
) -> float:
    """What rounding the reader's input and weight adds to its answers, over their power; up to a constant."""
    t = t[reader.channels]
    value = reader.node.inputs[0]
    step = (reach[value] * t).max() / steps
    seen = power[value][reader.features]
    scaled = t[reader.features]
    from_values = step**2 * (reader.power / scaled**2).sum()
    rows = (reader.largest / scaled).max(1) / reader.top
    from_weights = (rows[:, None] ** 2 * scaled**2 * seen).sum() * reader.taps
    return float((from_values + from_weights) / max((reader.power * seen).sum(), 1e-300))


def _applied(work: Work, readers: list[_Reader], channels: Channels, roots: np.ndarray, factors: np.ndarray) -> Scaled:
    factors = factors[roots]
    done = []
    for node in work.source.nodes:
        made = factors[channels.of[node.name]]
        if OPS[node.op].weight_axes == (0, 1) and (made != 1).any():
            work.scale_outputs(node.name, made)
    for reader in readers:
        taken = factors[channels.of[reader.node.inputs[0]]]
        if (taken != 1).any():
            work.scale_inputs(reader.node.name, 1 / taken)
            done.append(reader.node.name)
    return Scaled(work.graph(), work.normals, done)
