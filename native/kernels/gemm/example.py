"""What this kernel's test and benchmark run: a network whose node ``n`` it computes."""

import numpy as np

from paring.forms import Dense
from paring.graph import Graph, Node

KIND = "conv2d gemm"


def example(random: np.random.Generator) -> Graph:
    weight = Dense(random.standard_normal((96, 64, 3, 3), np.float32) / 24)
    node = Node("n", "conv2d", ("x",), {"padding": (1, 1, 1, 1)}, {"weight": "w"})
    return Graph({"x": (14, 14, 64)}, [node], ("n",), {"w": weight})
