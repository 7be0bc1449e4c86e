"""From a trained network to a graph that holds its forms."""

from __future__ import annotations

from typing import Any

from torch import nn

from paring.capture import Rebuilt, capture
from paring.graph import Graph
from paring.parametrize import describe, forms


def graph_with_forms(network: nn.Module, example: Any) -> Graph:
    """:func:`paring.capture.capture` with batch norms left apart as ``scale_shift`` nodes.

    Folded into a layer they would scale its shared values apart.
    """
    return capture(network, example, fold=False)


def unfolded_graph(network: nn.Module, example: Any) -> Graph:
    """As :func:`graph_with_forms`, for a network rebuilt from a graph, too; every batch norm is a node of its own."""
    if not isinstance(network, Rebuilt):
        return graph_with_forms(network, example)
    graph, worn = network.as_graph(), describe(network)
    return graph.with_weights({name: form for name, form in forms(network).items() if name in worn}) if worn else graph
