"""The reference interpreter on codes against loops in Python integers, torch and the definitions."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from paring.graph import INTEGER_OPS, quantize
from paring.runtime import _reference_integer, reference
from tests.runtime.integer_cases import CASES, SIGNED, U8, Naive, codes_of, f32, inputs_of, quantized

LAYERS = [name for name, graph in CASES.items() if graph.nodes[1].op in ("integer_conv2d", "integer_linear")]
SMALL = [n for n in LAYERS if CASES[n].weights["n.weight"].size * np.prod(CASES[n].shapes["n"][:-1]) < 60_000]


def codes_in(graph, batch):
    """Every value of the graph by name, codes as codes."""
    x = inputs_of(graph, batch)
    return x, dict(reference.steps(graph, x))


def test_every_operator_has_a_function_and_a_case():
    assert set(_reference_integer.FUNCTIONS) == set(INTEGER_OPS)
    assert {node.op for graph in CASES.values() for node in graph.nodes} >= set(INTEGER_OPS)


@pytest.mark.parametrize("name", SMALL)
def test_layers_are_sums_of_python_integers(name):
    graph = CASES[name]
    _, values = codes_in(graph, 1)
    assert values["n"].dtype == np.uint8
    np.testing.assert_array_equal(values["n"], Naive(graph).layer(values["q"], 1))


@pytest.mark.parametrize("name", ["add", "add relu", "add vectors"])
def test_addition_rounds_three_times(name):
    graph = CASES[name]
    _, values = codes_in(graph, 2)
    codes, attrs = graph.quant_params, graph.nodes[2].attrs
    a, b, y = codes["q"], codes["p"], codes["n"]
    m_a, m_b = f32(a.scale / y.scale), f32(b.scale / y.scale)
    for q, p, found in zip(values["q"].flat, values["p"].flat, values["n"].flat, strict=True):
        first, second = f32((int(q) - a.zero_point) * m_a), f32((int(p) - b.zero_point) * m_b)
        total = Fraction(np.float64(np.float32(first) + np.float32(second)))
        assert found == min(max(round(total) + y.zero_point, attrs["low"]), attrs["high"])


@pytest.mark.parametrize("name", [name for name in CASES if "avg_pool" in name])
def test_means_are_torch_s_but_for_one_rounding(name):
    """The exact mean in units of the output, rounded, differs by at most one code, and almost never."""
    graph = CASES[name]
    _, values = codes_in(graph, 3)
    codes, a = graph.quant_params, graph.nodes[1].attrs
    x = torch.from_numpy(values["q"].astype(np.float64) - codes["q"].zero_point).movedim(-1, 1)
    if "kernel" in a:
        pad = (a["padding"][0], a["padding"][2])
        mean = F.avg_pool2d(x, a["kernel"], a["stride"], pad, a["ceil_mode"], a["count_include_pad"]).movedim(1, -1)
    else:
        mean = x.mean((2, 3))
    y = codes["n"]
    expected = np.clip(np.rint(mean.numpy() * codes["q"].scale / y.scale) + y.zero_point, a["low"], a["high"])
    assert np.abs(expected - values["n"]).max() <= 1
    assert np.mean(expected != values["n"]) < 0.02


@pytest.mark.parametrize(
    "name", ["max_pool", "max_pool pad", "flatten chw", "slice", "shuffle", "subsample", "pad", "concat"]
)
def test_moves_do_on_codes_what_they_do_on_floats(name):
    """Codes of an affine scale are in the order of what they stand for, so the float operator is the judge."""
    graph = CASES[name]
    _, values = codes_in(graph, 2)
    node = graph.nodes[-2]
    assert values["n"].dtype == np.uint8
    real = [(values[i].astype(np.float32) - graph.quant_params[i].zero_point) for i in node.inputs]
    expected = reference.function(node.op)(node.attrs, real, {}) + graph.quant_params["n"].zero_point
    np.testing.assert_array_equal(values["n"], expected)


def test_padding_is_the_zero_point_and_an_empty_window_code_zero():
    _, values = codes_in(CASES["pad"], 1)
    assert set(values["n"][0, 0].ravel()) == {SIGNED.zero_point}
    assert set(values["n"][..., -3:].ravel()) == {SIGNED.zero_point}
    _, values = codes_in(CASES["max_pool empty window"], 1)
    assert 0 in values["n"]


def test_rescale_and_lookup_are_functions_of_a_code():
    graph = quantized("rescale", (256,), U8, SIGNED, {"low": 131, "high": 250})
    x = np.arange(256, dtype=np.float32)[None] * np.float32(U8.scale)
    values = dict(reference.steps(graph, x))
    m = f32(U8.scale / SIGNED.scale)
    expected = [min(max(round(f32(q * m)) + 131, 131), 250) for q in range(256)]
    np.testing.assert_array_equal(values["n"][0], expected)
    graph = CASES["lookup"]
    _, values = codes_in(graph, 1)
    np.testing.assert_array_equal(values["n"], graph.weights["n.table"].dense()[values["q"]])


def test_the_answer_is_near_the_float_network_s():
    """A layer of 8 bits computes what its dense weights do, within the steps of its scales."""
    graph = CASES["conv 3x3 zero point"]
    x = codes_of(1, (2, 7, 6, 5), SIGNED)
    values = dict(reference.steps(graph, x))
    weight, bias = (torch.from_numpy(graph.weights[f"n.{role}"].dense()) for role in ("weight", "bias"))
    seen = torch.from_numpy((quantize(x, SIGNED).astype(np.float32) - 131) * np.float32(SIGNED.scale)).movedim(-1, 1)
    real = F.conv2d(seen, weight, bias, padding=1).movedim(1, -1).numpy()
    inside = (values["n"] > 0) & (values["n"] < 255)
    assert inside.any()
    assert np.abs(values["y"] - real)[inside].max() < U8.scale * 0.51
