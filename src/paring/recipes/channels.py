"""Structured pruning of a torch module: captured with its batch norms apart, cut, and given back trainable.

The result is a module of the graph, not the user's class with smaller layers: a forward method may hold widths that no
parameter shows (a padded shortcut, a split in two), and changing those behind its back is a guess. State dict names
stay those of the original, batch norms stay batch norms, and the graph inside is what the file and the engine take.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from paring.capture import Rebuilt, batch_norms, capture, rebuild
from paring.errors import ArgumentError
from paring.graph import couplings
from paring.methods import ChannelPruning, batch_norm_scales, gate_gradients, prune_channels
from paring.training import Loss, cross_entropy


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
    graph = capture(module, example, fold=False)
    if score == "taylor":
        makers = couplings(graph).makers
        options["gates"] = gate_gradients(module, loss or cross_entropy(), batches, makers)
    elif score == "bn":
        options["norms"] = batch_norm_scales(module)
    pruning = prune_channels(graph, keep, score=score, **options)
    network = rebuild(pruning.graph, batch_norms(module, pruning.graph, pruning.kept))
    return SmallerNetwork(network.eval(), pruning)
