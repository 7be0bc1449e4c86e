"""Batch norms for a rebuilt network: those of the captured module, cut to the channels that are left."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from paring.graph import Graph
from paring.layers import scale_and_shift


def batch_norms(
    module: nn.Module, graph: Graph, kept: Mapping[str, Mapping[int, np.ndarray]] | None = None
) -> dict[str, nn.Module]:
    """A batch norm for every ``scale_shift`` node that is one of the module's, for :func:`rebuild`.

    Args:
        module: the network the graph was captured from with ``fold=False``; unchanged.
        graph: its graph, or a smaller one with the same names.
        kept: weight name to axis to the places kept (:attr:`paring.methods.ChannelPruning.kept`).

    Returns:
        node name to a new batch norm with the kept channels' scale, shift and running statistics. Nodes that are no
        batch norm, or that are one merged with something else, are left out and stay ``scale_shift``.
    """
    found: dict[str, nn.Module] = {}
    there, shapes, users = dict(module.named_modules()), graph.shapes, graph.weight_users()
    for node in graph.nodes:
        norm = there.get(node.name)
        if node.op != "scale_shift" or not isinstance(norm, _BatchNorm) or norm.running_mean is None:
            continue
        if any(len(users[name]) > 1 for name in node.weights.values()):
            continue
        places = (kept or {}).get(node.weights["scale"], {}).get(0)
        smaller = _cut(norm, places, len(shapes[node.name]) == 3)
        wanted = [graph.weights[node.weights[role]].dense() for role in ("scale", "shift")]
        given = [tensor.numpy(force=True) for tensor in scale_and_shift(smaller)]
        if all(a.shape == b.shape and np.allclose(a, b, 1e-4, 1e-5) for a, b in zip(given, wanted, strict=True)):
            found[node.name] = smaller
    return found


def _cut(norm: _BatchNorm, places: np.ndarray | None, is_map: bool) -> nn.Module:
    """A copy with these channels only; of the kind for maps or vectors, since a graph's (1, W, C) is a map."""
    channels = norm.num_features if places is None else len(places)
    kind = nn.BatchNorm2d if is_map else nn.BatchNorm1d
    smaller = kind(channels, norm.eps, norm.momentum, norm.affine)
    state = {
        name: tensor if places is None or tensor.ndim == 0 else tensor[torch.from_numpy(places).to(tensor.device)]
        for name, tensor in norm.state_dict().items()
    }
    smaller.load_state_dict(state)
    return smaller.train(norm.training)
