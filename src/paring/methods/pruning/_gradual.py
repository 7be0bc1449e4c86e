"""Pruning during training: the fraction kept falls with the steps.

Zhu, Gupta, "To prune, or not to prune", 2017, arXiv 1710.01878, equation 1, every ``every`` steps from ``begin`` to
``end``; see :func:`paring.methods.cubic`. An instance is what ``training.fit(before_step=...)`` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from torch import nn

from paring.errors import ArgumentError
from paring.methods.pruning._magnitude import apply_masks, checked_fraction, cubic, magnitude_mask, values
from paring.methods.pruning._movement import MovementPruned
from paring.methods.pruning._scores import score_mask
from paring.parametrize import places, select
from paring.parametrize._select import parametrization


class Gradual:
    """Called with a step's number, prunes if that step is due.

    It keeps no state of its own: the masks are in the network and what is due is a function of the step, so a training
    that goes on from a checkpoint prunes as one that was never stopped. Weights that :func:`prune_by_movement` gave
    scores follow the schedule through these.

    Args:
        network: pruned in place; its weights get their masks here, so make the optimizer afterwards.
        targets: pattern to the fraction of each layer's weights to keep at the end, 0..1.
        begin: first step that prunes.
        end: step at which the last fraction is reached.
        every: steps between two prunings.
        first: fraction kept at ``begin``.
        scores: ``network -> {parameter name: array}``, large for what is to be kept; magnitudes if not given.
        bits: as for :func:`paring.methods.prune`.

    Raises:
        ArgumentError: if the steps or a fraction cannot be, or a pattern matches nothing.
    """

    def __init__(
        self,
        network: nn.Module,
        targets: Mapping[str, float],
        *,
        end: int,
        begin: int = 0,
        every: int = 1,
        first: float = 1.0,
        scores: Callable[[nn.Module], Mapping[str, np.ndarray]] | None = None,
        bits: int = 32,
    ) -> None:
        if not 0 <= begin < end or every < 1:
            raise ArgumentError(
                "invalid steps of gradual pruning", found=f"{begin} to {end} every {every}", expected="begin < end"
            )
        self.network, self.scores, self.bits = network, scores, bits
        self.begin, self.end, self.every, self.first = begin, end, every, checked_fraction(first)
        self.targets = select(network, {pattern: checked_fraction(keep) for pattern, keep in targets.items()})
        there = places(network)
        plain = [name for name in self.targets if not isinstance(parametrization(there[name]), MovementPruned)]
        arrays = values(network, plain)
        apply_masks(network, {name: np.ones(arrays[name].shape, bool) for name in plain}, bits=bits)

    def keep(self, target: float, step: int) -> float:
        """Fraction kept at a step of a layer that ends at ``target``."""
        return cubic(self.first, target, (step - self.begin) / (self.end - self.begin))

    def __call__(self, step: int) -> None:
        """Prune if ``step`` is due; otherwise nothing."""
        if not self.begin <= step <= self.end or ((step - self.begin) % self.every and step != self.end):
            return
        there, wanted = places(self.network), {n: self.keep(keep, step) for n, keep in self.targets.items()}
        plain = {}
        for name, keep in wanted.items():
            form = parametrization(there[name])
            if isinstance(form, MovementPruned):
                form.level.fill_(keep)
            else:
                plain[name] = keep
        if self.scores is None:
            masks = {name: magnitude_mask(array, plain[name]) for name, array in values(self.network, plain).items()}
        else:
            scores = self.scores(self.network) if plain else {}
            if missing := [name for name in plain if name not in scores]:
                raise ArgumentError("weight has no score", where=missing[0])
            masks = {name: score_mask(scores[name], keep) for name, keep in plain.items()}
        apply_masks(self.network, masks, bits=self.bits)
