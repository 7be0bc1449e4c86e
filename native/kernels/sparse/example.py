"""What this kernel's test and benchmark run: a network whose node ``n`` it computes."""

import numpy as np

from paring.forms import Dense
from paring.graph import Graph, Node

KIND = "conv2d sparse"


def example(random: np.random.Generator) -> Graph:
    weight = random.standard_normal((96, 64, 3, 3), np.float32) * (random.random((96, 64, 3, 3)) < 0.1)
    node = Node("n", "conv2d", ("x",), {"padding": (1, 1, 1, 1)}, {"weight": "w"})
    return Graph({"x": (28, 28, 64)}, [node], ("n",), {"w": Dense(weight.astype(np.float32) / 8)})
