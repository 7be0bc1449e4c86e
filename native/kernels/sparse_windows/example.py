"""What this kernel's test and benchmark run: a network whose node ``n`` it computes."""

import numpy as np

from paring.forms import Codebook
from paring.graph import Graph, Node

KIND = "linear sparse"


def example(random: np.random.Generator) -> Graph:
    centroids = np.linspace(0.01, 0.3, 31, dtype=np.float32)
    indices = random.integers(1, 32, (300, 784)) * (random.random((300, 784)) < 0.08)
    node = Node("n", "linear", ("x",), {}, {"weight": "w"})
    return Graph({"x": (784,)}, [node], ("n",), {"w": Codebook(centroids, indices)})
