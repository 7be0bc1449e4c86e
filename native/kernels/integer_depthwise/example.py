"""What this kernel's test and benchmark run: a network whose node ``n`` it computes."""

import numpy as np

from paring.forms import Integer
from paring.graph import Graph, Node, QuantParams

KIND = "integer_conv2d depthwise"


def example(random: np.random.Generator) -> Graph:
    weight = Integer(random.integers(-127, 128, (100, 1, 3, 3)), np.full(100, 0.003))
    attrs = QuantParams(0.03, 128).attrs()
    nodes = [
        Node("q", "quantize", ("x",), attrs),
        Node("n", "integer_conv2d", ("q",), {"padding": (1, 1, 1, 1), "groups": 100} | attrs, {"weight": "w"}),
        Node("y", "dequantize", ("n",)),
    ]
    return Graph({"x": (28, 28, 100)}, nodes, ("y",), {"w": weight})
