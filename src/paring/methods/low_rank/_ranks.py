"""Choosing ranks: by energy, by error, by a budget of MACs or parameters, or by variational Bayes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from paring.errors import ArgumentError
from paring.methods.low_rank._chain import Sizes, largest, macs, own_stage, parameters, stages
from paring.methods.low_rank._factors import cp_factors, spatial_matrix
from paring.methods.low_rank._vbmf import vbmf

#: What the number of a target means.
CRITERIA = ("rank", "energy", "error", "macs", "parameters", "vbmf")
#: Halvings of an interval of thresholds, enough to pass every energy of a layer once.
_HALVINGS = 40


def unfoldings(scheme: str, weight: np.ndarray) -> list[np.ndarray]:
    """The matrices of one group's weight ``(o, i, ...)`` whose ranks a scheme cuts, one for each of its ranks."""
    if scheme == "svd":
        return [weight.reshape(len(weight), -1)]
    if scheme == "spatial":
        return [spatial_matrix(weight)]
    return [np.moveaxis(weight, 1, 0).reshape(weight.shape[1], -1), weight.reshape(len(weight), -1)]


def spectra(scheme: str, groups: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Energies by rank, descending, for each of the scheme's ranks: squared singular values, summed over the groups."""
    found = []
    for position, limit in enumerate(largest(scheme, _sizes(groups))):
        energies = np.zeros(limit)
        for weight in groups:
            values = np.linalg.svd(unfoldings(scheme, weight)[position], compute_uv=False)
            count = min(limit, len(values))
            energies[:count] += values[:count] ** 2
        found.append(energies)
    return found


def by_energy(energies: Sequence[np.ndarray], share: float) -> tuple[int, ...]:
    """For each spectrum the least rank that keeps this share of its energy."""
    ranks = []
    for spectrum in energies:
        total = np.cumsum(spectrum)
        wanted = share * total[-1] * (1 - 1e-12)  # all of it must not fail on the last bit
        ranks.append(min(int(np.searchsorted(total, wanted)) + 1, len(spectrum)) if total[-1] > 0 else 1)
    return tuple(ranks)


def by_error(
    scheme: str, groups: Sequence[np.ndarray], energies: Sequence[np.ndarray], error: float
) -> tuple[int, ...]:
    """The ranks of least energy whose relative Frobenius error is at most this.

    One matrix loses exactly the energy left out. Tucker-2 keeps the same share in both unfoldings, and the error of
    projecting on both is measured.
    """
    if scheme != "tucker":
        return by_energy(energies, 1 - error**2)
    bases = [[np.linalg.svd(m, full_matrices=False)[0] for m in unfoldings(scheme, weight)] for weight in groups]
    whole = sum(float((weight**2).sum()) for weight in groups)

    def good(ranks: tuple[int, ...]) -> bool:
        kept = 0.0
        for weight, (into, out) in zip(groups, bases, strict=True):
            core = np.tensordot(np.tensordot(weight, into[:, : ranks[0]], (1, 0)), out[:, : ranks[1]], (0, 0))
            kept += float((core**2).sum())
        return whole - kept <= error**2 * whole + 1e-12 * whole

    return _least(lambda share: by_energy(energies, share), good)


def by_budget(
    scheme: str, s: Sizes, energies: Sequence[np.ndarray], share: float, criterion: str
) -> tuple[int, ...] | None:
    """The largest ranks, the same share of energy kept in each, within a share of the layer's cost; None if none is."""

    def fits(ranks: Sequence[int]) -> bool:
        return cost(scheme, s, ranks, criterion) <= share * _own(s, criterion)

    lowest = (1,) * len(largest(scheme, s))
    if not fits(lowest):
        return None
    if len(energies) == 1:
        return (_last(lambda r: fits((r,)), largest(scheme, s)[0]),)
    low, best = 0.0, lowest
    high = 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        ranks = by_energy(energies, middle)
        if fits(ranks):
            low, best = middle, ranks
        else:
            high = middle
    return best


def cp_rank(groups: Sequence[np.ndarray], s: Sizes, amount: float, criterion: str, seed: int) -> tuple[int, ...] | None:
    """CP has no spectrum: budgets are solved for the rank, an error is searched for by doubling and halving."""
    most = largest("cp", s)[0]
    if criterion in ("macs", "parameters"):
        budget = amount * _own(s, criterion)
        rank = _last(lambda r: cost("cp", s, (r,), criterion) <= budget, most)
        return (rank,) if cost("cp", s, (rank,), criterion) <= budget else None
    allowed = amount**2 if criterion == "error" else 1 - amount
    whole = sum(float((weight**2).sum()) for weight in groups)

    def good(rank: int) -> bool:
        lost = 0.0
        for weight in groups:
            first, vertical, horizontal, last = cp_factors(weight, rank, seed)
            lost += float(((weight - np.einsum("ri,ry,rx,or->oiyx", first, vertical, horizontal, last)) ** 2).sum())
        return lost <= allowed * whole + 1e-12 * whole

    high = 1
    while high < most and not good(high):
        high = min(2 * high, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return (high,)


def by_vbmf(scheme: str, groups: Sequence[np.ndarray]) -> tuple[int, ...]:
    """For each unfolding the rank that variational Bayes finds, the largest over the groups and at least 1."""
    ranks = []
    for position, limit in enumerate(largest(scheme, _sizes(groups))):
        found = max(vbmf(unfoldings(scheme, weight)[position]).rank for weight in groups)
        ranks.append(min(max(found, 1), limit))
    return tuple(ranks)


def cost(scheme: str, s: Sizes, ranks: Sequence[int], criterion: str) -> int:
    """MACs per output position or parameters of the chain."""
    chain = stages(scheme, s, ranks)
    return macs(chain, s.stride) if criterion == "macs" else parameters(chain)


def _own(s: Sizes, criterion: str) -> int:
    return macs([own_stage(s)], s.stride) if criterion == "macs" else parameters([own_stage(s)])


def _least(ranks_of: Callable[[float], tuple[int, ...]], good: Callable[[tuple[int, ...]], bool]) -> tuple[int, ...]:
    low, high, best = 0.0, 1.0, ranks_of(1.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        ranks = ranks_of(middle)
        if good(ranks):
            high, best = middle, ranks
        else:
            low = middle
    return best


def _last(fits: Callable[[int], bool], most: int) -> int:
    """The largest rank that fits, of a cost that grows with the rank; 1 if none does."""
    low, high = 1, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _sizes(groups: Sequence[np.ndarray]) -> Sizes:
    shape = groups[0].shape
    return Sizes(len(groups), shape[0], shape[1], tuple(shape[2:]), (1,) * (len(shape) - 2))


def check_amount(amount: object, criterion: str, where: str) -> None:
    """See that a target fits its criterion.

    Raises:
        ArgumentError: if it does not.
    """
    if criterion not in CRITERIA:
        raise ArgumentError("unknown criterion", found=repr(criterion), expected=" or ".join(CRITERIA))
    if criterion in ("rank", "vbmf"):
        return
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 < amount <= 1:
        raise ArgumentError(f"invalid share of {criterion}", where=where, found=amount, expected="above 0, to 1")
