"""Attributes as large as a graph may have: no estimate of work and no step of an index overflows.

Under the undefined-behavior sanitizer these graphs report every signed overflow; the judge is a loop over the outputs.
"""

from itertools import product

import numpy as np
import pytest

from paring.forms import Dense, Integer
from paring.graph import Graph, Node, QuantParams
from paring.runtime import Engine
from paring.runtime._engine import ISAS

MOST = 2**31 - 1
#: Kernel, stride, dilation and padding of a convolution of a 2 x 3 map.
CONVOLUTIONS = {
    "stride": (1, MOST, 1, 0),
    "stride and padding": (1, MOST, 1, MOST),
    "dilation": (2, MOST, MOST, MOST),
    "dilation, every window": (2, 1, MOST - 1, (MOST - 1) // 2),
    "padding": (3, MOST, 1, MOST),
    "phases": (3, 2**30, 2**29 + 1, 2**29 + 1),
}
SHAPE = (2, 3, 4)


def axis(size, kernel, stride, dilation, padding):
    """For each output, the pairs of a tap and the place inside the input that it reads."""
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    places = [[(k, o * stride - padding + k * dilation) for k in range(kernel)] for o in range(count)]
    return [[(k, at) for k, at in taps if 0 <= at < size] for taps in places]


def convolved(x, weight, geometry, outside):
    rows, columns = (axis(size, *geometry) for size in x.shape[:2])
    out = np.full((len(rows), len(columns), len(weight)), 0.0)
    for (y, down), (z, across) in product(enumerate(rows), enumerate(columns)):
        for (i, row), (j, column) in product(down, across):
            part = x[row, column] - outside
            out[y, z] += weight[:, 0, i, j] * part if weight.shape[1] == 1 else weight[:, :, i, j] @ part
    return out


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("sparse", ["auto", "always", "never"])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name, groups, sparse, isa):
    kernel, stride, dilation, padding = CONVOLUTIONS[name]
    random = np.random.default_rng(0)
    weight = random.integers(-3, 4, (4, 4 // groups, kernel, kernel)).astype(np.float32)
    x = random.integers(-3, 4, (2, *SHAPE)).astype(np.float32)
    attrs = {
        "stride": (stride,) * 2,
        "dilation": (dilation,) * 2,
        "padding": (padding,) * 4,
        "groups": groups,
    }
    graph = Graph({"x": SHAPE}, [Node("n", "conv2d", ("x",), attrs, {"weight": "w"})], ("n",), {"w": Dense(weight)})
    found = Engine(graph, 2, isa=isa, sparse=sparse).run(x)
    geometry = (kernel, stride, dilation, padding)
    np.testing.assert_array_equal(found, [convolved(image, weight, geometry, 0.0) for image in x])
    codes = QuantParams(1.0, 128)
    nodes = [
        Node("q", "quantize", ("x",), codes.attrs()),
        Node("n", "integer_conv2d", ("q",), attrs | codes.attrs(), {"weight": "w"}),
        Node("y", "dequantize", ("n",)),
    ]
    whole = Integer(weight.astype(np.int64), np.ones(4))
    found = Engine(Graph({"x": SHAPE}, nodes, ("y",), {"w": whole}), 2, isa=isa).run(x)
    expected = np.array([convolved(image, weight, geometry, 0.0) for image in x])
    np.testing.assert_array_equal(found, np.clip(expected, -128, 127))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("stride", [1, 2, MOST])
@pytest.mark.parametrize("op", ["max_pool", "avg_pool"])
def test_pool(op, stride, isa):
    kernel, padding = MOST, MOST // 2  # the padded input is two or three larger than the window
    x = np.random.default_rng(0).integers(0, 5, (2, *SHAPE)).astype(np.float32)
    attrs = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "padding": (padding,) * 4}
    extra = {"count_include_pad": False} if op == "avg_pool" else {}
    graph = Graph({"x": SHAPE}, [Node("n", op, ("x",), attrs | extra)], ("n",))
    found = Engine(graph, 2, isa=isa).run(x)
    rows, columns = (
        [
            slice(max(0, o * stride - padding), o * stride - padding + kernel)
            for o in range((size + 2 * padding - kernel) // stride + 1)
        ]
        for size in SHAPE[:2]
    )
    reduce = np.max if op == "max_pool" else np.mean
    expected = np.array([[[reduce(image[r, c], axis=(0, 1)) for c in columns] for r in rows] for image in x])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    if op == "avg_pool":
        return  # on codes such a window is refused
    nodes = [
        Node("q", "quantize", ("x",), QuantParams(1.0, 0).attrs()),
        Node("n", op, ("q",), attrs),
        Node("y", "dequantize", ("n",)),
    ]
    found = Engine(Graph({"x": SHAPE}, nodes, ("y",)), 2, isa=isa).run(x)
    np.testing.assert_array_equal(found, expected)
