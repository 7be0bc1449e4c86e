import numpy as np
import pytest

from paring import methods
from paring.errors import ArgumentError


def noisy(shape, rank, strength, noise, seed=0):
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.normal(size=(shape[0], rank)))
    right, _ = np.linalg.qr(rng.normal(size=(shape[1], rank)))
    values = strength * noise * np.sqrt(max(shape)) * np.linspace(1.5, 1, rank)
    return left * values @ right.T + noise * rng.normal(size=shape)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("shape", "rank"), [((40, 90), 5), ((90, 40), 12), ((64, 64), 3), ((20, 400), 1)])
def test_rank_and_noise_are_found(shape, rank, seed):
    found = methods.low_rank.vbmf(noisy(shape, rank, 4.0, 0.3, seed))
    assert found.rank == rank == len(found.values)
    assert found.noise == pytest.approx(0.3**2, rel=0.15)


@pytest.mark.parametrize("seed", range(4))
def test_noise_alone_has_no_rank(seed):
    found = methods.low_rank.vbmf(np.random.default_rng(seed).normal(size=(50, 80)))
    assert found.rank == 0
    assert found.noise == pytest.approx(1, rel=0.1)


def iterated(matrix, noise, steps=4000):
    """Empirical variational Bayes as its authors' update rules have it, from the SVD, until it stands still."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    count, (rows, columns) = len(values), matrix.shape
    a, b = right.T * np.sqrt(values), left * np.sqrt(values)
    prior_a, prior_b = np.ones(count), np.ones(count)
    spread_a, spread_b = np.eye(count) * 0.01, np.eye(count) * 0.01
    for _ in range(steps):
        spread_a = noise * np.linalg.inv(b.T @ b + rows * spread_b + noise * np.diag(1 / prior_a))
        a = matrix.T @ b @ spread_a / noise
        spread_b = noise * np.linalg.inv(a.T @ a + columns * spread_a + noise * np.diag(1 / prior_b))
        b = matrix @ a @ spread_b / noise
        prior_a = np.maximum((a**2).sum(0) / columns + np.diag(spread_a), 1e-12)
        prior_b = np.maximum((b**2).sum(0) / rows + np.diag(spread_b), 1e-12)
    return np.linalg.svd(b @ a.T, compute_uv=False)


def test_the_analytic_answer_is_where_the_iteration_ends():
    matrix = noisy((12, 30), 3, 3.0, 0.5, seed=4)
    found = methods.low_rank.vbmf(matrix, noise=0.25)
    wanted = iterated(matrix, 0.25)
    assert found.rank == 3
    np.testing.assert_allclose(wanted[:3], found.values, rtol=1e-6)
    np.testing.assert_allclose(wanted[3:], 0, atol=1e-4)


def test_edges():
    assert methods.low_rank.vbmf(np.zeros((3, 5))).rank == 0
    exact = np.outer(np.arange(1.0, 9), np.ones(20))
    assert methods.low_rank.vbmf(exact).rank == 1
    transposed = methods.low_rank.vbmf(noisy((30, 12), 3, 3.0, 0.5).T)
    assert transposed.rank == methods.low_rank.vbmf(noisy((30, 12), 3, 3.0, 0.5)).rank
    for wrong in (np.ones(3), np.full((2, 2), np.inf), np.zeros((0, 3))):
        with pytest.raises(ArgumentError, match="rank"):
            methods.low_rank.vbmf(wrong)
