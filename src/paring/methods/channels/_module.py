"""Structured pruning of a torch module: captured with its batch norms apart, cut, and given back trainable.

The result is a module of the graph, not the user's class with smaller layers: a forward method may hold widths that no
parameter shows (a padded shortcut, a split in two), and changing those behind its back is a guess. State dict names
stay those of the original, batch norms stay batch norms, and the graph inside is what the file and the engine take.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from paring.capture import Rebuilt, batch_norms, capture, rebuild
from paring.errors import ArgumentError
from paring.graph import Graph, cost, couplings
from paring.methods.channels._branches import cheapest_branch, remove_branches, residual_branches
from paring.methods.channels._gates import batch_norm_scales, gate_gradients
from paring.methods.channels._prune import ChannelPruning, prune_channels
from paring.training.optim import Loss, cross_entropy


@dataclass(frozen=True)
class SmallerNetwork:
    """A network after structured pruning.

    Attributes:
        network: takes and gives what the original does; in eval mode; trained like any other. Its ``as_graph()`` is
            the graph with the weights as they are by then.
        pruning: what was cut.
    """

    network: Rebuilt
    pruning: ChannelPruning


@dataclass(frozen=True)
class ShallowerNetwork:
    """A network without some of its residual branches.

    Attributes:
        network: as :attr:`SmallerNetwork.network`.
        removed: names of the additions whose branches went, in the order in which they did.
        losses: mean loss on the batches after each; empty where no batches were asked.
        macs: multiply-accumulates before and after.
    """

    network: Rebuilt
    removed: tuple[str, ...]
    losses: tuple[float, ...]
    macs: tuple[int, int]


def cut_branches(
    module: nn.Module,
    example: Any,
    branches: int | Iterable[str],
    *,
    batches: Iterable[Any] = (),
    loss: Loss | None = None,
    exclude: Iterable[str] = (),
) -> ShallowerNetwork:
    """Remove residual branches, whose blocks become their shortcuts, and give back a network to be fine-tuned.

    Args:
        module: the network, unchanged.
        example: an input or its shape; see :func:`paring.capture.capture`.
        branches: patterns of those to remove (see :func:`paring.methods.remove_branches`), or how many: then the one
            without which the loss on ``batches`` is smallest goes, and again, each time on the network as it is by
            then. Every branch is tried, so ``n`` branches of ``b`` cost about ``n b`` passes over the batches.
        batches: where branches are counted: a few hundred images as :class:`paring.training.Batch`.
        loss: cross-entropy if not given.
        exclude: patterns of branches to leave alone where they are counted.

    Raises:
        GraphError: if the network cannot be captured.
        ArgumentError: if a pattern matches no branch, there are not so many, or there is no batch to choose them by.
    """
    whole = graph = capture(module, example, fold=False, forms=False)
    removed: list[str] = []
    losses: list[float] = []
    if isinstance(branches, int):
        judge, exclude = _mean_loss(list(batches), loss or cross_entropy()), list(exclude)
        while len(removed) < branches:
            best = cheapest_branch(graph, judge, exclude)
            if best is None:
                raise ArgumentError(
                    "so many branches cannot be removed", found=branches, expected=f"up to {len(removed)}"
                )
            name, graph, least = best
            removed.append(name)
            losses.append(least)
    else:
        graph = remove_branches(graph, branches)
        left = {node.name for node in graph.nodes}
        removed = [name for name in residual_branches(whole) if name not in left]
    network = rebuild(graph, batch_norms(module, graph))
    return ShallowerNetwork(network.eval(), tuple(removed), tuple(losses), (cost(whole).macs, cost(graph).macs))


def _mean_loss(batches: list[Any], loss: Loss) -> Any:
    if not batches:
        raise ArgumentError("branches are chosen by the loss on data", fix="Give batches=, a few hundred images")

    @torch.no_grad()
    def judge(graph: Graph) -> float:
        network = rebuild(graph).eval()
        return sum(float(loss(network, batch)) for batch in batches) / len(batches)

    return judge


def cut_channels(
    module: nn.Module,
    example: Any,
    keep: Mapping[str, float] | None = None,
    *,
    score: str = "l1",
    batches: Iterable[Any] = (),
    loss: Loss | None = None,
    **options: Any,
) -> SmallerNetwork:
    """Remove channels from a network and give back one that can be fine-tuned; may be repeated on the result.

    Args:
        module: the network, unchanged.
        example: an input or its shape; see :func:`paring.capture.capture`.
        keep: pattern to the fraction of channels to keep; see :func:`paring.methods.prune_channels`.
        score: ``l1``, ``l2``, ``bn``, ``taylor`` or ``random``.
        batches: for ``taylor``: a few hundred images as :class:`paring.training.Batch`.
        loss: for ``taylor``; cross-entropy if not given.
        options: ``macs``, ``parameters``, ``spare``, ``round_to``, ``floor``, ``seed``.

    Raises:
        GraphError: if the network cannot be captured.
        ArgumentError: if a target cannot be or cannot be met, or a pattern matches nothing.
    """
    batches = list(batches)
    if score == "taylor" and not batches:
        raise ArgumentError("score 'taylor' needs data", fix="Give batches=, a few hundred images")
    graph = capture(module, example, fold=False, forms=False)
    if score == "taylor":
        makers = couplings(graph).makers
        options["gates"] = gate_gradients(module, loss or cross_entropy(), batches, makers)
    elif score == "bn":
        options["norms"] = batch_norm_scales(module)
    pruning = prune_channels(graph, keep, score=score, **options)
    network = rebuild(pruning.graph, batch_norms(module, pruning.graph, pruning.kept))
    return SmallerNetwork(network.eval(), pruning)
