"""What this kernel's test and benchmark run: a network whose node ``n`` it computes."""

import numpy as np

from paring.graph import Graph, Node, QuantParams

KIND = "quantize"


def example(random: np.random.Generator) -> Graph:
    nodes = [Node("n", "quantize", ("x",), QuantParams(0.03, 128).attrs()), Node("y", "dequantize", ("n",))]
    return Graph({"x": (28, 28, 100)}, nodes, ("y",))
