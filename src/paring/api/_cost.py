"""``paring.cost``."""

from __future__ import annotations

from typing import Any

from torch import nn

from paring.api._network import example_of, graph_of
from paring.capture import outline
from paring.graph import Cost
from paring.graph import cost as cost_of


def cost(net: Any, example: Any = None) -> Cost:
    """What a network costs for one input: parameters, multiply-accumulates, activations, peak memory, bytes.

    The result prints as a table, and shows as one in a notebook. Nothing is run. Trained forms are counted as they are.

    Args:
        net: a module, a graph or a model.
        example: an input, or its shape ``(C, H, W)``; not needed for a graph or a model.

    Raises:
        ArgumentError: if it is no network, or the shape is needed.
        GraphError: if the network cannot be captured.
    """
    example = None if example is None else example_of(example)
    if isinstance(net, nn.Module) and any(p.is_meta for p in net.parameters()):
        return cost_of(outline(net, example))
    return cost_of(graph_of(net, example))
