"""The native engine on codes: the reference interpreter's integers, bit for bit, on every instruction set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paring.forms import Dense, Integer
from paring.graph import Graph, Node, QuantParams
from paring.runtime import Engine, reference
from paring.runtime._engine import ISAS
from tests.runtime.integer_cases import CASES, NIBBLE, SIGNED, TWO, U8, codes_of, inputs_of, quantized, weight_of


def part_of(x, which):
    return {k: v[which] for k, v in x.items()} if isinstance(x, dict) else x[which]


@pytest.mark.parametrize("name", CASES)
def test_every_instruction_set_batch_and_thread_count_gives_the_reference_s_codes(name):
    graph = CASES[name]
    x = inputs_of(graph, 9)
    expected = reference.run(graph, x)
    for isa in ISAS:
        engine = Engine(graph, isa=isa)
        np.testing.assert_array_equal(engine.run(x), expected, err_msg=isa)
        np.testing.assert_array_equal(engine.run(part_of(x, slice(4, 5))), expected[4:5], err_msg=isa)
        threaded = Engine(graph, 3, isa=isa)
        np.testing.assert_array_equal(threaded.run(x), expected, err_msg=isa)
        np.testing.assert_array_equal(threaded.run(part_of(x, slice(4, 5))), expected[4:5], err_msg=isa)


@pytest.mark.parametrize("isa", ISAS)
def test_tile_edges(isa):
    for pixels in (1, 2, 5, 6, 7, 11, 12, 13, 25, 49):
        for outputs in (1, 15, 16, 17, 33, 48, 65):
            weights = {"weight": weight_of(outputs, (outputs, 5, 1, 1), 8, outputs)}
            graph = quantized("integer_conv2d", (1, pixels, 5), SIGNED, U8, None, weights)
            x = codes_of(0, (1, 1, pixels, 5), SIGNED)
            np.testing.assert_array_equal(Engine(graph, isa=isa).run(x), reference.run(graph, x))
    for inputs in range(1, 12):
        graph = quantized("integer_linear", (inputs,), SIGNED, U8, None, {"weight": weight_of(1, (18, inputs), 8, 18)})
        x = codes_of(1, (13, inputs), SIGNED)
        np.testing.assert_array_equal(Engine(graph, isa=isa).run(x), reference.run(graph, x))


@pytest.mark.parametrize("isa", ISAS)
def test_no_kernel_saturates(isa):
    """Codes of 255 times weights of 127 and -127, all alike: any 16-bit sum of two products overflows."""
    for sign in (1, -1):
        form = Integer(np.full((20, 64, 3, 3), 127 * sign), [1e-4])
        graph = quantized("integer_conv2d", (6, 5, 64), U8, SIGNED, {"padding": (1, 1, 1, 1)}, {"weight": form})
        x = np.full((1, 6, 5, 64), 255 * 0.03, np.float32)
        np.testing.assert_array_equal(Engine(graph, isa=isa).run(x), reference.run(graph, x))
        form = Integer(np.full((64, 1, 3, 3), 127 * sign), [1e-4])
        attrs = {"padding": (1, 1, 1, 1), "groups": 64}
        graph = quantized("integer_conv2d", (6, 5, 64), U8, SIGNED, attrs, {"weight": form})
        np.testing.assert_array_equal(Engine(graph, isa=isa).run(x), reference.run(graph, x))


@pytest.mark.parametrize("isa", ISAS)
def test_the_deepest_sum_that_is_allowed(isa):
    """33,155 products of 255 and 127 beside a bias of 2**30: within 32 bits, rounded once to float32."""
    form = Integer(np.full((3, 33155), 127), np.float32([2.0**-20] * 3))
    bias = Dense(np.float32([2.0**10, -(2.0**10), 0.3]))
    codes, target = QuantParams(1.0, 0), QuantParams(32.0, 9)
    graph = quantized("integer_linear", (33155,), codes, target, None, {"weight": form, "bias": bias})
    x = np.stack([np.full(33155, 255, np.float32), np.arange(33155, dtype=np.float32) % 256])
    np.testing.assert_array_equal(Engine(graph, isa=isa).run(x), reference.run(graph, x))


@pytest.mark.parametrize("isa", ISAS)
def test_floats_that_are_no_numbers_become_codes_like_the_reference_s(isa):
    graph = CASES["quantize and back"]
    x = np.linspace(-9, 9, 37, dtype=np.float32)[None]
    x[0, [3, 20, 36]] = np.nan, np.inf, -np.inf
    x[0, 5:9] = np.float32(SIGNED.scale) * np.array([0.5, 1.5, -0.5, -2.5], np.float32)
    np.testing.assert_array_equal(Engine(graph, isa=isa).run(x), reference.run(graph, x))


def test_large_layers_are_split_among_threads_without_a_changed_code():
    for shape, weight, groups in (((30, 29, 48), (80, 48, 3, 3), 1), ((40, 41, 96), (96, 1, 3, 3), 96)):
        attrs = {"padding": (1, 1, 1, 1), "groups": groups}
        graph = quantized("integer_conv2d", shape, SIGNED, U8, attrs, {"weight": weight_of(2, weight, 8, weight[0])})
        x = codes_of(3, (1, *shape), SIGNED)
        one = Engine(graph).run(x)
        np.testing.assert_array_equal(one, reference.run(graph, x))
        np.testing.assert_array_equal(Engine(graph, 2).run(x), one)


def test_a_flattened_map_reorders_a_layer_s_columns():
    nodes = [
        Node("q", "quantize", ("x",), SIGNED.attrs()),
        Node("f", "flatten", ("q",), {"order": "chw"}),
        Node("n", "integer_linear", ("f",), U8.attrs(), {"weight": "w"}),
        Node("y", "dequantize", ("n",)),
    ]
    graph = Graph({"x": (3, 5, 7)}, nodes, ("y",), {"w": weight_of(0, (20, 105), 8, 20)})
    x = codes_of(1, (4, 3, 5, 7), SIGNED)
    assert [kernel for _, kernel in Engine(graph).kernels] == ["quantize", "integer_linear", "dequantize"]
    np.testing.assert_array_equal(Engine(graph).run(x), reference.run(graph, x))


class Builder:
    """A random graph of operators on codes, a float detour now and then; every value is valid by construction."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights = [], {}
        shape = (*map(int, self.random.integers(1, 9, 2)), int(self.random.integers(1, 24)))
        self.inputs = {"x": shape}
        self.add("quantize", ["x"], self.kind().attrs())

    def kind(self):
        return (U8, SIGNED, NIBBLE, TWO)[self.random.integers(4)]

    def end(self, codes):
        low, high = sorted(map(int, self.random.integers(0, codes.high + 1, 2)))
        return codes.attrs() | ({"low": low, "high": high} if self.random.random() < 0.3 else {"high": codes.high})

    def add(self, op, inputs, attrs=None, weights=None):
        name = f"n{len(self.nodes)}"
        for role, form in (weights or {}).items():
            self.weights[f"{name}.{role}"] = form
        self.nodes.append(
            Node(name, op, tuple(inputs), attrs or {}, {role: f"{name}.{role}" for role in weights or {}})
        )
        return name

    def look(self):
        """Shapes and codes of what is there, with floats dequantized so that every value is in some answer."""
        graph = Graph(self.inputs, self.nodes, ("x",), self.weights)
        return graph.shapes, graph.quant_params

    def grow(self, steps):
        for _ in range(steps):
            shapes, codes = self.look()
            names = list(codes)
            self.step(names[int(self.random.integers(max(0, len(names) - 4), len(names)))], shapes, codes)
        _, codes = self.look()
        picked = self.random.choice(list(codes), min(len(codes), 3), replace=False)
        outputs = [self.add("dequantize", [str(name)]) for name in picked]
        return Graph(self.inputs, self.nodes, outputs, self.weights)

    def step(self, name, shapes, codes):
        shape, pick = shapes[name], self.random.integers(12)
        if pick == 0:
            self.add("rescale", [name], self.end(self.kind()))
        elif pick == 1:
            target = self.kind()
            table = self.random.integers(0, target.high + 1, codes[name].high + 1).astype(np.float32)
            self.add("lookup", [name], target.attrs(), {"table": Dense(table)})
        elif pick == 2:
            same = [n for n in codes if shapes[n] == shape]
            self.add("integer_add", [name, str(self.random.choice(same))], self.end(self.kind()))
        elif pick == 3:
            near = [n for n in codes if shapes[n][:-1] == shape[:-1] and codes[n] == codes[name]]
            self.add("concat", [str(n) for n in self.random.choice(near, int(self.random.integers(1, 4)))])
        elif pick == 4:
            start = int(self.random.integers(shape[-1]))
            self.add(
                "slice_channels", [name], {"start": start, "stop": int(self.random.integers(start, shape[-1])) + 1}
            )
        elif pick == 5:
            self.add("quantize", [self.add("relu", [self.add("dequantize", [name])])], self.kind().attrs())
        elif len(shape) == 1:
            self.layer(name, shape)
        elif pick == 6:
            kernel = tuple(min(2, side) for side in shape[:2])
            attrs = {"kernel": kernel, "stride": (2, 1), "ceil_mode": bool(self.random.integers(2))}
            self.add(
                *(
                    ("max_pool", [name], attrs)
                    if self.random.integers(2)
                    else ("integer_avg_pool", [name], attrs | self.end(self.kind()))
                )
            )
        elif pick == 7:
            op = ("subsample", "pad", "channel_shuffle", "flatten")[self.random.integers(4)]
            attrs = {"subsample": {"stride": (2, 2)}, "pad": {"padding": (0, 1, 1, 0), "channels": (1, 0)}}
            attrs |= {"flatten": {"order": ("chw", "hwc")[self.random.integers(2)]}}
            self.add(op, [name], attrs.get(op, {"groups": 2 if shape[-1] % 2 == 0 else 1}))
        elif pick == 8:
            self.add("integer_global_avg_pool", [name], self.end(self.kind()))
        else:
            self.layer(name, shape)

    def layer(self, name, shape):
        bits, r = int(self.random.integers(1, 9)), self.random
        if len(shape) == 1:
            out, attrs, weight = int(r.integers(1, 40)), {}, (shape[0],)
        else:
            groups = (1, 1, shape[2])[r.integers(3)]
            out = groups * int(r.integers(1, 3)) if groups > 1 else int(r.integers(1, 20))
            pad = int(r.integers(2))
            kernel = 3 if r.integers(2) and min(shape[:2]) + 2 * pad >= 3 else 1
            attrs = {"padding": (pad,) * 4, "stride": (int(r.integers(1, 3)),) * 2, "groups": groups}
            weight = (shape[2] // groups, kernel, kernel)
        forms = {"weight": weight_of(int(r.integers(99)), (out, *weight), bits, out if r.integers(2) else 1)}
        if r.integers(2):
            forms["bias"] = Dense(r.normal(size=out).astype(np.float32))
        op = "integer_linear" if len(shape) == 1 else "integer_conv2d"
        self.add(op, [name], attrs | self.end(self.kind()), forms)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 31), steps=st.integers(1, 12))
def test_random_graphs_give_the_reference_s_codes(seed, steps):
    graph = Builder(seed).grow(steps)
    x = np.random.default_rng(seed).normal(size=(3, *graph.inputs["x"])).astype(np.float32) * 3
    expected = reference.run(graph, x)
    expected = expected if isinstance(expected, dict) else {"y": expected}
    for isa in ISAS:
        for threads in (1, 2):
            found = Engine(graph, threads, isa=isa).run(x)
            found = found if isinstance(found, dict) else {"y": found}
            for name, answer in expected.items():
                np.testing.assert_array_equal(found[name], answer, err_msg=f"{isa} {threads}")
