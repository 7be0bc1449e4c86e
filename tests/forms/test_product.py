"""Product codes, weight by weight."""

import numpy as np
import pytest

from paring.errors import FormatError
from paring.forms import Product

RNG = np.random.default_rng(1412)


@pytest.mark.parametrize("places", [(), (3,), (2, 3)])
@pytest.mark.parametrize(("stages", "length", "bits"), [(1, 1, 32), (1, 4, 16), (3, 2, 32), (2, 8, 16)])
def test_every_weight_is_the_sum_of_its_centroids(places, stages, length, bits):
    out, spaces, k = 5, 8 // length, 6
    books = RNG.normal(size=(stages, spaces, k, length)).astype(np.float32)
    codes = RNG.integers(0, k, (stages, out, spaces, *places))
    form = Product(books, codes, bits)
    dense = form.dense()
    stored = books.astype(np.float16).astype(np.float32) if bits == 16 else books
    assert form.shape == dense.shape == (out, 8, *places)
    for o, i, *place in np.ndindex(dense.shape):
        m, t = divmod(i, length)
        value = np.float32(0)
        for stage in range(stages):
            value = value + stored[stage, m, codes[(stage, o, m, *place)], t]
        assert dense[(o, i, *place)] == value
    assert form.params() == {"bits": bits, "length": length, "centroids": k, "stages": stages}
    assert form.streams()[1].values.shape == (stages * out, spaces, *places)


@pytest.mark.parametrize(
    ("books", "codes", "says"),
    [
        (np.ones((1, 2, 3, 2)), np.full((1, 4, 2), 3), "range"),
        (np.ones((1, 2, 3, 2)), np.full((1, 4, 2), -1), "range"),
        (np.ones((1, 2, 3, 2)), np.zeros((2, 4, 2), int), "fit"),
        (np.ones((1, 2, 3, 2)), np.zeros((1, 4, 3), int), "fit"),
        (np.full((1, 2, 3, 2), np.inf), np.zeros((1, 4, 2), int), "finite"),
        (np.ones((17, 2, 3, 2)), np.zeros((17, 4, 2), int), "stages"),
    ],
)
def test_what_breaks_a_rule_is_refused(books, codes, says):
    with pytest.raises(FormatError, match=says):
        Product(books, codes)


def test_a_centroid_that_overflows_half_precision_is_refused():
    with pytest.raises(FormatError, match="finite"):
        Product(np.full((1, 1, 1, 2), 1e6), np.zeros((1, 3, 1), int), bits=16)
