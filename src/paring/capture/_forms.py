"""The forms that a network's weights wear while they train, put into its graph."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from paring.errors import FormatError, GraphError
from paring.forms import Form
from paring.graph import Graph
from paring.layers import BinaryConv2d, BinaryLinear
from paring.parametrize import forms, places
from paring.parametrize._select import Place, parametrization


def with_forms(graph: Graph, network: nn.Module, unused: Any) -> Graph:
    """The graph with the network's trained forms in place of the weights, the signs of binary layers among them.

    Args:
        graph: the network as captured, batch norms not folded.
        network: where the forms are; left as it is.
        unused: a function that gives the paths of the parameters no output depends on; their forms may be missing.

    Raises:
        GraphError: if a weight with a form did not reach the graph as it is.
    """
    worn = {name: place for name, place in places(network).items() if parametrization(place) or _binary(place)}
    if not worn:
        return graph
    exact, absent = forms(network), []
    kept: dict[str, Form] = {}
    for name, place in worn.items():
        form = _shaped(exact[name], graph.weights[name].shape) if name in graph.weights else None
        if form is not None and np.array_equal(graph.weights[name].dense(), form.dense()):
            kept[name] = form
        elif parametrization(place) is not None and not _merged(place):
            if name in graph.weights:
                raise GraphError("capture changed a weight that has a form", where=name, found=exact[name].kind)
            absent.append(name)
    if absent:
        left_out = unused()
        for name in absent:
            if name not in left_out:
                raise GraphError("form is not in the graph", where=name, found=exact[name].kind)
    return graph.with_weights(kept)


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


def _binary(place: Place) -> bool:
    return place.tensor == "weight" and isinstance(place.module, BinaryConv2d | BinaryLinear)


def _merged(place: Place) -> bool:
    """Whether a parameter reaches the graph as part of a channel factor, which has no form."""
    signs = isinstance(place.module, BinaryConv2d | BinaryLinear) and place.tensor == "bias"
    return signs or isinstance(place.module, _BatchNorm)
