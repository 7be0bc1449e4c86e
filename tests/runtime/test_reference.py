"""The reference interpreter against torch, and convolution against naive loops."""

import numpy as np
import pytest

from paring.errors import ArgumentError, GraphError
from paring.graph import INTEGER_OPS, OPS, Graph, Node
from paring.runtime import reference
from tests.runtime.cases import CASES, conv, inputs_of, rand, single


def test_every_operator_has_a_function_and_a_case():
    assert all(callable(reference.function(op)) for op in set(OPS) - set(INTEGER_OPS))
    assert {graph.nodes[0].op for graph, _ in CASES.values()} == set(OPS) - set(INTEGER_OPS)


@pytest.mark.parametrize("name", CASES)
def test_operator_is_torch_s(name):
    graph, judge = CASES[name]
    x = inputs_of(graph, 2)
    expected = judge(*x.values()) if isinstance(x, dict) else judge(x)
    found = reference.run(graph, x)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_convolution_is_the_naive_loop():
    graph, _ = conv((5, 6, 4), 6, (3, 2), (2, 1), (1, 0, 2, 1), (1, 2), groups=2)
    weight, bias = graph.weights["n.weight"].dense(), graph.weights["n.bias"].dense()
    x = rand(7, 1, 5, 6, 4)
    found = reference.run(graph, x)
    for y, z, o in np.ndindex(found.shape[1:]):
        total = float(bias[o])
        for c, i, j in np.ndindex(2, 3, 2):
            row, col = y * 2 - 1 + i, z * 1 - 2 + j * 2
            if 0 <= row < 5 and 0 <= col < 6:
                total += float(weight[o, c, i, j]) * float(x[0, row, col, (o // 3) * 2 + c])
        assert found[0, y, z, o] == pytest.approx(total, abs=1e-5)


def test_not_a_number_goes_through():
    x = np.array([[np.nan, -1.0, 7.0]], np.float32)
    for op in ("relu", "clip", "hard_swish", "softmax", "tanh"):
        assert np.isnan(reference.run(single(op, (3,)), x)[0, 0]), op


def test_several_inputs_and_outputs():
    graph = Graph({"a": (3,), "b": (3,)}, [Node("s", "add", ("a", "b")), Node("r", "relu", ("s",))], ("r", "s"))
    a, b = rand(0, 4, 3), rand(1, 4, 3)
    found = reference.run(graph, {"a": a, "b": b})
    assert list(found) == ["r", "s"]
    np.testing.assert_array_equal(found["r"], np.maximum(a + b, 0))
    with pytest.raises(ArgumentError, match="several inputs"):
        reference.run(graph, a)
    with pytest.raises(ArgumentError, match="different batch sizes"):
        reference.run(graph, {"a": a, "b": b[:2]})
    with pytest.raises(ArgumentError, match="wrong names"):
        reference.run(graph, {"a": a})


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 5, 6, 7)), "float32"),
        (np.zeros((1, 7, 5, 6), np.float32), "wrong shape"),
        (np.zeros((5, 6, 7), np.float32), "wrong shape"),
    ],
)
def test_wrong_input_is_one_clear_error(x, message):
    with pytest.raises(ArgumentError, match=message):
        reference.run(single("relu", (5, 6, 7)), x)


def test_bad_graph_is_refused():
    with pytest.raises(GraphError):
        reference.run(Graph({"x": (3,)}, [Node("n", "conv3d", ("x",))], ("n",)), rand(0, 1, 3))
