"""Structured pruning: whole channels and filters leave the network, which becomes a smaller one.

Filters by their norm: Li, Kadav, Durdanovic, Samet, Graf, "Pruning filters for efficient ConvNets", ICLR 2017, arXiv
1608.08710. By batch norm's scale: Liu et al., "Learning efficient convolutional networks through network slimming",
ICCV 2017, arXiv 1708.06519. By the loss's change to first order: Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance
estimation for neural network pruning", CVPR 2019, arXiv 1906.10771.

The couplings are read off the graph (:func:`paring.graph.couplings`), not off the module: the same walk serves every
network that can be captured, needs no hooks into autograd and no knowledge of the user's classes, and what comes out is
the network the file and the engine hold. :func:`paring.capture.rebuild` makes it trainable again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import ceil

import numpy as np

from paring.errors import ArgumentError
from paring.graph import LAYERS, Couplings, Graph, cost, couplings, remove_channels
from paring.methods._amounts import share_of
from paring.methods._report import Report, Row
from paring.methods.channels._plan import Plan, meter
from paring.methods.channels._scores import channel_scores

#: Outputs in one panel of the native engine's kernels; a layer of 17 outputs costs what one of 32 does.
ENGINE_TILE = 16


KEEP = share_of("channels")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChannelPruning(Report):
    """A network with channels removed: a row for each layer that makes channels.

    Attributes:
        kept: weight name to axis to the places kept along it, int64 ascending; weights that lost nothing are not here.
        macs: multiply-accumulates before and after.
        parameters: numbers in all weights before and after.
    """

    graph: Graph
    kept: dict[str, dict[int, np.ndarray]]
    macs: tuple[int, int]
    parameters: tuple[int, int]


def prune_graph(
    graph: Graph,
    keep: Mapping[str, float],
    *,
    macs: float | None = None,
    parameters: float | None = None,
    score: str | np.ndarray = "l1",
    gates: Mapping[str, np.ndarray] | None = None,
    norms: Mapping[str, np.ndarray] | None = None,
    exclude: Iterable[str] = (),
    round_to: int = ENGINE_TILE,
    floor: float = 0.125,
    seed: int = 0,
) -> ChannelPruning:
    """Remove the channels that matter least, with everything that goes with them.

    With ``keep`` every layer that a pattern names is brought to its own fraction. With ``macs`` or ``parameters`` the
    step of smallest mean score anywhere is taken until the network is small enough; both may be given, layers first.

    Args:
        graph: the network, unchanged. Captured with ``fold=False`` its batch norms stay apart and trainable.
        keep: shell pattern on layers' names to the share of channels to keep, 0..1; later patterns override.
        macs: multiply-accumulates to come down to: a fraction of this network's up to 1, a number above.
        parameters: numbers in weights to come down to, likewise.
        score: name of a score (:func:`channel_scores`), or one number for each class of ``couplings(graph)``.
        gates: for ``taylor``.
        norms: for ``bn``.
        exclude: patterns on layers that keep all their channels.
        round_to: channel counts become multiples of this; of a smaller power of two, half its width at most, in a
            layer narrower than twice this. 16 is the engine's tile; 1 for none.
        floor: fraction of every layer's channels that stays at least; never less than one rounding unit.
        seed: for ``random``.

    Returns:
        the smaller graph and what was done.

    Raises:
        ArgumentError: if a target cannot be, cannot be reached, or a pattern matches no layer or none that can be cut.
    """
    coupled = couplings(graph)
    if isinstance(score, str):
        scores = channel_scores(graph, coupled, score, gates=gates, norms=norms, seed=seed)
    else:
        scores = np.asarray(score, np.float64)
        if scores.shape != (coupled.count,):
            raise ArgumentError("scores do not fit the network", found=scores.shape, expected=(coupled.count,))
    names = list(dict.fromkeys(coupled.layers.values()))
    excluded = [name for pattern in exclude for name in _matching(pattern, names)]
    targets = {name: value for pattern, value in keep.items() for name in _matching(pattern, names)}
    if not targets and macs is None and parameters is None:
        raise ArgumentError("nothing to prune", expected="keep={pattern: fraction}, macs= or parameters=")
    plan = Plan(graph, coupled, scores, round_to, floor, excluded)
    _cut_layers(plan, targets)
    for what, target in (("macs", macs), ("parameters", parameters)):
        if target is not None:
            _cut_all(plan, what, target)
    return _result(graph, coupled, plan, targets)


def _matching(pattern: str, names: list[str]) -> list[str]:
    hits = [name for name in names if fnmatchcase(name, pattern)]
    if not hits:
        near = get_close_matches(pattern, names, 3, cutoff=0.4) or names[:3]
        raise ArgumentError("pattern matches no layer", found=repr(pattern), expected=", ".join(near))
    return hits


def _cut_layers(plan: Plan, targets: Mapping[str, float]) -> None:
    before = plan.keep.sum()
    axes = {plan.coupled.layers[axis[0]]: axis for axis in plan.coupled.makers}
    for name, fraction in targets.items():
        plan.cut_layer(axes[name], fraction)
    if targets and min(targets.values()) < 1 and plan.keep.sum() == before:
        reasons = {_reason(plan, axes[name]) for name in targets} - {""}
        raise ArgumentError(
            "no channel can be cut", where=", ".join(list(targets)[:3]), found="; ".join(sorted(reasons)) or None
        )


def _cut_all(plan: Plan, what: str, target: float) -> None:
    measure = meter(plan.graph, plan.coupled, what)
    whole = measure(np.ones(plan.coupled.count, bool))
    if not target > 0:
        raise ArgumentError(f"invalid target of {what}", found=target, expected="above 0")
    limit = target * whole if target <= 1 else target
    if not plan.cut_until(measure, limit):
        raise ArgumentError(
            f"the network cannot be cut to so few {what}",
            found=f"{limit:,.0f} of {whole:,}",
            expected=f"at least {measure(plan.keep):,} ({measure(plan.keep) / whole:.1%})",
            fix="Lower floor= or round_to=, or exclude fewer layers",
        )


def _reason(plan: Plan, axis: tuple[str, int]) -> str:
    """Why a layer kept all its channels, if something other than the scores decided that."""
    classes = np.unique(plan.coupled.axes[axis]).tolist()
    if all(one in plan.stay for one in classes):
        return plan.stay[classes[0]]
    if not any(axis in bucket.entries and len(bucket.classes) >= bucket.first for bucket in plan.buckets):
        return f"has too few channels that can go for steps of {plan.units[axis]}"
    if len(classes) == 1:
        return "has channels that only go all together"
    return ""


def _apart(plan: Plan, axis: tuple[str, int], asked: float | None) -> str:
    """What a layer was to keep and why it keeps something else, by a channel or more."""
    before, after = len(plan.coupled.axes[axis]), plan.count(axis)
    if asked is None or abs(after - asked * before) < 1:
        return ""
    step, least = plan.units[axis], max(plan.units[axis], ceil(plan.floor * before))
    why = f"{least} is the least" if asked * before < least == after else f"goes in steps of {step}"
    if why.startswith("goes") and (step == 1 or after - asked * before >= step):
        why = "what goes together with it may not go"
    return f"{100 * asked:.3g} % asked, {why}"


def _result(graph: Graph, coupled: Couplings, plan: Plan, targets: Mapping[str, float]) -> ChannelPruning:
    smaller, kept = remove_channels(graph, coupled, plan.keep)
    rows, seen = [], set()
    made = dict(coupled.makers)
    for node in graph.nodes:
        name = node.weights.get("weight", "")
        if node.op in LAYERS and name not in seen:
            seen.add(name)
            axis = (name, made[name])
            before, after = len(coupled.axes[axis]), plan.count(axis)
            reason = _reason(plan, axis) if before == after else ""
            done = "" if reason else _apart(plan, axis, targets.get(coupled.layers[name]))
            rows.append(Row(node.name, before, after, done, reason))
    old, new = cost(graph), cost(smaller)
    totals = (("MACs", old.macs, new.macs), ("parameters", old.parameters, new.parameters))
    narrower = sum(row.after < row.before for row in rows)
    gone = sum(row.before - row.after for row in rows)
    return ChannelPruning(
        method="prune_channels",
        unit="channels",
        rows=tuple(rows),
        summary=f"{gone:,} channels went, {narrower} of {len(rows)} layers narrower",
        notes=tuple(f"{word}: {before:,} -> {after:,} ({after / before:.1%})" for word, before, after in totals),
        graph=smaller,
        kept=kept,
        macs=(old.macs, new.macs),
        parameters=(old.parameters, new.parameters),
    )
