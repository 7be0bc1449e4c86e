"""What this kernel's test and benchmark run: a network whose node ``n`` it computes."""

import numpy as np

from paring.graph import Graph, Node

KIND = "elementwise"


def example(random: np.random.Generator) -> Graph:
    return Graph({"x": (28, 28, 100)}, [Node("n", "silu", ("x",))], ("n",))
