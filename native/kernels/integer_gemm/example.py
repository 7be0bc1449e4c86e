"""What this kernel's test and benchmark run: a network whose node ``n`` it computes."""

import numpy as np

from paring.forms import Integer
from paring.graph import Graph, Node, QuantParams

KIND = "integer_conv2d gemm"


def example(random: np.random.Generator) -> Graph:
    weight = Integer(random.integers(-127, 128, (96, 64, 3, 3)), np.full(96, 0.0005))
    attrs = QuantParams(0.03, 128).attrs()
    nodes = [
        Node("q", "quantize", ("x",), attrs),
        Node("n", "integer_conv2d", ("q",), {"padding": (1, 1, 1, 1)} | attrs, {"weight": "w"}),
        Node("y", "dequantize", ("n",)),
    ]
    return Graph({"x": (14, 14, 64)}, nodes, ("y",), {"w": weight})
