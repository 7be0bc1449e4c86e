"""What this kernel's test and benchmark run: a network whose node ``n`` it computes."""

import numpy as np

from paring.forms import Dense
from paring.graph import Graph, Node

KIND = "conv2d depthwise"


def example(random: np.random.Generator) -> Graph:
    weight = Dense(random.standard_normal((100, 1, 3, 3), np.float32) / 3)
    node = Node("n", "conv2d", ("x",), {"padding": (1, 1, 1, 1), "groups": 100}, {"weight": "w"})
    return Graph({"x": (28, 28, 100)}, [node], ("n",), {"w": weight})
