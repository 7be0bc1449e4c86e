"""Structured pruning of a network: a graph becomes a smaller graph, a torch module a smaller module.

A module is captured with its batch norms apart, cut, and given back trainable. The result is a module of the graph, not
the user's class with smaller layers: a forward method may hold widths that no parameter shows (a padded shortcut, a
split in two), and changing those behind its back is a guess. State dict names stay those of the original, batch norms
stay batch norms, and the graph inside is what the file and the engine take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paring.capture import batch_norms, capture, rebuild
from paring.errors import ArgumentError
from paring.graph import Graph, cost, couplings
from paring.methods._amounts import Targets
from paring.methods._registry import Trial, method
from paring.methods._report import Report, Row
from paring.methods.channels._branches import cheapest_branch, remove_branches, residual_branches
from paring.methods.channels._gates import batch_norm_scales, gate_gradients
from paring.methods.channels._prune import ENGINE_TILE, KEEP, ChannelPruning, prune_graph

#: ``(network, batch) -> scalar``, as :func:`paring.training.optim.cross_entropy` gives one.
Loss = Callable[[nn.Module, Any], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BranchPruning(Report):
    """A network without some of its residual branches: a row for each branch that could go.

    Attributes:
        removed_branches: names of the additions whose branches went, in the order in which they did.
        losses: mean loss on the batches after each; empty where no batches were asked.
        macs: multiply-accumulates before and after.
    """

    graph: Graph
    removed_branches: tuple[str, ...]
    losses: tuple[float, ...]
    macs: tuple[int, int]


@method(
    "residual branches go, their blocks become shortcuts",
    kind="structure",
    form="a smaller network",
    page="structured_pruning.md",
    calibrate=512,
    structure=True,
)
def prune_branches(
    network: nn.Module | Graph,
    branches: int | Iterable[str],
    *,
    example: Any = None,
    batches: Iterable[Any] = (),
    loss: Loss | None = None,
    exclude: Iterable[str] = (),
) -> BranchPruning:
    """Remove residual branches, whose blocks become their shortcuts, and give back a network to be fine-tuned.

    Args:
        network: a module or a graph, unchanged.
        branches: patterns of those to remove (see :func:`paring.methods.channels.remove_branches`), or how many: then
            the one without which the loss on ``batches`` is smallest goes, and again, each time on the network as it is
            by then. Every branch is tried, so ``n`` branches of ``b`` cost about ``n b`` passes over the batches.
        example: for a module: an input or its shape; see :func:`paring.capture.capture`.
        batches: where branches are counted: a few hundred images as ``loss`` takes them.
        loss: where branches are counted: ``(network, batch) -> scalar``.
        exclude: patterns of branches to leave alone where they are counted.

    Raises:
        GraphError: if the network cannot be captured.
        ArgumentError: if a pattern matches no branch, there are not so many, or there is no batch to choose them by.
    """
    whole = graph = _graph(network, example)
    gone: list[str] = []
    losses: list[float] = []
    if isinstance(branches, int):
        judge, exclude = _mean_loss(list(batches), loss), list(exclude)
        while len(gone) < branches:
            best = cheapest_branch(graph, judge, exclude)
            if best is None:
                raise ArgumentError("so many branches cannot be removed", found=branches, expected=f"up to {len(gone)}")
            name, graph, least = best
            gone.append(name)
            losses.append(least)
    else:
        graph = remove_branches(graph, branches)
        left = {node.name for node in graph.nodes}
        gone = [name for name in residual_branches(whole) if name not in left]
    rows = [Row(name, 1, int(name not in gone)) for name in residual_branches(whole)]
    macs = cost(whole).macs, cost(graph).macs
    return BranchPruning(
        method="prune_branches",
        unit="branches",
        rows=tuple(rows),
        summary=f"{len(gone)} residual branches went",
        notes=(f"MACs: {macs[0]:,} -> {macs[1]:,} ({macs[1] / macs[0]:.1%})",),
        network=_module(network, graph),
        graph=graph,
        removed_branches=tuple(gone),
        losses=tuple(losses),
        macs=macs,
    )


def _graph(network: nn.Module | Graph, example: Any) -> Graph:
    if isinstance(network, Graph):
        return network
    if example is None:
        raise ArgumentError("a module is captured with an example", fix="Give example=, an input or its shape")
    return capture(network, example, fold=False, forms=False)


def _module(network: nn.Module | Graph, graph: Graph, kept: Any = None) -> nn.Module | None:
    """The smaller module for a module, None for a graph."""
    if isinstance(network, Graph):
        return None
    return rebuild(graph, batch_norms(network, graph, kept) if kept is not None else batch_norms(network, graph)).eval()


def _mean_loss(batches: list[Any], loss: Loss | None) -> Any:
    if not batches or loss is None:
        raise ArgumentError("branches are chosen by the loss on data", fix="Give loss= and batches=, some 100 images")

    @torch.no_grad()
    def judge(graph: Graph) -> float:
        network = rebuild(graph).eval()
        return sum(float(loss(network, batch)) for batch in batches) / len(batches)

    return judge


def _alone(graph: Graph, path: str, keep: float) -> Graph:
    """For the sensitivity analysis: the layer's channels, and all that are coupled with them."""
    node = next((n for n in graph.nodes if n.weights.get("weight") == f"{path}.weight"), None)
    if node is None:
        raise ArgumentError("has no node of its own in the graph", where=path)
    return prune_graph(graph, {node.name: keep}, round_to=1, floor=0.0).graph


@method(
    "whole channels go, with everything that goes with them",
    kind="structure",
    form="a smaller network",
    page="structured_pruning.md",
    amounts=(KEEP,),
    trial=Trial((0.875, 0.75, 0.5, 0.25), "channels kept", graph=_alone, usual=True),
    calibrate=512,
    structure=True,
    optional=True,
)
def prune_channels(
    network: nn.Module | Graph,
    targets: Targets = None,
    *,
    keep: Targets = None,
    amount: Targets = None,
    macs: float | None = None,
    parameters: float | None = None,
    example: Any = None,
    score: str | None = None,
    batches: Iterable[Any] = (),
    loss: Loss | None = None,
    gates: Mapping[str, np.ndarray] | None = None,
    norms: Mapping[str, np.ndarray] | None = None,
    exclude: Iterable[str] = (),
    round_to: int = ENGINE_TILE,
    floor: float = 0.125,
    seed: int = 0,
) -> ChannelPruning:
    """Remove the channels that matter least, with everything that goes with them; may be repeated on the result.

    With ``keep`` every layer that a pattern names is brought to its own share. With ``macs`` or ``parameters`` the
    step of smallest mean score anywhere is taken until the network is small enough; both may be given, layers first.

    Args:
        network: a module or a graph, unchanged. A graph captured with ``fold=False`` keeps its batch norms apart.
        targets: as ``keep``.
        keep: share of its channels that a layer keeps, 0..1, for all layers or by patterns on their names.
        amount: share of its channels that a layer loses, instead.
        macs: multiply-accumulates to come down to: a share of this network's up to 1, a number above.
        parameters: numbers in weights to come down to, likewise.
        example: for a module: an input or its shape; see :func:`paring.capture.capture`.
        score: ``l1``, ``l2``, ``bn``, ``taylor`` or ``random``; ``taylor`` with batches, else ``l1``; for a graph also
            one number for each class of ``couplings(graph)``.
        batches: for ``taylor`` of a module: a few hundred images as ``loss`` takes them.
        loss: for ``taylor`` of a module: ``(network, batch) -> scalar``.
        gates: for ``taylor`` of a graph (:func:`paring.methods.channels.gate_gradients`).
        norms: for ``bn`` of a graph (:func:`paring.methods.channels.batch_norm_scales`).
        exclude: patterns on layers that keep all their channels.
        round_to: channel counts become multiples of this; of a smaller power of two, half its width at most, in a
            layer narrower than twice this. 16 is the engine's tile; 1 for none.
        floor: share of every layer's channels that stays at least; never less than one rounding unit.
        seed: for ``random``.

    Returns:
        channels of each layer before and after, the smaller graph and, for a module, the smaller module in eval mode.

    Raises:
        GraphError: if the network cannot be captured.
        ArgumentError: if an amount cannot be, cannot be reached, or a pattern matches no layer or none that can be cut.
    """
    given = (targets, keep, amount) != (None, None, None)
    patterns = KEEP.targets(targets, keep, amount) if given else {}
    graph = _graph(network, example)
    if score is None:
        score = "taylor" if gates is not None or batches else "l1"
    if isinstance(network, nn.Module) and isinstance(score, str):
        if score == "taylor":
            batches = list(batches)
            if not batches or loss is None:
                raise ArgumentError("score 'taylor' needs data", fix="Give loss= and batches=, a few hundred images")
            gates = gate_gradients(network, loss, batches, couplings(graph).makers)
        elif score == "bn":
            norms = batch_norm_scales(network)
    done = prune_graph(
        graph,
        patterns,
        macs=macs,
        parameters=parameters,
        score=score,
        gates=gates,
        norms=norms,
        exclude=exclude,
        round_to=round_to,
        floor=floor,
        seed=seed,
    )
    return replace(done, network=_module(network, done.graph, done.kept))
