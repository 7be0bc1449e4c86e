"""Channels really removed: a smaller graph that computes what the old one did with these channels' weights at zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from paring.errors import GraphError
from paring.forms import Dense, Form
from paring.graph._coupling import Couplings
from paring.graph._graph import Attr, Graph, Node


def remove_channels(
    graph: Graph, coupled: Couplings, keep: np.ndarray
) -> tuple[Graph, dict[str, dict[int, np.ndarray]]]:
    """Cut whole classes of channels out of a graph.

    Weights lose the rows and columns of the classes, slices, pads and depthwise groups their counts; no node goes. The
    answers are those of the graph in which every weight that is cut were zero, up to the order of sums.

    Args:
        graph: the network, unchanged; its weights dense.
        coupled: :func:`couplings` of this graph.
        keep: bool ``(coupled.count,)``, False for a class to cut.

    Returns:
        the smaller graph, and for every weight that was cut its axes and the places kept along each, int64 ascending.

    Raises:
        GraphError: if a class must stay, a value is left without channels, or a weight to be cut is not dense.
    """
    for one in np.flatnonzero(~keep):
        if int(one) in coupled.fixed:
            raise GraphError("a channel cannot be cut: it", found=coupled.fixed[int(one)])
    for name, classes in coupled.values.items():
        if not keep[classes].any():
            raise GraphError("no channel would be left", where=name)
    kept: dict[str, dict[int, np.ndarray]] = {}
    for (name, axis), classes in coupled.axes.items():
        places = np.flatnonzero(keep[classes])
        if len(places) < len(classes):
            kept.setdefault(name, {})[axis] = places
    weights = {name: _cut(name, form, kept.get(name, {})) for name, form in graph.weights.items()}
    nodes = [replace(node, attrs=_attrs(node, graph, coupled, keep)) for node in graph.nodes]
    return graph.replaced(nodes=nodes, weights=weights), kept


def _cut(name: str, form: Form, places: Mapping[int, np.ndarray]) -> Form:
    if not places:
        return form
    if not isinstance(form, Dense):
        raise GraphError(
            "weight is no longer dense", where=name, found=form.kind, fix="Remove channels before anything else"
        )
    array = form.values
    for axis, some in places.items():
        array = np.take(array, some, axis)
    return Dense(array, form.bits)


def _attrs(node: Node, graph: Graph, coupled: Couplings, keep: np.ndarray) -> dict[str, Attr]:
    """The node's attributes after the cut."""
    attrs: dict[str, Any] = dict(node.attrs)
    x = keep[coupled.values[node.inputs[0]]]
    if node.op in ("conv2d", "conv_transpose2d"):
        if attrs["groups"] > 1 and attrs["groups"] == len(x):  # depthwise: a group went with its channel
            attrs["groups"] = int(x.sum())
    elif node.op == "slice_channels":
        start, stop = attrs["start"], attrs["stop"]
        attrs["start"], attrs["stop"] = int(x[:start].sum()), int(x[:stop].sum())
    elif node.op == "pad":
        front, back = attrs["channels"]
        y = keep[coupled.values[node.name]]
        attrs["channels"] = (int(y[:front].sum()), int(y[len(y) - back :].sum()) if back else 0)
    return attrs
