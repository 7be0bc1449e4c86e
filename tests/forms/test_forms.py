"""Forms: exact values, canonical codebooks, refusal of arrays that break a rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paring.errors import FormatError
from paring.forms import FORMS, Codebook, Dense, Form, Hashed, Integer, Product, Sparse, symbol_dtype

RNG = np.random.default_rng(20151)


def examples() -> list[Form]:
    weight = RNG.normal(size=(6, 4, 3, 3)).astype(np.float32)
    weight[np.abs(weight) < 1] = 0
    values = np.array([0.5, 0.0, -1.25, 0.5, 3.0], np.float32)
    return [
        Dense(weight),
        Dense(np.float32(3.5)),
        Dense(weight, bits=16),
        Sparse.from_dense(weight),
        Sparse.from_dense(np.zeros((3, 2))),
        Sparse.from_dense(weight, bits=16),
        Codebook.from_assignment(values, RNG.integers(0, 5, (7, 9))),
        Codebook.from_assignment(values, RNG.integers(0, 5, (7, 9)), bits=16),
        Codebook(np.zeros(0), np.zeros((2, 2), int)),
        Integer.from_dense(weight, [0.02, 0.03, 0.02, 0.03, 0.02, 0.01]),
        Integer.from_dense(weight, [0.5, 0.25, 0.5, 1], 3, axis=1),
        Integer.from_dense(weight, [1.0], 1),
        Product(RNG.normal(size=(2, 2, 5, 2)), RNG.integers(0, 5, (2, 6, 2, 3, 3))),
        Product(RNG.normal(size=(1, 3, 300, 3)), RNG.integers(0, 300, (1, 7, 3)), bits=16),
        Hashed((6, 4, 3, 3), RNG.normal(size=20), seed=(1 << 32) - 1),
        Hashed((5,), RNG.normal(size=2), bits=16),
    ]


@pytest.mark.parametrize("form", examples(), ids=repr)
def test_parts_rebuild_the_form_bit_for_bit(form):
    again = FORMS[form.kind].from_arrays(form.shape, form.params(), form.arrays())
    assert again.equals(form)
    assert again.dense().tobytes() == form.dense().tobytes()
    assert form.nonzeros == np.count_nonzero(form.dense())


@pytest.mark.parametrize("form", examples(), ids=repr)
def test_specs_foretell_every_stream(form):
    for stream in form.streams():
        assert stream.values.shape == stream.spec.shape
        assert stream.values.dtype == stream.spec.dtype
        assert stream.spec.count == stream.values.size
        if stream.spec.alphabet and stream.values.size:
            assert stream.values.max() < stream.spec.alphabet


def test_forms_are_immutable_and_own_their_arrays():
    weight = np.ones((2, 2), np.float32)
    form = Dense(weight)
    weight[0, 0] = 5
    assert form.dense()[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        form.arrays()["values"][0, 0] = 2
    form.dense()[0, 0] = 7
    assert form.dense()[0, 0] == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_assignment_becomes_the_one_canonical_codebook(data):
    values = data.draw(st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 1e-3]), min_size=1, max_size=8))
    indices = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=20))
    values, indices = np.array(values, np.float32), np.array(indices)
    form = Codebook.from_assignment(values, indices)
    np.testing.assert_array_equal(form.dense(), values[indices])
    order = data.draw(st.permutations(range(len(values))))
    inverse = np.argsort(order)
    assert Codebook.from_assignment(values[list(order)], inverse[indices]).equals(form)
    assert len(form.centroids) == len(np.unique(form.dense()[form.dense() != 0]))


def test_sixteen_bit_codebook_merges_values_that_round_together():
    form = Codebook.from_assignment(np.array([1.0, 1.0 + 2**-12]), np.array([0, 1]), bits=16)
    assert form.centroids.tolist() == [1.0]
    assert form.indices.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Dense(np.ones((0, 3))), "empty axis"),
        (lambda: Dense(np.ones(3), bits=8), "width"),
        (lambda: Dense(np.array([1e6]), bits=16), "overflows"),
        (lambda: Dense(np.ones((1,) * 9)), "axes"),
        (lambda: Sparse(np.array([1, 0]), np.array([1.0, 2.0])), "shape"),
        (lambda: Sparse(np.array([2, 0]), np.array([1.0])), "mask"),
        (lambda: Codebook(np.array([1.0, 0.5]), np.zeros((2, 2), int)), "ascending"),
        (lambda: Codebook(np.array([0.0, 0.5]), np.zeros((2, 2), int)), "zero"),
        (lambda: Codebook(np.array([np.nan]), np.zeros((2, 2), int)), "finite"),
        (lambda: Codebook(np.array([1.0]), np.full((2, 2), 2)), "range"),
        (lambda: Codebook(np.array([1.0]), np.full((2, 2), -1)), "range"),
        (lambda: Codebook.specs((2,), {"bits": 32, "centroids": 70000}), "too many"),
        (lambda: Sparse.specs((2,), {"bits": 32, "kept": 3}), "keeps more"),
        (lambda: Dense.specs((2,), {"width": 32}), "parameters"),
        (
            lambda: Sparse.from_arrays((2,), {"bits": 32, "kept": 2}, {"mask": np.ones(2), "values": np.ones(1)}),
            "shape",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused(make, says):
    with pytest.raises(FormatError, match=says):
        make()


def test_symbol_type_is_the_smallest_that_fits():
    assert [symbol_dtype(n) for n in (2, 256, 257, 65536, 65537)] == [
        np.uint8,
        np.uint8,
        np.uint16,
        np.uint16,
        np.uint32,
    ]
