"""From a trained network to a graph that holds its forms."""

from __future__ import annotations

from typing import Any

from torch import nn

from paring.capture import capture
from paring.graph import Graph


def graph_with_forms(network: nn.Module, example: Any) -> Graph:
    """:func:`paring.capture.capture` with batch norms left apart as ``scale_shift`` nodes.

    Folded into a layer they would scale its shared values apart.
    """
    return capture(network, example, fold=False)
