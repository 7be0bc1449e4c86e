"""Which batch norm stood behind which layer: what folding forgets and data-free quantization wants to know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from paring.graph import LAYERS, Graph, Node
from paring.layers import bare

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class BatchNorm:
    """A batch norm in use, ``y = gamma (x - mean) / sqrt(var + eps) + beta``.

    While it was trained, channel ``c`` of ``y`` had mean ``beta[c]`` and standard deviation ``|gamma[c]|``.

    Attributes:
        gamma: float64 ``(C,)``.
        beta: float64 ``(C,)``.
        mean: running mean, float64 ``(C,)``.
        var: running variance, float64 ``(C,)``.
        eps: added to the variance.
        momentum: share of a new batch in the running statistics; None for a cumulative mean.
    """

    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    eps: float
    momentum: float | None = 0.1

    @property
    def deviation(self) -> np.ndarray:
        """``sqrt(var + eps)``, float64 ``(C,)``."""
        return np.sqrt(self.var + self.eps)


def norm_statistics(module: nn.Module, graph: Graph) -> dict[str, BatchNorm]:
    """The batch norm behind each layer of an unfolded graph, by the layer's node name.

        graph = capture(module, example, fold=False)
        norms = norm_statistics(module, graph)
        graph = fold_scale_shift(graph)             # layers keep their names

    Args:
        module: the network that was captured, unchanged since.
        graph: ``capture(module, example, fold=False)``.

    Returns:
        an entry for each convolution or fully connected layer whose only reader is a ``scale_shift`` node that is
        exactly one of the module's batch norms; others (norms that met another factor, shared layers) have none.
    """
    modules = dict(bare(module).named_modules())
    makers = {node.name: node for node in graph.nodes}
    readers, users = graph.readers(), graph.weight_users()
    found: dict[str, BatchNorm] = {}
    for node in graph.nodes:
        norm = modules.get(node.name)
        layer = makers.get(node.inputs[0]) if node.op == "scale_shift" else None
        if not isinstance(norm, _NORMS) or norm.running_var is None or norm.running_mean is None or layer is None:
            continue
        alone = len(readers[layer.name]) == 1 and layer.name not in graph.outputs
        if layer.op in LAYERS and alone and len(users[layer.weights["weight"]]) == 1:
            entry = _statistics(norm)
            if _same(entry, node, graph):
                found[layer.name] = entry
    return found


def _statistics(norm: nn.Module) -> BatchNorm:
    def array(tensor: object, otherwise: float) -> np.ndarray:
        if tensor is None:
            return np.full(norm.num_features, otherwise)  # type: ignore[arg-type]
        return tensor.detach().numpy(force=True).astype(np.float64)  # type: ignore[attr-defined]

    assert isinstance(norm, _NORMS)
    return BatchNorm(
        array(norm.weight, 1.0),
        array(norm.bias, 0.0),
        array(norm.running_mean, 0.0),
        array(norm.running_var, 1.0),
        norm.eps,
        norm.momentum,
    )


def _same(norm: BatchNorm, node: Node, graph: Graph) -> bool:
    """Whether the node does what the norm alone would: it may have been merged with a factor behind it."""
    scale, shift = (graph.weights[node.weights[role]].dense() for role in ("scale", "shift"))
    expected = norm.gamma / norm.deviation
    return bool(
        scale.shape == expected.shape
        and np.allclose(scale, expected, 1e-4, 1e-6)
        and np.allclose(shift, norm.beta - norm.mean * expected, 1e-4, 1e-5)
    )
