"""Random networks: the compiled program against the interpreter, and its memory against a naive check."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paring.forms import Codebook, Dense, Sparse
from paring.graph import Graph, Node
from paring.runtime import Engine, reference
from paring.runtime._engine import ISAS
from paring.runtime._fuse import fuse
from paring.runtime._layout import lay_out
from tests.runtime.cases import rand


class Builder:
    """Grows a valid graph at random; every value made may be read again later."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        shape = tuple(int(n) for n in self.random.integers(1, 9, 3))
        self.graph = Graph({"x": shape}, [], ("x",))
        self.shapes = {"x": shape}

    def node(self, op, inputs, attrs=None, weights=None):
        name = f"{op}_{len(self.graph.nodes)}"
        roles = {role: f"{name}.{role}" for role in weights or {}}
        forms = {roles[role]: form for role, form in (weights or {}).items()}
        node = Node(name, op, tuple(inputs), attrs or {}, roles)
        self.graph = self.graph.replaced(
            nodes=[*self.graph.nodes, node], outputs=(name,), weights={**self.graph.weights, **forms}
        )
        self.shapes = self.graph.shapes
        return name

    def form(self, *shape):
        weight = self.random.standard_normal(shape).astype(np.float32) / np.sqrt(np.prod(shape[1:]) or 1)
        kind = self.random.integers(5)
        thinned = np.where(self.random.random(shape) < 0.85, np.float32(0), weight)
        if kind == 0:
            return Sparse.from_dense(thinned)
        if kind == 1:
            values, indices = np.unique(np.round(thinned, 1), return_inverse=True)
            return Codebook.from_assignment(values, indices.reshape(shape))
        return Dense(weight)

    def pick(self, *numbers):
        return numbers[self.random.integers(len(numbers))]

    def grow(self, steps):
        for _ in range(steps):
            source = list(self.shapes)[self.random.integers(len(self.shapes))]
            shape = self.shapes[source]
            (self.on_map if len(shape) == 3 else self.on_vector)(source, shape)
        names = [node.name for node in self.graph.nodes]
        count = min(len(names), self.pick(1, 1, 2, 3))
        outputs = tuple(str(n) for n in self.random.choice(names, count, replace=False))
        return self.graph.replaced(outputs=outputs)

    def on_vector(self, source, shape):
        match self.random.integers(5):
            case 0 | 1:
                out = int(self.random.integers(1, 40))
                self.node("linear", [source], {}, {"weight": self.form(out, shape[0]), "bias": self.form(out)})
            case 2:
                self.anything(source, shape)
            case 3:
                self.node("concat", [source, source])
            case 4:
                self.join(source, shape)

    def on_map(self, source, shape):
        height, width, channels = shape
        match self.random.integers(10):
            case 0 | 1 | 2:
                self.conv(source, shape)
            case 3:
                kernel = (min(2, height), min(2, width))
                op = self.pick("max_pool", "avg_pool")
                self.node(op, [source], {"kernel": kernel, "stride": (2, 1), "ceil_mode": self.pick(True, False)})
            case 4:
                self.node("flatten", [source], {"order": self.pick("chw", "hwc")})
            case 5:
                self.join(source, shape)
            case 6:
                same = [n for n, s in self.shapes.items() if len(s) == 3 and s[:2] == shape[:2]]
                self.node("concat", [str(n) for n in self.random.choice(same, self.pick(1, 2, 3))])
            case 7:
                start = int(self.random.integers(channels))
                self.node(
                    "slice_channels", [source], {"start": start, "stop": int(self.random.integers(start, channels)) + 1}
                )
            case 8:
                self.anything(source, shape)
            case 9:
                op = self.pick("global_avg_pool", "subsample", "pad", "channel_shuffle", "adaptive_avg_pool")
                attrs = {"subsample": {"stride": (2, 2)}, "pad": {"padding": (0, 1, 1, 0), "channels": (1, 0)}}
                attrs["channel_shuffle"] = {"groups": 2 if channels % 2 == 0 else 1}
                attrs["adaptive_avg_pool"] = {"size": (2, 3)}
                self.node(op, [source], attrs.get(op, {}))

    def conv(self, source, shape):
        height, width, channels = shape
        groups = self.pick(1, 1, channels)
        out = groups * int(self.random.integers(1, 3)) if groups > 1 else int(self.random.integers(1, 20))
        kernel, pad = self.pick(1, 3), self.pick(0, 1)
        if kernel > min(height, width) + 2 * pad:
            kernel = 1
        weight, step = self.form(out, channels // groups, kernel, kernel), self.pick(1, 1, 2)
        attrs = {"stride": (step, step), "padding": (pad,) * 4, "groups": groups}
        name = self.node("conv2d", [source], attrs, {"weight": weight, "bias": self.form(out)})
        if self.shapes[name] == shape and self.pick(True, False):
            name = self.node("add", [name, source] if self.pick(True, False) else [source, name])
        if self.pick(True, False):
            self.node(self.pick("relu", "clip"), [name])

    def join(self, source, shape):
        op = self.pick("add", "mul")
        same = [n for n, s in self.shapes.items() if s in (shape, shape[-1:])]
        self.node(op, [source, str(self.random.choice(same))])

    def anything(self, source, shape):
        op = self.pick("relu", "clip", "leaky_relu", "sigmoid", "hard_swish", "softmax", "scale_shift", "prelu", "lrn")
        roles = {"scale_shift": ("scale", "shift"), "prelu": ("slope",)}.get(op, ())
        self.node(op, [source], {}, {role: self.form(shape[-1]) for role in roles})


def size_of(value):
    return int(np.prod(value))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 31), steps=st.integers(1, 14))
def test_program_answers_as_the_interpreter(seed, steps):
    graph = Builder(seed).grow(steps)
    x = rand(seed, 3, *graph.inputs["x"])
    expected = reference.run(graph, x)
    isa, sparse = ISAS[seed % len(ISAS)], ("auto", "always", "never")[seed // 7 % 3]
    found = Engine(graph, isa=isa, sparse=sparse).run(x)
    threaded = Engine(graph, 2, isa=isa, sparse=sparse).run(x)
    if len(graph.outputs) == 1:
        expected, found, threaded = {"y": expected}, {"y": found}, {"y": threaded}
    for name in expected:
        scale = max(1.0, float(np.abs(expected[name]).max()))
        np.testing.assert_allclose(found[name] / scale, expected[name] / scale, rtol=1e-4, atol=2e-5)
        np.testing.assert_array_equal(found[name], threaded[name])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 31), steps=st.integers(1, 20))
def test_no_two_values_alive_at_once_share_memory(seed, steps):
    graph = Builder(seed).grow(steps)
    layout = lay_out(graph, fuse(graph))
    arena = sorted((b for b in layout.buffers if b.place == "arena"), key=lambda b: b.offset)
    for buffer in arena:
        assert buffer.offset % 16 == 0
        assert buffer.offset + buffer.size <= layout.arena
    for step in range(len(graph.nodes) + 2):
        alive = [b for b in arena if b.first <= step <= b.last]
        for a, b in pairwise(alive):
            assert a.offset + a.size <= b.offset


def test_layout_reuses_memory_and_avoids_copies():
    """A chain needs two buffers; the parts of a concatenation are made in place; a residual addition costs no step."""
    conv = {"weight": "w"}
    nodes = [Node("a", "conv2d", ("x",), {}, conv)]
    nodes += [Node(chr(ord("a") + i), "conv2d", (chr(ord("a") + i - 1),), {}, conv) for i in range(1, 8)]
    weights = {"w": Dense(rand(0, 4, 4, 1, 1))}
    graph = Graph({"x": (8, 8, 4)}, [*nodes, Node("y", "global_avg_pool", ("h",))], ("y",), dict(weights))
    assert lay_out(graph, fuse(graph)).arena == 2 * 8 * 8 * 4
    parts = [Node("p", "conv2d", ("x",), {}, conv), Node("q", "conv2d", ("x",), {}, conv)]
    graph = Graph({"x": (8, 8, 4)}, [*parts, Node("y", "concat", ("p", "q"))], ("y",), dict(weights))
    assert [name for name, _ in Engine(graph).kernels] == ["p", "q"]
    block = [parts[0], Node("s", "add", ("x", "p")), Node("y", "relu", ("s",))]
    graph = Graph({"x": (8, 8, 4)}, block, ("y",), dict(weights))
    assert Engine(graph).kernels == [("y", "conv2d 1x1 gemm")]


@pytest.mark.parametrize("outputs", [("x",), ("f",), ("x", "f", "r"), ("r", "r")])
def test_outputs_may_be_inputs_views_or_named_twice(outputs):
    graph = Graph(
        {"x": (2, 3, 4)}, [Node("f", "flatten", ("x",), {"order": "hwc"}), Node("r", "relu", ("f",))], outputs
    )
    x = rand(0, 5, 2, 3, 4)
    found, expected = Engine(graph).run(x), reference.run(graph, x)
    if isinstance(found, dict):
        assert list(found) == list(expected)
        assert len(found) == len(outputs)
        for name in found:
            np.testing.assert_array_equal(found[name], expected[name])
    else:
        np.testing.assert_array_equal(found, expected)
