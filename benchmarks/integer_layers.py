"""Single layers on codes beside the same layers on floats, by turns in one run on one machine.

    python benchmarks/integer_layers.py [--isa avx2] [--seconds 1]

One example, one thread; median and 10th percentile of a call in microseconds, of the whole call for both: a network of
that one layer, with quantize and dequantize around it for codes. ``layer`` is the layer's own mean step time on codes.
"""

import argparse
from functools import partial

import numpy as np

from paring.cli.measure._latency import alternate
from paring.forms import Dense, Integer
from paring.graph import Graph, Node, QuantParams
from paring.runtime import Engine, info

#: Name to (input shape, weight shape, attributes).
LAYERS = {
    "3x3, 256 to 256, 14x14": ((14, 14, 256), (256, 256, 3, 3), {"padding": (1, 1, 1, 1)}),
    "3x3, 128 to 128, 28x28": ((28, 28, 128), (128, 128, 3, 3), {"padding": (1, 1, 1, 1)}),
    "3x3, 512 to 512, 7x7": ((7, 7, 512), (512, 512, 3, 3), {"padding": (1, 1, 1, 1)}),
    "1x1, 256 to 256, 28x28": ((28, 28, 256), (256, 256, 1, 1), {}),
    "depthwise 3x3, 256, 28x28": ((28, 28, 256), (256, 1, 3, 3), {"padding": (1, 1, 1, 1), "groups": 256}),
    "fully connected, 4096 to 4096": ((4096,), (4096, 4096), {}),
}


def graphs(shape, weight_shape, attrs):
    """The layer on floats, and on codes."""
    random = np.random.default_rng(0)
    kind = "conv2d" if len(weight_shape) == 4 else "linear"
    weight = random.normal(size=weight_shape).astype(np.float32) / np.sqrt(np.prod(weight_shape[1:]))
    rows = np.abs(weight).reshape(len(weight), -1).max(1)
    real = Graph({"x": shape}, [Node("y", kind, ("x",), attrs, {"weight": "w"})], ("y",), {"w": Dense(weight)})
    codes = QuantParams(0.03, 128).attrs()
    nodes = [
        Node("q", "quantize", ("x",), codes),
        Node("n", f"integer_{kind}", ("q",), {**attrs, **codes}, {"weight": "w"}),
        Node("y", "dequantize", ("n",)),
    ]
    return real, Graph({"x": shape}, nodes, ("y",), {"w": Integer.from_dense(weight, rows / 127)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--isa", default=info()["isa"])
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    print(f"{options.isa}\n| layer | float32 | codes | layer |\n|---|---|---|---|")
    for name, (shape, weight_shape, attrs) in LAYERS.items():
        x = np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)
        real, codes = (Engine(graph, isa=options.isa) for graph in graphs(shape, weight_shape, attrs))
        times = alternate({"real": partial(real.run, x), "codes": partial(codes.run, x)}, options.seconds)
        step = codes.profile(x, 50)[1].seconds * 1e6
        cells = [f"{t.median * 1e3:.0f} ({t.low * 1e3:.0f})" for t in (times["real"], times["codes"])]
        print(f"| {name} | {cells[0]} | {cells[1]} | {step:.0f} |")


if __name__ == "__main__":
    main()
