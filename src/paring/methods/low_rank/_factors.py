"""A weight as a product of smaller ones: pure functions on float64 arrays, one group of a layer at a time.

svd       W[o, n]       ~ sum_r second[o, r] first[r, n]
spatial   W[o, i, y, x] ~ sum_k horizontal[o, k, x] vertical[k, i, y]                Jaderberg et al. 2014, scheme 2
tucker    W[o, i, ...]  ~ sum_pq last[o, q] core[q, p, ...] first[p, i]              Kim et al. 2015, Tucker-2
cp        W[o, i, y, x] ~ sum_r last[o, r] horizontal[r, x] vertical[r, y] first[r, i]        Lebedev et al. 2014
"""

from __future__ import annotations

import numpy as np

#: Sweeps of the alternating methods, and what a sweep must gain (share of the weight's energy) for another one.
_SWEEPS, _GAIN = 500, 1e-8
#: Tikhonov term of CP's least squares, against the largest diagonal entry; keeps diverging components finite.
_RIDGE = 1e-9
_CP_STARTS = 2


def svd_factors(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The closest product of this rank (Eckart, Young 1936): first ``(rank, n)``, second ``(o, rank)``, equally long.

    Args:
        matrix: ``(o, n)``.
        rank: 1 to ``min(o, n)``.
    """
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(values[:rank])
    return root[:, None] * right[:rank], left[:, :rank] * root


def response_factors(matrix: np.ndarray, covariance: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The product of this rank whose *answers* are closest (Zhang, Zou, He, Sun 2016, arXiv 1505.06798, section 3.1).

    With the answers' covariance ``V = U diag(l) U^T`` and U_r the first columns of U, ``U_r U_r^T W`` minimizes
    ``E |(W - W')(x - E x)|^2`` over all W' of rank r; what is lost is the sum of the other eigenvalues.

    Args:
        matrix: ``(o, n)``.
        covariance: ``(o, o)``, of ``W x`` over calibration data.
        rank: 1 to ``min(o, n)``.

    Returns:
        first ``(rank, n)`` and second ``(o, rank)``, each component's two vectors equally long.
    """
    basis = np.linalg.eigh(covariance)[1][:, ::-1][:, :rank]
    first = basis.T @ matrix
    root = np.sqrt(np.maximum(np.linalg.norm(first, axis=1), 1e-150))
    return first / root[:, None], basis * root


def spatial_factors(weight: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertical ``(rank, i, kh)`` and horizontal ``(o, rank, kw)``, the closest pair of this rank.

    The double sum is a matrix product once (i, y) are its rows and (o, x) its columns, so its SVD is the optimum.

    Args:
        weight: ``(o, i, kh, kw)``.
        rank: 1 to ``min(i kh, o kw)``.
    """
    out, into, high, wide = weight.shape
    first, second = svd_factors(spatial_matrix(weight).T, rank)  # (rank, i kh), (o kw, rank)
    return first.reshape(rank, into, high), second.reshape(out, wide, rank).transpose(0, 2, 1)


def spatial_matrix(weight: np.ndarray) -> np.ndarray:
    """``(i kh, o kw)``, the matrix whose rank is the number of maps between a vertical and a horizontal convolution."""
    out, into, high, wide = weight.shape
    return weight.transpose(1, 2, 0, 3).reshape(into * high, out * wide)


def tucker_factors(weight: np.ndarray, ranks: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tucker-2: first ``(p, i)`` and last ``(o, q)`` with orthonormal rows and columns, and the core ``(q, p, ...)``.

    Starts from the singular vectors of both unfoldings (HOSVD) and improves one side given the other (HOOI) until a
    sweep gains nothing.

    Args:
        weight: ``(o, i, ...)``.
        ranks: p, q; at most i and o.
    """
    p, q = ranks
    into = _leading(np.moveaxis(weight, 1, 0), p)
    out = _leading(weight, q)
    energy, before = float((weight**2).sum()), -1.0
    for _ in range(_SWEEPS):
        out = _leading(np.tensordot(weight, into, (1, 0)), q)
        into = _leading(np.tensordot(weight, out, (0, 0)), p)  # (i, ..., q)
        core = np.moveaxis(np.tensordot(np.tensordot(weight, into, (1, 0)), out, (0, 0)), (-1, -2), (0, 1))
        now = float((core**2).sum())
        if now - before <= _GAIN * energy:
            break
        before = now
    return into.T, core, out


def _leading(tensor: np.ndarray, rank: int) -> np.ndarray:
    """The first left singular vectors of a tensor unfolded along its first axis, ``(n, rank)``."""
    rows = tensor.reshape(len(tensor), -1)
    return np.linalg.eigh(rows @ rows.T)[1][:, ::-1][:, :rank]


def cp_factors(weight: np.ndarray, rank: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """CP by alternating least squares: first ``(r, i)``, vertical ``(r, kh)``, horizontal ``(r, kw)``, last ``(o, r)``.

    Every factor in turn solves its linear least-squares problem with the others fixed, so the error never rises; the
    better of two starts (singular vectors where there are enough, normal noise) is kept. Unlike the SVD this need not
    be the optimum: none may exist, and components may grow while they cancel. A slight ridge keeps them finite and each
    component's length is spread evenly over its four vectors.

    Args:
        weight: ``(o, i, kh, kw)``.
        rank: at least 1.
        seed: of the starts.
    """
    random = np.random.default_rng(seed)
    energy = float((weight**2).sum())
    best: list[np.ndarray] = []
    least = np.inf
    for start in range(_CP_STARTS):
        factors = [random.normal(size=(n, rank)) for n in weight.shape]
        if not start:
            for axis, factor in enumerate(factors):
                count = min(rank, weight.shape[axis])
                factor[:, :count] = _leading(np.moveaxis(weight, axis, 0), count)
        error = _alternate(weight, factors, energy)
        if error < least * (1 - 1e-9):
            best, least = factors, error
        if least <= 1e-12:
            break
    lengths = np.prod([np.linalg.norm(factor, axis=0) for factor in best], axis=0) ** 0.25
    out, into, high, wide = (factor / np.maximum(np.linalg.norm(factor, axis=0), 1e-150) * lengths for factor in best)
    return into.T, high.T, wide.T, out


def _alternate(weight: np.ndarray, factors: list[np.ndarray], energy: float) -> float:
    """Sweeps of least squares, in place; the squared error as a share of the energy."""
    before = np.inf
    unfolded = [np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1) for axis in range(4)]
    for _ in range(_SWEEPS):
        for axis in range(4):
            a, b, c = (factors[other] for other in range(4) if other != axis)
            gram = (a.T @ a) * (b.T @ b) * (c.T @ c)
            rank = a.shape[1]
            tails = (b[:, None] * c[None]).reshape(-1, rank)
            moved = unfolded[axis] @ (a[:, None] * tails[None]).reshape(-1, rank)
            gram[np.diag_indices_from(gram)] += _RIDGE * max(float(np.diag(gram).max()), 1e-300)
            factors[axis] = np.linalg.solve(gram, moved.T).T
            if axis < 3:  # the last keeps the lengths
                factors[axis] /= np.maximum(np.linalg.norm(factors[axis], axis=0), 1e-150)
        fitted = (factors[3].T @ factors[3]) * np.prod([factors[o].T @ factors[o] for o in range(3)], axis=0)
        error = max(energy - 2 * float((moved * factors[3]).sum()) + float(fitted.sum()), 0.0) / max(energy, 1e-300)
        if before - error <= _GAIN:
            break
        before = error
    return min(error, before)
