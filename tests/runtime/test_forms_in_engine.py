"""Weights in every form, zeros in every pattern, on every instruction set."""

import numpy as np
import pytest

from paring.forms import FORMS, Codebook, Dense, Hashed, Integer, Product, Sparse
from paring.graph import Graph, Node
from paring.runtime import Engine, reference
from paring.runtime._engine import ISAS
from tests.runtime.cases import rand, single


def codebook(shape, centroids, zeros, seed=0, bits=32):
    random = np.random.default_rng(seed)
    values = np.unique(random.standard_normal(centroids).astype(np.float16 if bits == 16 else np.float32))
    values = values[values != 0]
    indices = random.integers(1, len(values) + 1, shape) if len(values) else np.zeros(shape, np.uint8)
    return Codebook(values, np.where(random.random(shape) < zeros, 0, indices), bits)


def weight_forms(shape):
    """Name to form."""
    dense = rand(9, *shape)
    thinned = np.where(rand(8, *shape) > 0.8, dense, 0)
    rows = thinned.copy()
    rows[::3] = 0
    columns = thinned.copy()
    columns[:, 1::2] = 0
    one = np.zeros(shape, np.float32)
    one[tuple(s // 2 for s in shape)] = 2.5
    full_row = np.where(rand(7, *shape) > 1.5, dense, 0)
    full_row[-1] = dense[-1]
    return {
        "dense 32": Dense(dense),
        "dense 16": Dense(dense, 16),
        "sparse": Sparse.from_dense(thinned),
        "sparse 16": Sparse.from_dense(thinned, 16),
        "sparse that keeps zeros": Sparse(np.ones(shape, np.uint8), thinned.ravel()),
        "zero rows": Sparse.from_dense(rows),
        "dead inputs": Sparse.from_dense(columns),
        "one full row": Sparse.from_dense(full_row),
        "one weight": Sparse.from_dense(one),
        "nothing": Sparse.from_dense(np.zeros(shape, np.float32)),
        "codebook of 4": codebook(shape, 4, 0.7),
        "codebook of 32": codebook(shape, 32, 0.9),
        "codebook of 33": codebook(shape, 33, 0.9),
        "codebook of 256": codebook(shape, 256, 0.5),
        "codebook of 300": codebook(shape, 300, 0.3, bits=16),
        "codebook without zeros": codebook(shape, 16, 0.0),
        "codebook of nothing": codebook(shape, 0, 1.0),
        "integer of 8 bits": Integer.from_dense(dense, np.linspace(0.01, 0.03, shape[0])),
        "integer of 4 bits": Integer.from_dense(thinned, [0.3], 4),
        "product of two stages": Product(
            rand(5, 2, shape[1], 5, 1), np.random.default_rng(2).integers(0, 5, (2, *shape))
        ),
        "hashed": Hashed(shape, rand(4, shape[0]), seed=9, bits=16),
        "integer of 1 bit": Integer.from_dense(dense, np.linspace(0.5, 1, shape[0]), 1),
    }


def test_every_form_is_here():
    assert {form.kind for form in weight_forms((4, 3)).values()} == set(FORMS)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", weight_forms((1, 1)))
def test_form(name, isa):
    conv = weight_forms((21, 18, 3, 3))[name]
    linear = weight_forms((70, 150))[name]
    cases = [
        (single("conv2d", (9, 8, 18), {"padding": (1, 1, 1, 1)}, {"weight": conv, "bias": rand(3, 21)}), (1, 2)),
        (single("conv2d", (9, 8, 18), {"stride": (2, 2)}, {"weight": conv}), (1,)),
        (single("linear", (150,), weights={"weight": linear, "bias": rand(3, 70)}), (1, 7, 8, 40)),
    ]
    for graph, batches in cases:
        for batch in batches:
            x = rand(batch, batch, *graph.inputs["x"])
            expected = reference.run(graph, x)
            results = [Engine(graph, isa=isa, sparse=sparse).run(x) for sparse in ("auto", "always", "never")]
            for found in results:
                np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("sparse", ["never", "always"])
def test_one_and_many_examples_give_the_same_bits(sparse):
    """One example and a batch take different kernels, which add in the same order."""
    for form in weight_forms((70, 150)).values():
        graph = single("linear", (150,), weights={"weight": form, "bias": rand(3, 70)})
        x = rand(0, 40, 150)
        for isa in ISAS:
            engine = Engine(graph, isa=isa, sparse=sparse)
            whole = engine.run(x)
            np.testing.assert_array_equal(engine.run(x[3:4]), whole[3:4])
            np.testing.assert_array_equal(engine.run(x[5:11]), whole[5:11])


def test_sparse_layers_are_found_by_themselves():
    sparse = single("linear", (800,), weights={"weight": codebook((500, 800), 31, 0.92)})
    dense = single("linear", (800,), weights={"weight": rand(0, 500, 800)})
    assert Engine(sparse).kernels == [("n", "linear sparse")]
    assert Engine(dense).kernels == [("n", "linear gemm")]
    assert Engine(sparse).weight_bytes < Engine(dense).weight_bytes / 2


def test_flattened_maps_reorder_columns_of_every_form():
    for form in weight_forms((13, 3 * 4 * 5)).values():
        nodes = [Node("f", "flatten", ("x",), {"order": "chw"}), Node("n", "linear", ("f",), {}, {"weight": "w"})]
        graph = Graph({"x": (3, 4, 5)}, nodes, ("n",), {"w": form})
        x = rand(0, 2, 3, 4, 5)
        engine = Engine(graph)
        assert len(engine.kernels) == 1
        np.testing.assert_allclose(engine.run(x), reference.run(graph, x), rtol=2e-5, atol=2e-5)
