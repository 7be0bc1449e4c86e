"""A `.pare` file gives back the network it was written from, and its table adds up to its length."""

import os

import numpy as np
import pytest

from paring.container import Contents, inspect, read, write
from paring.forms import Codebook, Dense, Sparse
from paring.graph import Graph, Node, Preparation


def contents():
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 9, (6, 1, 3, 3)) * (rng.random((6, 1, 3, 3)) < 0.4)
    weights = {
        "conv.weight": Codebook(np.array([-3, -2, -1, -0.5, 0.5, 1, 2, 3]), indices),
        "conv.bias": Dense(rng.normal(size=6), 16),
        "fc.weight": Sparse.from_dense(rng.normal(size=(4, 54)) * (rng.random((4, 54)) < 0.2)),
    }
    nodes = [
        Node(
            "conv",
            "conv2d",
            ("x",),
            {"stride": (2, 2), "padding": (0, 1, 0, 1)},
            {"weight": "conv.weight", "bias": "conv.bias"},
        ),
        Node("act", "leaky_relu", ("conv",), {"slope": 0.1}),
        Node("flat", "flatten", ("act",), {"order": "hwc"}),
        Node("fc", "linear", ("flat",), {}, {"weight": "fc.weight"}),
    ]
    graph = Graph({"x": (6, 6, 1)}, nodes, ("fc",), weights)
    return Contents(graph, Preparation(6, 6, 1, (0.1307,), (0.3,)), ("a", "b", "ç", "d"), {"b": "2", "a": "1"})


def test_operators_of_binary_and_transposed_layers_round_trip(tmp_path):
    weights = {"up.weight": Dense(np.arange(2 * 3 * 2 * 2.0).reshape(2, 3, 2, 2)), "up.bias": Dense(np.ones(6))}
    attrs = {"stride": (2, 3), "padding": (0, 1, 1, 0), "output_padding": (1, 0), "dilation": (1, 2), "groups": 2}
    nodes = [
        Node("s", "sign", ("x",)),
        Node("a", "abs", ("x",)),
        Node("k", "channel_mean", ("a",)),
        Node("m", "mul", ("s", "k")),
        Node("up", "conv_transpose2d", ("m",), attrs, {"weight": "up.weight", "bias": "up.bias"}),
    ]
    graph = Graph({"x": (3, 4, 2)}, nodes, ("up",), weights)
    shapes = graph.validate()
    write(tmp_path / "n.pare", Contents(graph))
    theirs = read(tmp_path / "n.pare").graph
    assert theirs.nodes == graph.nodes
    assert theirs.validate() == shapes
    assert shapes["up"] == (2 * 2 + 2 + 1 - 1, 3 * 3 + 2 + 1 - 1, 6)


@pytest.mark.parametrize("coding", ["adaptive", "huffman"])
def test_round_trip(tmp_path, coding):
    mine = contents()
    table = write(tmp_path / "n.pare", mine, coding)
    assert table.coding == coding
    theirs = read(tmp_path / "n.pare")
    mine.graph.validate()
    assert theirs.graph.nodes == mine.graph.nodes
    assert (theirs.graph.inputs, theirs.graph.outputs) == (mine.graph.inputs, mine.graph.outputs)
    assert all(form.equals(theirs.graph.weights[name]) for name, form in mine.graph.weights.items())
    assert (theirs.preparation, theirs.classes, theirs.provenance) == (mine.preparation, mine.classes, mine.provenance)
    assert table.total == os.path.getsize(tmp_path / "n.pare")
    assert inspect(tmp_path / "n.pare") == table
    assert os.listdir(tmp_path) == ["n.pare"]
