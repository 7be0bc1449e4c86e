"""Structured pruning: whole channels go until so many MACs are left, and the float network teaches the smaller one.

Channels by the loss's change to first order: Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance estimation for neural
network pruning", CVPR 2019, arXiv 1906.10771. Distillation: Hinton, Vinyals, Dean 2015, arXiv 1503.02531. What is left
is an ordinary dense network, faster everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paring.errors import ArgumentError
from paring.recipes._steps import Step
from paring.recipes._structure_steps import cut
from paring.recipes._subject import Subject


def slim(
    subject: Subject,
    *,
    keep: float = 0.5,
    layers: str | Sequence[str] | Mapping[str, float] | None = None,
    spare: Sequence[str] = (),
    score: str = "taylor",
    rounds: int = 1,
    calibrate: int = 512,
    epochs: int = 15,
    rate: float = 1e-3,
    augment: str | None = None,
) -> list[Step]:
    """The steps.

    Args:
        subject: the network and the data.
        keep: share of the MACs that stays.
        layers: pattern to the share of its channels a layer keeps, or patterns alone on layers that keep ``keep`` of
            theirs; the share of MACs is then what comes out.
        spare: patterns on layers that keep all their channels.
        score: of a channel: ``taylor``, ``l1``, ``l2``, ``bn`` or ``random``.
        rounds: cut and tune so many times, in equal ratios.
        calibrate: training images that ``taylor`` asks the loss about.
        epochs: of tuning after each cut; 0 for none.
        rate: of tuning.
        augment: augmentation while tuning.

    Raises:
        ArgumentError: if a number cannot be.
    """
    if not 0 < keep <= 1:
        raise ArgumentError("share of MACs to keep cannot be", found=keep, expected="above 0, up to 1")
    if rounds < 1:
        raise ArgumentError("number of rounds cannot be", found=rounds, expected="1 up")
    if layers is not None:
        cuts = [cut(layers=subject.targets(layers, keep), spare=spare, score=score, calibrate=calibrate)]
    else:
        shares = [keep ** (number / rounds) for number in range(1, rounds + 1)]
        targets = shares if rounds == 1 else [float(int(share * subject.macs)) for share in shares]
        cuts = [cut(macs=target, spare=spare, score=score, calibrate=calibrate) for target in targets]
    return [step for one in cuts for step in (one, *subject.tuning(epochs, rate, augment))]
