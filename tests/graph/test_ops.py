"""What the operators' rows claim, judged by what the reference interpreter computes."""

import numpy as np
import pytest

from paring.graph import INTEGER_OPS, LAYERS, OPS, carried
from paring.runtime import reference
from tests.runtime.cases import CASES, inputs_of

FIRST = {}
for _graph, _ in CASES.values():
    FIRST.setdefault(_graph.nodes[0].op, _graph)
CLAIMS = sorted(FIRST)


def run(graph, x):
    with np.errstate(all="ignore"):
        return reference.run(graph, x)


def given(op, seed=3):
    graph = FIRST[op]
    x = inputs_of(graph, seed)
    return graph, x if isinstance(x, dict) else {next(iter(graph.inputs)): x}


def places_that_change(op):
    """Where the output differs after one number of the first input did, and where that number is."""
    graph, x = given(op)
    first, array = next(iter(x.items()))
    place = (0, *[0] * (array.ndim - 2), 1 % array.shape[-1])
    other = array.copy()
    other[place] += 1.5
    return set(zip(*np.nonzero(run(graph, x) != run(graph, {**x, first: other})), strict=True)), place


@pytest.mark.parametrize("op", [op for op in CLAIMS if OPS[op].elementwise])
def test_an_elementwise_output_depends_on_the_number_in_its_place_alone(op):
    changed, place = places_that_change(op)
    assert changed <= {place}


@pytest.mark.parametrize("op", ["softmax", "lrn", "linear"])
def test_the_judge_of_elementwise_operators_can_say_no(op):
    changed, place = places_that_change(op)
    assert not changed <= {place}


@pytest.mark.parametrize("op", [op for op in CLAIMS if OPS[op].homogeneous])
def test_a_homogeneous_operator_scales_with_its_input(op):
    graph, x = given(op)
    scaled = {name: array * np.float32(4) for name, array in x.items()}
    np.testing.assert_array_equal(run(graph, scaled), 4 * run(graph, x))


@pytest.mark.parametrize("op", ["sigmoid", "clip", "hard_swish", "lrn"])
def test_the_judge_of_homogeneity_can_say_no(op):
    graph, x = given(op)
    assert not np.array_equal(run(graph, {name: 4 * array for name, array in x.items()}), 4 * run(graph, x))


@pytest.mark.parametrize("op", [op for op in CLAIMS if OPS[op].moves_data])
def test_what_moves_data_makes_no_new_number(op):
    graph, x = given(op)
    there = {0.0, -np.inf, *np.concatenate([array.ravel() for array in x.values()]).tolist()}
    assert set(run(graph, x).ravel().tolist()) <= there


@pytest.mark.parametrize("op", [op for op in CLAIMS if OPS[op].clamp is not None])
def test_a_clamp_is_numpy_s(op):
    graph, x = given(op)
    (array,) = x.values()
    np.testing.assert_array_equal(run(graph, x), np.clip(array, *OPS[op].clamp(graph.nodes[0].attrs)))


@pytest.mark.parametrize("op", [op for op in CLAIMS if OPS[op].channels is not None])
def test_channels_come_from_where_the_row_says(op):
    """Inputs that are one number per channel give outputs that are these numbers, or functions of them, in places."""
    graph, x = given(op)
    node, spec = graph.nodes[0], OPS[op]
    sources = spec.channels(node.attrs, list(graph.inputs.values()))
    assert sources.shape == graph.shapes[node.name][-1:]
    total = sum(shape[-1] for shape in graph.inputs.values())
    for channel in range(total):
        changed, at = dict(x), 0
        for name, array in x.items():
            mark = np.zeros(array.shape[-1], np.float32)
            if at <= channel < at + len(mark):
                mark[channel - at] = 1e3
            changed[name], at = array + mark, at + len(mark)
        differs = (run(graph, changed) != run(graph, x)).reshape(-1, len(sources)).any(0)
        np.testing.assert_array_equal(differs & (sources != channel), False)
    numbers = [np.arange(1, shape[-1] + 1) for shape in graph.inputs.values()]
    held = carried(sources, numbers)
    assert ((held == 0) == (sources < 0)).all()


def test_layers_are_those_whose_weight_has_both_axes():
    assert LAYERS == {"conv2d": (0, 1), "linear": (0, 1), "conv_transpose2d": (1, 0)}
    for op in LAYERS:
        graph = FIRST[op]
        out, into = OPS[op].weight_axes
        weight = graph.weights[graph.nodes[0].weights["weight"]]
        groups = graph.nodes[0].attrs.get("groups", 1)
        channels = next(iter(graph.inputs.values()))[-1], graph.shapes[graph.nodes[0].name][-1]
        assert weight.shape[into] * (groups if op == "conv2d" else 1) == channels[0]
        assert weight.shape[out] * (groups if op == "conv_transpose2d" else 1) == channels[1]


def test_numbers_in_the_file_are_unique():
    numbers = [spec.number for spec in OPS.values()]
    assert len(set(numbers)) == len(numbers)
    assert set(CLAIMS) == set(OPS) - set(INTEGER_OPS)
