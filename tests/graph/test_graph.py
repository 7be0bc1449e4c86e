"""The graph refuses what is not a network; shapes are judged by torch where it defines them."""

import dataclasses

import numpy as np
import pytest

from paring.errors import ArgumentError, GraphError
from paring.forms import Dense
from paring.graph import OPS, Graph, Node
from paring.image import Preparation

torch = pytest.importorskip("torch")


def weights(**shapes):
    return {name.replace("__", "."): Dense(np.ones(shape)) for name, shape in shapes.items()}


def plain():
    return Graph(
        {"x": (8, 8, 3)},
        [
            Node("conv", "conv2d", ("x",), {"stride": (2, 2)}, {"weight": "conv.weight", "bias": "conv.bias"}),
            Node("act", "relu", ("conv",)),
            Node("flat", "flatten", ("act",)),
            Node("fc", "linear", ("flat",), {}, {"weight": "fc.weight"}),
        ],
        ("fc",),
        weights(conv__weight=(5, 3, 3, 3), conv__bias=(5,), fc__weight=(10, 45)),
    )


def test_a_good_graph_tells_its_shapes_and_completes_its_attributes():
    graph = plain()
    assert graph.shapes == {"x": (8, 8, 3), "conv": (3, 3, 5), "act": (3, 3, 5), "flat": (45,), "fc": (10,)}
    assert graph.nodes[0].attrs["groups"] == 1
    assert graph.parameters == 5 * 3 * 9 + 5 + 450
    assert [(node.name, role) for node, role in graph.weight_users()["fc.weight"]] == [("fc", "weight")]


def replace(position, **changes):
    """The plain network with a node changed."""
    graph = plain()
    nodes = list(graph.nodes)
    nodes[position] = dataclasses.replace(nodes[position], **changes)
    return graph.replaced(nodes=nodes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda: replace(1, op="rely"), "unknown operator.*relu"),
        (lambda: replace(1, name="conv"), "used twice"),
        (lambda: replace(1, inputs=("later",)), "before it is made"),
        (lambda: replace(1, inputs=("conv", "conv")), "number of inputs"),
        (lambda: replace(0, attrs={"strides": (1, 1)}), "no such attribute"),
        (lambda: replace(0, attrs={"stride": (1, 1, 1)}), "invalid"),
        (lambda: replace(0, attrs={"groups": 1.5}), "invalid"),
        (lambda: replace(0, attrs={"groups": 2}), "divide"),
        (lambda: replace(0, attrs={"stride": (0, 1)}), "below 1"),
        (lambda: replace(0, attrs={"padding": (-1, 0, 0, 0)}), "negative"),
        (lambda: replace(0, attrs={"padding": (1 << 20, 0, 1 << 20, 0)}), "too large"),
        (lambda: replace(0, attrs={"dilation": (4, 4)}), "larger than the padded input"),
        (lambda: replace(3, weights={}), "lacks a weight"),
        (lambda: replace(3, weights={"weight": "fc.weight", "scale": "fc.weight"}), "no such weight"),
        (lambda: replace(3, weights={"weight": "gone"}), "missing"),
        (lambda: replace(3, inputs=("act",)), "does not fit"),
        (lambda: plain().replaced(weights={**plain().weights, **weights(extra=(1,))}), "read by no node"),
        (lambda: Graph({"y": (0, 3)}, [], ("y",)), "impossible shape"),
        (lambda: plain().replaced(outputs=()), "no output"),
        (lambda: plain().replaced(outputs=("gone",)), "before it is made"),
    ],
)
def test_what_is_not_a_network_is_refused_with_its_place(change, says):
    with pytest.raises(GraphError, match=says):
        change()


@pytest.mark.parametrize("size", [5, 6, 7, 13])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "dilation"), [(3, 2, 1, 1), (2, 2, 0, 1), (3, 2, 0, 1), (2, 3, 1, 1), (3, 1, 1, 2)]
)
@pytest.mark.parametrize("ceil", [False, True])
def test_window_counts_equal_torch(size, kernel, stride, pad, dilation, ceil):
    pool = torch.nn.MaxPool2d(kernel, stride, pad, dilation, ceil_mode=ceil)
    attrs = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "padding": (pad,) * 4, "dilation": (dilation,) * 2}
    node = Node("p", "max_pool", ("x",), {**attrs, "ceil_mode": ceil})
    try:
        expected = tuple(pool(torch.zeros(1, 2, size, size + 1)).shape[2:])
    except RuntimeError:
        with pytest.raises(GraphError):
            Graph({"x": (size, size + 1, 2)}, [node], ("p",))
    else:
        graph = Graph({"x": (size, size + 1, 2)}, [node], ("p",))
        assert graph.shapes["p"] == (*expected, 2)


def test_operator_numbers_are_unique_and_fit_a_byte():
    numbers = [spec.number for spec in OPS.values()]
    assert len(set(numbers)) == len(numbers)
    assert all(0 < number < 256 for number in numbers)


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 2},
        {"mean": (0.5,)},
        {"std": (1.0, 0.0, 1.0)},
        {"height": 0},
        {"resize": 10},
        {"mean": (float("nan"),) * 3},
    ],
)
def test_preparation_refuses_what_cannot_be(changes):
    good = {"height": 32, "width": 32, "channels": 3, "mean": (0.5,) * 3, "std": (0.2,) * 3, "resize": 36}
    assert Preparation(**good).shape == (32, 32, 3)
    with pytest.raises(ArgumentError):
        Preparation(**(good | changes))
