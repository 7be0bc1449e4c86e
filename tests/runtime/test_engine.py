"""The native engine against the reference interpreter: every operator, every instruction set, any batch and threads."""

import numpy as np
import pytest
from runtime_cases import CASES, inputs_of

from paring.runtime import Engine, info, reference
from paring.runtime._engine import ISAS

AVAILABLE = ISAS[: ISAS.index(info()["best_isa"]) + 1]


def values(result):
    return list(result.values()) if isinstance(result, dict) else [result]


def assert_agrees(graph, x, tolerance=2e-5, **options):
    found = Engine(graph, **options).run(x)
    for a, b in zip(values(reference.run(graph, x)), values(found), strict=True):
        assert b.dtype == np.float32
        assert b.shape == a.shape
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)
    return found


@pytest.mark.parametrize("isa", AVAILABLE)
@pytest.mark.parametrize("name", CASES)
def test_operator(name, isa):
    graph, _ = CASES[name]
    for batch in (1, 3):
        assert_agrees(graph, inputs_of(graph, batch), isa=isa)


@pytest.mark.parametrize("name", CASES)
def test_batch_and_threads_change_no_bit(name):
    graph, _ = CASES[name]
    x = inputs_of(graph, 9)
    one = Engine(graph).run(x)
    part = {k: v[4:5] for k, v in x.items()} if isinstance(x, dict) else x[4:5]
    np.testing.assert_array_equal(Engine(graph).run(part), one[4:5])
    for threads in (2, 3):
        np.testing.assert_array_equal(Engine(graph, threads).run(x), one)
        np.testing.assert_array_equal(Engine(graph, threads).run(part), one[4:5])


@pytest.mark.parametrize("isa", AVAILABLE)
@pytest.mark.parametrize("name", [name for name, (graph, _) in CASES.items() if graph.nodes[0].op in ("conv2d", "linear")])
def test_sparse_operator(name, isa):
    """The sparse kernels take any weight, also one without zeros."""
    graph, _ = CASES[name]
    for batch in (1, 3, 17):
        assert_agrees(graph, inputs_of(graph, batch), isa=isa, sparse="always")
