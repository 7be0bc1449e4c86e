"""Which values are codes, and the refusal of graphs that mix them with floats."""

from dataclasses import replace

import numpy as np
import pytest

from paring.errors import GraphError
from paring.forms import Codebook, Dense, Integer
from paring.graph import Graph, Node, QuantParams, cost

X, Y = QuantParams(0.02, 128), QuantParams(0.05, 3, 4)


def layer(name, op, source, codes, **attrs):
    made = {"high": codes.high} | codes.attrs() | attrs
    return Node(name, op, (source,), made, {"weight": f"{name}.weight", "bias": f"{name}.bias"})


def network():
    """quantize, convolution, pool, two branches of one scale, addition, mean, layer, dequantize."""
    rng = np.random.default_rng(0)
    weights = {
        "conv.weight": Integer(rng.integers(-127, 128, (8, 3, 3, 3)), rng.uniform(0.001, 0.01, 8)),
        "conv.bias": Dense(rng.normal(size=8)),
        "fc.weight": Integer(rng.integers(-7, 8, (5, 16)), [0.01], 4),
        "fc.bias": Dense(rng.normal(size=5)),
    }
    nodes = [
        Node("q", "quantize", ("x",), X.attrs()),
        layer("conv", "integer_conv2d", "q", Y, padding=(1, 1, 1, 1), low=3),
        Node("pool", "max_pool", ("conv",), {"kernel": (2, 2), "stride": (2, 2)}),
        Node("twice", "concat", ("pool", "pool")),
        Node("sum", "integer_add", ("twice", "twice"), X.attrs()),
        Node("mean", "integer_global_avg_pool", ("sum",), X.attrs()),
        layer("fc", "integer_linear", "mean", X),
        Node("y", "dequantize", ("fc",)),
    ]
    return Graph({"x": (6, 6, 3)}, nodes, ("y",), weights)


def changed(position, **changes):
    graph = network()
    if "attrs" in changes:
        changes["attrs"] = {**graph.nodes[position].attrs, **changes["attrs"]}
    nodes = list(graph.nodes)
    nodes[position] = replace(nodes[position], **changes)
    return graph.replaced(nodes=nodes)


def test_codes_are_told_from_floats():
    graph = network()
    assert graph.quant_params == {"q": X, "conv": Y, "pool": Y, "twice": Y, "sum": X, "mean": X, "fc": X}
    assert graph.shapes["twice"] == (3, 3, 16)


def test_dense_copy_keeps_the_codes_that_layers_read():
    copy = network().dense_copy()
    assert isinstance(copy.weights["conv.weight"], Integer)


def without(weight, form):
    return network().with_weights({weight: form})


def big_layer(inputs):
    weights = {"fc.weight": Integer(np.ones((1, inputs), int), [0.01])}
    nodes = [
        Node("q", "quantize", ("x",), QuantParams(1.0, 0).attrs()),
        Node("fc", "integer_linear", ("q",), X.attrs(), {"weight": "fc.weight"}),
        Node("y", "dequantize", ("fc",)),
    ]
    return Graph({"x": (inputs,)}, nodes, ("y",), weights)


def looked_up(values, bits=8):
    nodes = [
        Node("q", "quantize", ("x",), X.attrs()),
        Node("l", "lookup", ("q",), QuantParams(0.1, 0, bits).attrs(), {"table": "t"}),
        Node("y", "dequantize", ("l",)),
    ]
    return Graph({"x": (4,)}, nodes, ("y",), {"t": Dense(np.asarray(values, np.float32))})


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: changed(0, inputs=("x",), op="relu", attrs={}), "relu has no such attribute"),
        (lambda: Graph({"x": (4,)}, [Node("r", "dequantize", ("x",))], ("r",)), "reads floats"),
        (
            lambda: Graph({"x": (4,)}, [Node("q", "quantize", ("x",)), Node("r", "relu", ("q",))], ("r",)),
            "r: relu: reads codes; found q",
        ),
        (
            lambda: Graph({"x": (4,)}, [Node("q", "quantize", ("x",)), Node("r", "quantize", ("q",))], ("r",)),
            "r: quantize: reads codes",
        ),
        (lambda: Graph({"x": (4,)}, [Node("q", "quantize", ("x",))], ("q",)), "output holds codes"),
        (lambda: changed(3, inputs=("pool", "x2")), "before it is made"),
        (lambda: changed(0, attrs={"scale": 0.1}), "q: quantize: scale of codes is not a float32"),
        (lambda: changed(0, attrs={"scale": -1.0}), "out of range"),
        (lambda: changed(0, attrs={"zero_point": 256}), "zero point"),
        (lambda: changed(0, attrs={"bits": 1}), "width"),
        (lambda: changed(1, attrs={"high": 16}), "no range of codes"),
        (lambda: changed(1, attrs={"low": 16}), "no range of codes"),
        (lambda: changed(1, attrs={"low": -1}), "no range of codes"),
        (lambda: changed(1, attrs={"scale": 2.0**50}), None),
        (lambda: without("conv.weight", Dense(np.ones((8, 3, 3, 3)))), "conv: integer_conv2d: weight is not codes"),
        (lambda: without("conv.weight", Integer(np.ones((8, 3, 3, 3), int), np.ones(3), 8, 1)), "axis 0"),
        (lambda: without("conv.bias", Dense(np.full(8, 1e9))), "bias is too large"),
        (lambda: without("conv.bias", Dense(np.full(8, np.inf))), "bias is too large"),
        (lambda: without("conv.weight", Integer(np.ones((8, 3, 3, 3), int), [1e-36])), "bias is too large"),
        (lambda: big_layer(33156), "might not fit 32 bits"),
        (lambda: looked_up(np.zeros(255)), "does not fit the input"),
        (lambda: looked_up(np.full(256, 0.5)), "no code"),
        (lambda: looked_up(np.full(256, 16), 4), "no code"),
        (lambda: looked_up(np.full(256, np.nan)), "no code"),
    ],
)
def test_mixtures_and_impossible_constants_are_refused_with_their_place(make, says):
    if says is None:
        assert make().shapes
        return
    with pytest.raises(GraphError, match=says):
        make()


def test_parts_of_a_concatenation_stand_for_the_same_numbers():
    graph = network()
    joined = Node("twice", "concat", ("pool", "other"))
    other = Node("other", "rescale", ("pool",), X.attrs())
    with pytest.raises(GraphError, match="twice: concat: inputs stand for different numbers"):
        graph.replaced(nodes=[*graph.nodes[:3], other, joined, *graph.nodes[4:]])
    other = Node("other", "rescale", ("pool",), Y.attrs() | {"high": 15})
    graph = graph.replaced(nodes=[*graph.nodes[:3], other, joined, *graph.nodes[4:]])
    assert graph.quant_params["twice"] == Y


def test_the_largest_sum_that_fits():
    assert big_layer(33155).shapes
    assert looked_up(np.arange(256)).shapes
    assert looked_up(np.arange(256) % 16, 4).shapes


def test_cost_counts_codes_as_bytes_and_says_their_width():
    table = {row.name: row for row in cost(network()).rows}
    assert table["conv"].macs == 6 * 6 * 8 * 27
    assert table["fc"].macs == 5 * 16
    assert (table["conv"].weight_bits, table["conv"].activation_bits) == (8, 4)
    assert (table["fc"].weight_bits, table["fc"].activation_bits) == (4, 8)
    assert (table["y"].weight_bits, table["y"].activation_bits) == (0, 32)
    assert table["q"].live_bytes == 6 * 6 * 3 * 4 + 6 * 6 * 3
    assert table["conv"].live_bytes == 6 * 6 * 3 + 6 * 6 * 8
    assert table["conv"].packed_bytes == 8 * 27 + 8 * 4 + 8 * 4
    assert table["fc"].packed_bytes == 5 * 16 // 2 + 4 + 5 * 4


def test_a_codebook_says_the_width_of_its_indices():
    book = Codebook(np.arange(1, 16.0), np.ones((2, 2), int))
    graph = Graph({"x": (2,)}, [Node("l", "linear", ("x",), {}, {"weight": "w"})], ("l",), {"w": book})
    assert cost(graph).rows[0].weight_bits == 4
