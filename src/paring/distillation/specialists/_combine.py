"""Putting the generalist's answer and the specialists' together.

Hinton, Vinyals, Dean 2015, arXiv 1503.02531, section 5.4. For one image, the generalist says ``p_g`` over all classes
and specialist m says ``p_m`` over its classes S_m and a dustbin. The combined answer q minimizes

    KL(p_g || q) + sum over active m of KL(p_m || q_m),     q_m = q on S_m, and the sum of q outside S_m for the dustbin

over the simplex. Up to a constant this is ``F(q) = - sum_i a_i log q_i - sum_m d_m log Q_m`` with ``a_i = p_g,i + sum
over m with i in S_m of p_m,i``, the dustbin's mass ``d_m``, and ``Q_m = sum over i not in S_m of q_i``: convex, since
it is minus the log of linear forms, so a minimum is the minimum.

The paper follows the gradient of the logits of q, image by image. Here the dustbin's mass is split among the classes it
stands for in proportion to the present q, and q set to the mean of the M = 1 + (active specialists) distributions:

    q_i  <-  (a_i + q_i sum over m with i not in S_m of d_m / Q_m) / M

Jensen's inequality (the log of a sum is above the split's mean log) makes this a majorize-minimize step, the EM
algorithm for grouped counts: F falls in every step and, from a start inside the simplex, to the minimum. With ``r_i``
the bracket over ``q_i``, ``-r_i`` is the slope of F by q_i and ``sum_i q_i r_i = M``, so convexity gives

    F(q) - min F  <=  max_i r_i - M,

which is the stopping rule: it costs nothing, and it bounds the error of what is given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import NamedTuple

import torch
from torch import Tensor

from paring.distillation.specialists._network import check_classes
from paring.errors import ArgumentError

#: The share of a uniform distribution in the first q, so that it starts inside the simplex.
_INTERIOR = 1e-9


class Combination(NamedTuple):
    """Combined answers.

    Attributes:
        probabilities: float64 ``(N, C)``, the minimizer for each image, to within its gap.
        gap: float64 ``(N,)``, the most by which each image's sum of divergences is above the least possible, in nats.
        steps: iterations that the slowest image took.
    """

    probabilities: Tensor
    gap: Tensor
    steps: int


def dustbin_correction(counts: Sequence[int], classes: Sequence[int], share: float = 0.5) -> float:
    """What to add to a specialist's dustbin logit after training, because the dustbin was sampled too seldom.

    A network fitted by cross-entropy to a sample with class frequencies ``s_k`` answers ``p(k | x) ~ p(x | k) s_k``.
    Where classes truly come at ``t_k``, Bayes' rule asks for ``log(t_k / s_k)`` more on each logit. Within the
    specialist's classes the sample keeps their proportions, so their corrections are equal, and logits may all be
    moved by the same amount; what is left falls on the dustbin:

        log( T / (1 - T) * (1 - share) / share ),   T the true share of the classes outside

    the log of the ratio of the true odds of the dustbin to its odds in the sample. The sum over classes outside needs
    nothing of its own: the dustbin is their mixture in the sample as in truth.

    Args:
        counts: images of each class where the network will be used, or any numbers in proportion.
        classes: the specialist's.
        share: of dustbin images in its training batches.

    Raises:
        ArgumentError: if a share is 0 or 1.
    """
    inside = check_classes(classes, len(counts))
    own = float(sum(counts[c] for c in inside))
    rest = float(sum(counts)) - own
    if not 0 < share < 1 or own <= 0 or rest <= 0:
        raise ArgumentError(
            "the dustbin cannot be corrected", found=f"share {share}, {own:g} images inside, {rest:g} outside"
        )
    return log(rest / own * (1 - share) / share)


def active_specialists(generalist: Tensor, classes: Sequence[Sequence[int]], top: int = 1) -> Tensor:
    """Which specialists have one of the generalist's ``top`` best classes, bool ``(N, K)``.

    Args:
        generalist: ``(N, C)`` probabilities or logits.
        classes: of each of the K specialists.
        top: the paper's n.

    Raises:
        ArgumentError: if ``top`` or a class cannot be.
    """
    if not 1 <= top <= generalist.shape[1]:
        raise ArgumentError("invalid number of best classes", found=top, expected=f"1 to {generalist.shape[1]}")
    members = ~_outside(classes, generalist.shape[1], generalist.device)
    return members[:, generalist.topk(top, 1).indices].any(2).T


@torch.no_grad()
def combine(
    generalist: Tensor,
    specialists: Sequence[Tensor],
    classes: Sequence[Sequence[int]],
    active: Tensor,
    *,
    tolerance: float = 1e-9,
    limit: int = 10_000,
) -> Combination:
    """The q of every image that minimizes the sum of the divergences; all images at once, in float64.

    Args:
        generalist: ``(N, C)`` probabilities.
        specialists: for each of the K, ``(N, m + 1)`` probabilities, the dustbin last, corrected; rows of images for
            which it is not active are not read.
        classes: of each specialist, in the order of its columns.
        active: bool ``(N, K)``, from :func:`active_specialists`.
        tolerance: images are done when their gap is at most this, in nats.
        limit: most iterations; images that reach it come back with the gap they have.

    Raises:
        ArgumentError: if shapes do not fit or a row is no distribution.
    """
    count = generalist.shape[1]
    outside = _outside(classes, count, generalist.device).double()
    if active.shape != (len(generalist), len(classes)) or len(specialists) != len(classes):
        raise ArgumentError(
            "specialists and activity do not fit together",
            found=f"{len(specialists)} answers, {len(classes)} sets of classes, activity {tuple(active.shape)}",
        )
    fixed = _distributions(generalist, "generalist", (len(generalist), count))
    q = fixed * (1 - _INTERIOR) + _INTERIOR / count
    dustbin = fixed.new_zeros(active.shape)
    for number, (answers, own) in enumerate(zip(specialists, classes, strict=True)):
        on = active[:, number]
        rows = _distributions(answers[on], f"specialist {number + 1}", (int(on.sum()), len(own) + 1))
        place = torch.nonzero(on)
        fixed[place, torch.tensor(own, device=fixed.device)] += rows[:, :-1]
        dustbin[on, number] = rows[:, -1]
    return _minimized(fixed, dustbin, 1.0 + active.sum(1, keepdim=True), outside, q, tolerance, limit)


def _minimized(
    fixed: Tensor, dustbin: Tensor, total: Tensor, outside: Tensor, q: Tensor, tolerance: float, limit: int
) -> Combination:
    """The iteration; images that are done drop out of it."""
    result, gaps, steps = q.clone(), q.new_zeros(len(q)), 0
    todo = torch.arange(len(q), device=q.device)
    while len(todo):
        steps += 1
        pull = torch.where(dustbin > 0, dustbin / (q @ outside.T), 0.0)
        following = (fixed + q * (pull @ outside)) / total
        gap = ((following / q).nan_to_num(0.0).amax(1) - 1) * total[:, 0]
        done = (gap <= tolerance) | (steps >= limit)
        if bool(done.any()):
            result[todo[done]], gaps[todo[done]] = q[done], gap[done]
            todo, fixed, dustbin, total, following = (v[~done] for v in (todo, fixed, dustbin, total, following))
        q = following
    return Combination(result, gaps.clamp_min(0.0), steps)


def _outside(classes: Sequence[Sequence[int]], count: int, device: torch.device) -> Tensor:
    """bool ``(K, C)``: the classes each specialist's dustbin stands for."""
    mask = torch.ones(len(classes), count, dtype=torch.bool, device=device)
    for number, own in enumerate(classes):
        mask[number, check_classes(own, count)] = False
    return mask


def _distributions(rows: Tensor, who: str, shape: tuple[int, int]) -> Tensor:
    if tuple(rows.shape) != shape:
        raise ArgumentError("probabilities cannot have this shape", where=who, found=tuple(rows.shape), expected=shape)
    rows = rows.double()
    total = rows.sum(1, keepdim=True)
    if not bool((rows >= 0).all() & ((total - 1).abs() < 1e-3).all()):
        raise ArgumentError("a row is no distribution", where=who, expected="rows that are positive and sum to 1")
    return rows / total
