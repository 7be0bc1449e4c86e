"""The narrowing search against the dynamic program over all values, and against trying everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paring import methods
from paring.errors import ArgumentError
from paring.methods.sharing._exact_kmeans import symbols_between


def cost(values, centroids):
    values = np.sort(np.asarray(values, np.float64))
    edges = np.searchsorted(values, (centroids[1:] + centroids[:-1]) / 2)
    return sum(float(np.square(run - c).sum()) for run, c in zip(np.split(values, edges), centroids, strict=True))


def samples(kind, count):
    rng = np.random.default_rng(count)
    return {
        "normal": lambda: rng.normal(size=count),
        "heavy tails": lambda: rng.standard_t(2, size=count),
        "two humps": lambda: np.concatenate([rng.normal(-5, 1, count // 3), rng.normal(9, 0.1, count - count // 3)]),
        "uniform": lambda: rng.random(count),
        "one far away": lambda: np.concatenate([rng.normal(size=count - 1), [1e4]]),
        "far from zero": lambda: 100 + rng.normal(size=count),
        "repeated": lambda: np.round(rng.normal(size=count), 2),
    }[kind]()


@pytest.mark.parametrize("k", [2, 7, 24])
@pytest.mark.parametrize(
    "kind", ["normal", "heavy tails", "two humps", "uniform", "one far away", "far from zero", "repeated"]
)
def test_narrowing_ends_at_the_optimum(kind, k):
    """So few entries that the grid must be refined; the reference sees every value."""
    values = samples(kind, 6000).astype(np.float32)
    found = methods.sharing.proven_kmeans(values, k, entries=max(8 * k * k, 3000 * k // 2))
    best = cost(values, methods.sharing.exact_kmeans_reference(values, k))
    assert found.cost >= best * (1 - 1e-9)
    assert found.bound <= best * (1 + 1e-9)
    assert cost(values, found.centroids) <= found.cost * (1 + 1e-6)
    if found.bound > found.cost * (1 - 1e-9):
        assert found.cost == pytest.approx(best, rel=1e-9)
    if kind in ("normal", "far from zero", "repeated"):
        assert found.bound > found.cost * (1 - 1e-9)  # these it can prove with so little


@pytest.mark.parametrize("k", [1, 5, 16])
def test_a_hundred_thousand_weights_are_narrowed_to_the_proven_optimum(k):
    values = samples("normal", 200_000).astype(np.float32)
    narrowed, whole = (
        methods.sharing.proven_kmeans(values, k, entries=2000 * k),
        methods.sharing.proven_kmeans(values, k, entries=1 << 22),
    )
    assert narrowed.bound > narrowed.cost * (1 - 1e-9)
    assert narrowed.cost == pytest.approx(whole.cost, rel=1e-9)
    np.testing.assert_allclose(narrowed.centroids, whole.centroids, atol=1e-5)


@settings(deadline=None, max_examples=150)
@given(arrays(np.float32, st.integers(1, 60), elements=st.floats(-8, 8, width=16)), st.integers(1, 9), st.booleans())
def test_any_values(values, k, double):
    values = values.astype(np.float64) if double else values
    expected = methods.sharing.exact_kmeans_reference(values, k)
    found = methods.sharing.proven_kmeans(values, k)
    assert len(found.centroids) == min(k, len(np.unique(values)))
    assert np.all(np.diff(found.centroids) > 0)
    assert cost(values, found.centroids) == pytest.approx(cost(values, expected), rel=1e-9, abs=1e-9)
    assert found.cost == pytest.approx(cost(values, expected), rel=1e-6, abs=1e-6)


def test_the_optimal_distortions_of_a_gaussian():
    """Max, "Quantizing for minimum distortion", IRE Trans. IT 6, 1960, table I."""
    grid = (np.arange(400_000) + 0.5) / 400_000
    from scipy.stats import norm

    values = norm.ppf(grid).astype(np.float32)
    for k, distortion in ((2, 0.3634), (4, 0.1175), (8, 0.03454), (16, 0.009497)):
        assert methods.sharing.proven_kmeans(values, k).cost / len(values) == pytest.approx(distortion, rel=2e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_symbols_are_numpys(dtype):
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(size=200_000), [0.5, -0.25]]).astype(dtype)
    edges = np.sort(np.concatenate([rng.normal(size=30), [0.5, -0.25, -0.25]]))
    np.testing.assert_array_equal(symbols_between(values, edges), np.searchsorted(edges, values))
    assert not symbols_between(values, np.zeros(0)).any()


@pytest.mark.parametrize(
    ("values", "k", "says"),
    [
        (np.zeros(0), 2, "nothing to cluster"),
        (np.array([1.0, np.nan]), 2, "not finite"),
        (np.array([1.0, 2.0]), 0, "centroids"),
        (np.arange(1e6), 60_000, "memory"),
    ],
)
def test_what_cannot_be_clustered(values, k, says):
    with pytest.raises(ArgumentError, match=says):
        methods.sharing.proven_kmeans(values, k, entries=1 << 20)
