"""What this kernel's test and benchmark run: a network whose node ``n`` it computes."""

import numpy as np

from paring.graph import Graph, Node

KIND = "max_pool"


def example(random: np.random.Generator) -> Graph:
    node = Node("n", "max_pool", ("x",), {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1)})
    return Graph({"x": (56, 56, 100)}, [node], ("n",))
