"""What quantization takes: a module as a graph with its batch norms, and the widths of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from paring.capture import BatchNorm, norm_statistics
from paring.errors import ArgumentError
from paring.graph import Graph
from paring.methods._amounts import Amount, number
from paring.methods._capture import unfolded_graph
from paring.methods.integer._moments import Normal

WEIGHTS = Amount(
    "weights",
    "width of weights",
    "2 to 8 bits, or None for float",
    lambda bits: None if bits is None else number(2, 8, whole=True)(bits),
    int,
    usual=8,
)


def float_graph(
    network: nn.Module | Graph, images: Any, example: Any, norms: Mapping[str, BatchNorm] | None, aware: bool
) -> tuple[Graph, Mapping[str, BatchNorm] | None]:
    """A network as a graph; with its batch norms where they are trained, or stand in for images."""
    if isinstance(network, Graph):
        return network, norms
    if images is None and example is None:
        raise ArgumentError("a module is captured with an example", fix="Give images, or example=, an input's shape")
    graph = unfolded_graph(network, tuple(images.shape[1:]) if example is None else example)
    if norms is None and (aware or images is None):
        norms = norm_statistics(network, graph)
    return graph, norms


def moved(norm: BatchNorm, now: Normal) -> BatchNorm:
    """A batch norm whose outputs are distributed as they are now, channels scaled and shifted."""
    before = np.abs(norm.gamma)
    factor = np.where(before > 0, now.std / np.where(before > 0, before, 1), 1.0)
    return replace(norm, gamma=norm.gamma * factor, beta=now.mean)
