"""Pruning during training: the fraction kept falls with the steps.

Zhu, Gupta, "To prune, or not to prune", 2017, arXiv 1710.01878, equation 1, every ``every`` steps from ``begin`` to
``end``; see :func:`paring.methods.cubic`. An instance is what ``training.fit(before_step=...)`` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from torch import nn

from paring.errors import ArgumentError
from paring.methods._amounts import Targets
from paring.methods._registry import method
from paring.methods._report import Report, Row
from paring.methods.pruning._magnitude import KEEP, apply_masks, checked_fraction, cubic, magnitude_mask, values
from paring.methods.pruning._movement import MovementPruned, prune_movement
from paring.methods.pruning._scores import score_mask
from paring.parametrize import places, select
from paring.parametrize._select import parametrization


class Gradual:
    """Called with a step's number, prunes if that step is due.

    It keeps no state of its own: the masks are in the network and what is due is a function of the step, so a training
    that goes on from a checkpoint prunes as one that was never stopped. Weights that :func:`prune_movement` gave
    scores follow the schedule through these.

    Args:
        network: pruned in place; its weights get their masks here, so make the optimizer afterwards.
        targets: share of each layer's weights to keep at the end, 0..1, for all layers or by patterns.
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
        targets: Targets,
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
        self.targets = select(network, KEEP.targets(targets))
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


@method(
    "pruning that tightens step by step while the network trains",
    kind="pruning",
    form="sparse",
    page="pruning.md",
    amounts=(KEEP,),
)
def prune_gradually(
    module: nn.Module,
    targets: Targets = None,
    *,
    end: int,
    keep: Targets = None,
    amount: Targets = None,
    begin: int = 0,
    every: int = 10,
    first: float = 1.0,
    movement: bool = False,
    bits: int = 32,
) -> Report:
    """Prepare pruning along the cubic schedule of :class:`Gradual` while the training that follows goes on.

    Args:
        module: the network; its weights get their masks here, so make the optimizer afterwards.
        targets: as ``keep``; or patterns alone.
        end: step of that training at which the last share is reached.
        keep: share of a layer's weights that is kept in the end, 0..1, for all layers or by patterns.
        amount: share that becomes zero, instead.
        begin: its first step that prunes.
        every: steps between two prunings.
        first: share kept at ``begin``.
        movement: by scores that are trained along (Sanh 2020) instead of magnitudes.
        bits: width of the survivors, 32 or 16.

    Returns:
        what will be kept; its ``before_step`` is to be called before each step.

    Raises:
        ArgumentError: if the steps or an amount cannot be, a pattern matches nothing, or a weight has another form.
    """
    patterns = KEEP.targets(targets, keep, amount)
    if movement:
        prune_movement(module, dict.fromkeys(patterns, 1.0), bits=bits)  # untrained scores say nothing
    gradual = Gradual(module, patterns, begin=begin, end=end, every=every, first=first, bits=bits)
    arrays = values(module, gradual.targets)
    rows = [Row(n, int(np.count_nonzero(a)), round(gradual.targets[n] * a.size)) for n, a in arrays.items()]
    return Report(
        method="prune_gradually",
        unit="non-zero weights in the end",
        rows=tuple(rows),
        summary=f"will prune from step {begin} to {end} of the next training",
        network=module,
        before_step=gradual,
        once=True,
    )
