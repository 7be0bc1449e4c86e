"""Graphs of operators on codes, with a naive judge in Python integers; shared by the runtime's tests."""

import struct
from dataclasses import dataclass

import numpy as np

from paring.forms import Dense, Integer
from paring.graph import Graph, Node, QuantParams
from tests.runtime.cases import rand

U8, SIGNED, NIBBLE, TWO = QuantParams(0.03, 0), QuantParams(0.04, 131), QuantParams(0.2, 5, 4), QuantParams(0.7, 1, 2)


def codes_of(seed, shape, codes):
    """Floats that quantize to every code evenly, some far outside."""
    random = np.random.default_rng(seed)
    return ((random.integers(-4, codes.high + 5, shape) - codes.zero_point) * np.float32(codes.scale)).astype(
        np.float32
    )


def weight_of(seed, shape, bits, channels):
    random, most = np.random.default_rng(seed), max(1, 2 ** (bits - 1) - 1)
    codes = random.choice([-1, 1], shape) if bits == 1 else random.integers(-most, most + 1, shape)
    codes.flat[0] = most
    return Integer(codes, random.uniform(0.5, 1.5, channels) / (most * np.sqrt(np.prod(shape[1:]))), bits)


def quantized(op, shape, source, target, attrs=None, weights=None, second=None):
    """quantize, one operator, dequantize; ``second`` the codes of a second input. Moves keep the source's codes."""
    inputs = {"x": shape} | ({} if second is None else {"z": shape})
    nodes = [Node("q", "quantize", ("x",), source.attrs())]
    if second is not None:
        nodes.append(Node("p", "quantize", ("z",), second.attrs()))
    made = (target.attrs() | {"high": target.high} if target else {}) | (attrs or {})
    if op == "lookup":
        made.pop("high")
    read = tuple(node.name for node in nodes)
    nodes.append(Node("n", op, read, made, {role: f"n.{role}" for role in weights or {}}))
    nodes.append(Node("y", "dequantize", ("n",)))
    forms = {f"n.{role}": form if hasattr(form, "dense") else Dense(form) for role, form in (weights or {}).items()}
    return Graph(inputs, nodes, ("y",), forms)


def conv(shape, out, kernel, source=U8, target=SIGNED, groups=1, bits=8, channels=None, bias=True, **attrs):
    weights = {"weight": weight_of(3, (out, shape[2] // groups, *kernel), bits, channels or out)}
    if bias:
        weights["bias"] = rand(4, out)
    return quantized("integer_conv2d", shape, source, target, {"groups": groups} | attrs, weights)


def linear(size, out, source=U8, target=SIGNED, bits=8, channels=None, bias=True, **attrs):
    weights = {"weight": weight_of(5, (out, size), bits, channels or out)} | ({"bias": rand(6, out)} if bias else {})
    return quantized("integer_linear", (size,), source, target, attrs, weights)


P1 = {"padding": (1, 1, 1, 1)}
S = (5, 6, 7)
TABLE = np.random.default_rng(9).integers(0, 16, 256).astype(np.float32)
CASES = {
    "conv 3x3": conv((7, 6, 5), 9, (3, 3), **P1),
    "conv 3x3 zero point": conv((7, 6, 5), 33, (3, 3), SIGNED, U8, **P1),
    "conv relu": conv((7, 6, 16), 16, (3, 3), SIGNED, SIGNED, low=131, **P1),
    "conv relu6": conv((7, 6, 4), 70, (1, 1), SIGNED, U8, low=3, high=200),
    "conv 1x1": conv((9, 6, 64), 130, (1, 1), SIGNED, SIGNED),
    "conv stem": conv((11, 13, 3), 32, (3, 3), SIGNED, U8, stride=(2, 2), padding=(1, 0, 1, 0)),
    "conv uneven": conv((9, 8, 4), 17, (3, 2), NIBBLE, SIGNED, stride=(2, 3), padding=(1, 0, 2, 1)),
    "conv dilation": conv((11, 12, 3), 4, (3, 3), dilation=(2, 3), padding=(2, 2, 2, 2)),
    "conv groups": conv((6, 6, 12), 18, (3, 3), SIGNED, U8, groups=3, **P1),
    "conv wholly padded taps": conv((2, 2, 3), 5, (5, 5), SIGNED, padding=(4, 4, 4, 4)),
    "conv one scale": conv((5, 4, 7), 6, (1, 1), channels=1, bias=False),
    "conv one pixel": conv((1, 1, 3), 70, (1, 1), SIGNED, NIBBLE),
    "conv 4 bits by 4": conv((6, 5, 20), 12, (3, 3), NIBBLE, NIBBLE, bits=4, **P1),
    "conv 2 bits by 2": conv((6, 5, 20), 12, (3, 3), TWO, TWO, bits=2, **P1),
    "conv binary weight": conv((6, 5, 9), 12, (3, 3), SIGNED, SIGNED, bits=1, channels=1, **P1),
    "depthwise": conv((7, 9, 21), 21, (3, 3), SIGNED, U8, groups=21, **P1),
    "depthwise wide": conv((8, 23, 96), 96, (3, 3), SIGNED, SIGNED, groups=96, **P1),
    "depthwise stride": conv((9, 20, 64), 64, (3, 3), U8, SIGNED, groups=64, stride=(2, 2), **P1),
    "depthwise 5x5": conv((8, 11, 40), 40, (5, 5), SIGNED, U8, groups=40, padding=(2, 2, 2, 2), bias=False),
    "depthwise dilation": conv((8, 9, 3), 3, (3, 3), SIGNED, groups=3, dilation=(2, 2), padding=(2, 1, 0, 3)),
    "depthwise multiplier": conv((6, 6, 4), 12, (3, 3), groups=4),
    "linear": linear(37, 19),
    "linear wide": linear(64, 150, SIGNED, U8, bias=False),
    "linear deep": linear(1111, 10, SIGNED, SIGNED),
    "linear one": linear(1, 1, NIBBLE, TWO),
    "linear 3 bits": linear(50, 40, NIBBLE, NIBBLE, bits=3, channels=1, low=5),
    "add": quantized("integer_add", S, U8, SIGNED, second=NIBBLE),
    "add relu": quantized("integer_add", (9, 5, 33), SIGNED, U8, {"low": 2, "high": 250}, second=SIGNED),
    "add vectors": quantized("integer_add", (77,), SIGNED, NIBBLE, second=TWO),
    "avg_pool": quantized("integer_avg_pool", (6, 8, 20), SIGNED, U8, {"kernel": (2, 2), "stride": (2, 2)}),
    "avg_pool pad": quantized("integer_avg_pool", (6, 8, 5), SIGNED, SIGNED, {"kernel": (3, 3), "stride": (2, 2)} | P1),
    "avg_pool inside": quantized(
        "integer_avg_pool",
        (6, 8, 5),
        SIGNED,
        SIGNED,
        {"kernel": (3, 3), "stride": (2, 2), "count_include_pad": False} | P1,
    ),
    "avg_pool ceil": quantized(
        "integer_avg_pool", (6, 7, 3), U8, NIBBLE, {"kernel": (3, 2), "stride": (2, 2), "ceil_mode": True} | P1
    ),
    "global_avg_pool": quantized("integer_global_avg_pool", (7, 7, 70), SIGNED, U8),
    "rescale": quantized("rescale", S, SIGNED, NIBBLE),
    "rescale relu": quantized("rescale", (300,), SIGNED, SIGNED, {"low": 131}),
    "lookup": quantized("lookup", (5, 6, 70), SIGNED, NIBBLE, None, {"table": TABLE}),
    "lookup nibbles": quantized("lookup", S, NIBBLE, NIBBLE, None, {"table": TABLE[:16]}),
    "max_pool": quantized("max_pool", (6, 8, 20), SIGNED, None, {"kernel": (2, 2), "stride": (2, 2)}),
    "max_pool pad": quantized("max_pool", (13, 13, 65), SIGNED, None, {"kernel": (3, 3), "stride": (2, 2)} | P1),
    "max_pool empty window": quantized(
        "max_pool", (2, 4, 3), SIGNED, None, {"kernel": (2, 2), "stride": (1, 1), "dilation": (3, 3)} | P1
    ),
    "flatten chw": quantized("flatten", S, SIGNED, None, {"order": "chw"}),
    "flatten hwc": quantized("flatten", S, SIGNED, None, {"order": "hwc"}),
    "slice": quantized("slice_channels", S, NIBBLE, None, {"start": 2, "stop": 5}),
    "shuffle": quantized("channel_shuffle", (3, 3, 12), SIGNED, None, {"groups": 3}),
    "subsample": quantized("subsample", S, SIGNED, None, {"stride": (2, 3)}),
    "pad": quantized("pad", S, SIGNED, None, {"padding": (1, 2, 2, 0), "channels": (4, 3)}),
    "concat": quantized("concat", S, SIGNED, None, second=SIGNED),
    "quantize and back": Graph(
        {"x": (37,)},
        [Node("q", "quantize", ("x",), SIGNED.attrs()), Node("y", "dequantize", ("q",))],
        ("y",),
    ),
}


def inputs_of(graph, batch, seed=0):
    """Inputs whose codes are all over their range: an array, or a dict if there are several."""
    codes = graph.quant_params
    arrays = {}
    for node in graph.nodes:
        if node.op == "quantize":
            (name,) = node.inputs
            arrays[name] = codes_of(seed + len(arrays), (batch, *graph.inputs[name]), codes[node.name])
    return arrays if len(arrays) > 1 else arrays["x"]


def f32(x):
    """Nearest float32 of a Python float whose operation was exact in float64, which products of two float32 are."""
    return struct.unpack("f", struct.pack("f", x))[0]


@dataclass
class Naive:
    """Sums in Python integers, one output at a time."""

    graph: Graph

    def layer(self, q, batch):
        node, codes = self.graph.nodes[1], self.graph.quant_params
        form, source, target = self.graph.weights["n.weight"], codes["q"], codes["n"]
        weight = form.codes if len(form.shape) == 4 else form.codes[:, :, None, None]
        q = q if q.ndim == 4 else q[:, None, None]
        a = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1} | dict(node.attrs)
        shape = self.graph.shapes["n"]
        out = np.zeros((batch, *(shape if len(shape) == 3 else (1, 1, *shape))), np.uint8)
        bias = self.graph.weights["n.bias"].dense() if "n.bias" in self.graph.weights else None
        fan = weight.shape[1]
        for n, y, x, o in np.ndindex(out.shape):
            total = 0
            group = o // (weight.shape[0] // a["groups"])
            for c, i, j in np.ndindex(weight.shape[1:]):
                row = y * a["stride"][0] - a["padding"][0] + i * a["dilation"][0]
                col = x * a["stride"][1] - a["padding"][2] + j * a["dilation"][1]
                if 0 <= row < q.shape[1] and 0 <= col < q.shape[2]:
                    total += (int(q[n, row, col, group * fan + c]) - source.zero_point) * int(weight[o, c, i, j])
            scale = float(form.scales[o if len(form.scales) > 1 else 0])
            if bias is not None:
                total += round(float(bias[o]) / (source.scale * scale))
            m = f32(source.scale * scale / target.scale)
            t = round(f32(f32(float(total)) * m)) + target.zero_point
            out[n, y, x, o] = min(max(t, a.get("low", 0)), a.get("high", 255))
        return out.reshape(batch, *shape)
