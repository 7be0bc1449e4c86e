"""From a trained network to a graph that holds its forms."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from paring.capture import Rebuilt, capture, unused
from paring.errors import FormatError, GraphError
from paring.forms import Form
from paring.graph import Graph
from paring.layers import BinaryConv2d, BinaryLinear
from paring.parametrize import describe, forms, places
from paring.parametrize._select import Place, parametrization


def graph_with_forms(network: nn.Module, example: Any) -> Graph:
    """Capture a network and put its forms in place of the weights.

    Layers that no output depends on are not in it, as :func:`paring.capture.capture` warns, nor are their forms. Batch
    norms stay ``scale_shift`` nodes: folded into a layer they would scale its shared values apart. So does the
    alpha of a binary layer, whose weight is one bit a sign.

    Args:
        network: trained, with or without forms; left as it is.
        example: as for :func:`paring.capture.capture`.

    Raises:
        GraphError: if a weight with a form did not reach the graph as it is, or as :func:`paring.capture.capture`.
    """
    graph, exact, absent = capture(network, example, fold=False), forms(network), []
    for name, place in places(network).items():
        form = _shaped(exact[name], graph.weights[name].shape) if name in graph.weights else None
        if form is not None and np.array_equal(graph.weights[name].dense(), form.dense()):
            graph.weights[name] = form
        elif parametrization(place) is not None and not _merged(place):
            if name in graph.weights:
                raise GraphError("capture changed a weight that has a form", where=name, found=exact[name].kind)
            absent.append(name)
    if absent:
        left_out = unused(network, example)
        for name in absent:
            if name not in left_out:
                raise GraphError("form is not in the graph", where=name, found=exact[name].kind)
    return graph


def unfolded_graph(network: nn.Module, example: Any) -> Graph:
    """As :func:`graph_with_forms`, for a network rebuilt from a graph, too; every batch norm is a node of its own."""
    if not isinstance(network, Rebuilt):
        return graph_with_forms(network, example)
    graph, formed = network.as_graph(), describe(network)
    for name, form in forms(network).items() if formed else ():
        if name in formed:
            graph.weights[name] = form
    return graph


def _shaped(form: Form, shape: tuple[int, ...]) -> Form | None:
    """The form of the weight as the graph sees it, with axes of length 1 put in (a Conv1d's); None if it is no such."""
    if form.shape == shape:
        return form
    if [side for side in form.shape if side > 1] != [side for side in shape if side > 1]:
        return None
    arrays = form.arrays()
    try:
        wanted = {stream.name: stream.shape for stream in type(form).specs(shape, form.params())}
        same = {name: a.reshape(wanted[name]) if a.size == prod(wanted[name]) else a for name, a in arrays.items()}
        return type(form).from_arrays(shape, form.params(), same)
    except FormatError:  # a form that looks at its axes
        return None


def _merged(place: Place) -> bool:
    """Whether a parameter reaches the graph as part of a channel factor, which has no form."""
    signs = isinstance(place.module, BinaryConv2d | BinaryLinear) and place.tensor == "bias"
    return signs or isinstance(place.module, _BatchNorm)
