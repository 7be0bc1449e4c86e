"""Structured pruning: whole channels go until so many MACs are left, and the float network teaches the smaller one.

Channels by the loss's change to first order: Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance estimation for neural
network pruning", CVPR 2019, arXiv 1906.10771. Distillation: Hinton, Vinyals, Dean 2015, arXiv 1503.02531. What is left
is an ordinary dense network, faster everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paring.errors import ArgumentError
from paring.recipes import steps
from paring.recipes._registry import recipe
from paring.recipes.run import RecipeContext
from paring.recipes.steps._base import Step

#: How each optimizer tunes.
_TUNING: dict[str, dict[str, Any]] = {
    "adam": {"lr": 1e-3},
    "sgd": {"lr": 0.05, "optimizer": "sgd", "nesterov": True, "weight_decay": 1e-4},
}


@recipe("fewer channels, half the MACs, taught by the float network")
def slim(
    subject: RecipeContext,
    *,
    macs: float = 0.5,
    layers: str | Sequence[str] | Mapping[str, float] | None = None,
    exclude: Sequence[str] = (),
    score: str = "taylor",
    rounds: int = 1,
    branches: int = 0,
    calibrate: int = 512,
    epochs: int = 15,
    lr: float | None = None,
    optimizer: str = "adam",
    augment: str | None = None,
) -> list[Step]:
    """The steps.

    Args:
        subject: the network and the data.
        macs: share of the MACs that stays.
        layers: pattern to the share of its channels a layer keeps, or patterns alone on layers that keep ``macs`` of
            theirs; the share of MACs is then what comes out.
        exclude: patterns on layers that keep all their channels.
        score: of a channel: ``taylor``, ``l1``, ``l2``, ``bn`` or ``random``.
        rounds: cut and tune so many times, in equal ratios; one where layers are named.
        branches: so many residual branches go first, each time the one whose loss the training images feel least; they
            count towards the MACs. Small networks gain by it what narrow layers cannot give.
        calibrate: training images that ``taylor`` and the choice of branches ask the loss about.
        epochs: of tuning after each cut; 0 for none.
        lr: of tuning; 0.001 if not given, with ``sgd`` 0.05.
        optimizer: ``adam``, or ``sgd`` with Nesterov momentum 0.9 and weight decay 1e-4, which suits networks
            with batch norms that are tuned for long.
        augment: augmentation while tuning.

    Raises:
        ArgumentError: if a number cannot be.
    """
    if not 0 < macs <= 1:
        raise ArgumentError("invalid share of MACs to keep", found=macs, expected="above 0, up to 1")
    if rounds < 1:
        raise ArgumentError("invalid number of rounds", found=rounds, expected="1 or more")
    if rounds > 1 and layers is not None:
        raise ArgumentError(
            "rounds go with a share of MACs", found=f"rounds={rounds} and layers", fix="Name no layers, or one round"
        )
    if branches < 0:
        raise ArgumentError("invalid number of branches", found=branches, expected="0 or more")
    if optimizer not in _TUNING:
        raise ArgumentError("invalid optimizer", found=repr(optimizer), expected=" or ".join(_TUNING))
    settings = dict(_TUNING[optimizer])
    if optimizer == "sgd":  # a large rate from the first step would undo what the cut has left
        settings["warmup"] = min(100, epochs * subject.images // 1000)
    if lr is not None:
        settings["lr"] = lr
    if layers is not None:
        cuts = [steps.prune_channels(subject.targets(layers, macs), exclude=exclude, score=score, calibrate=calibrate)]
    else:
        shares = [macs ** (number / rounds) for number in range(1, rounds + 1)]
        of_now = rounds == 1 and not branches  # else in numbers, for a share would be one of what is left by then
        targets = shares if of_now else [float(int(share * subject.macs)) for share in shares]
        cuts = [
            steps.prune_channels(macs=target, exclude=exclude, score=score, calibrate=calibrate) for target in targets
        ]
    first = [steps.prune_branches(branches=branches, calibrate=calibrate)] if branches else []
    return [*first, *(step for one in cuts for step in (one, *subject.tuning(epochs, augment=augment, **settings)))]
