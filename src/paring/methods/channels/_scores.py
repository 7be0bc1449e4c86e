"""How much a channel matters, aggregated over the weights that are cut with it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import numpy as np

from paring.errors import ArgumentError
from paring.graph import Couplings, Graph

#: Scores :func:`channel_scores` knows.
SCORES = ("l1", "l2", "bn", "taylor", "random")


def channel_scores(
    graph: Graph,
    coupled: Couplings,
    score: str = "l1",
    *,
    gates: Mapping[str, np.ndarray] | None = None,
    norms: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """One number per class of channels; small ones are cut first.

    Every weight that makes channels gives each of them a number ``v``, and a class has the mean over all its channels
    in all these weights:

    - ``l1``: sum of ``|w|`` over the channel's slice (Li et al., ICLR 2017, arXiv 1608.08710), and ``l2``: the slice's
      Euclidean norm; both divided by the mean over the weight's channels, so that layers compare.
    - ``bn``: ``|gamma|`` of the batch norms on the channel (network slimming: Liu et al., ICCV 2017, arXiv
      1708.06519), as it is: one threshold for all layers.
    - ``taylor``: ``(dL/dz)^2`` for a gate ``z = 1`` on the channel, which is ``(sum of g w over the slice)^2``
      (Molchanov et al., CVPR 2019, arXiv 1906.10771), averaged over batches and summed, not averaged, over the class.
    - ``random``: uniform; what any score has to beat.

    Args:
        graph: the network.
        coupled: its couplings.
        score: one of :data:`SCORES`.
        gates: for ``taylor``: weight name to mean squared gate gradients along the axis that makes channels
            (:func:`paring.methods.gate_gradients`).
        norms: for ``bn``: batch norm's path to its gamma (:func:`paring.methods.batch_norm_scales`).
        seed: for ``random``.

    Returns:
        float64 ``(coupled.count,)``; infinite where the score says nothing about a class, which then stays.

    Raises:
        ArgumentError: if the score is unknown or lacks what it needs.
    """
    if score not in SCORES:
        near = get_close_matches(score, SCORES, 2) or SCORES
        raise ArgumentError("unknown score of channels", found=repr(score), expected=" or ".join(near))
    if score == "random":
        return np.random.default_rng(seed).random(coupled.count)
    if score == "bn":
        if norms is None:
            raise ArgumentError("score 'bn' needs the batch norms' scales", fix="Give norms=batch_norm_scales(network)")
        vectors = {
            (node.weights["scale"], 0): np.abs(norms[node.name])
            for node in graph.nodes
            if node.op == "scale_shift" and len(norms.get(node.name, ())) == graph.weights[node.weights["scale"]].size
        }
    elif score == "taylor":
        if gates is None:
            raise ArgumentError("score 'taylor' needs gradients", fix="Give gates=gate_gradients(network, ...)")
        vectors = {axis: np.asarray(gates[axis[0]]) for axis in coupled.makers if axis[0] in gates}
    else:
        vectors = {axis: _norms(graph, axis, score) for axis in coupled.makers}
    total, count = np.zeros(coupled.count), np.zeros(coupled.count)
    for axis, vector in vectors.items():
        classes = coupled.axes[axis]
        if len(vector) != len(classes):
            raise ArgumentError(
                "score does not fit the weight", where=axis[0], found=len(vector), expected=f"{len(classes)} channels"
            )
        total += np.bincount(classes, vector, coupled.count)
        count += np.bincount(classes, minlength=coupled.count)
    known = count > 0
    total[~known] = np.inf
    if score != "taylor":
        total[known] /= count[known]
    if np.isnan(total).any():
        raise ArgumentError("a channel's score is not a number", fix="Train the network without divergence first")
    return total


def _norms(graph: Graph, axis: tuple[str, int], score: str) -> np.ndarray:
    name, along = axis
    weight = np.moveaxis(graph.weights[name].dense().astype(np.float64), along, 0)
    weight = weight.reshape(len(weight), -1)
    vector = np.abs(weight).sum(1) if score == "l1" else np.sqrt((weight**2).sum(1))
    mean = vector.mean()
    return vector / mean if mean else vector
