"""Bias correction: the mean that rounding the weights adds to a layer's answer, taken off its bias.

Nagel, van Baalen, Blankevoort, Welling 2019, arXiv 1906.04721, section 4.3 and appendix D. With ``eps = W~ - W`` the
error of the weights, a layer's answer is off by ``eps x``, in the mean by ``eps E[x]``, channel by channel the same
everywhere. That mean is known

    analytically   without data: E[x] from batch norms, through the clipped normal (:func:`paring.methods.moments`)
    empirically    from calibration images: mean answer of the float layer minus that of the quantized one on the inputs
                   it gets in the quantized network, layer after layer
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from paring.graph import OPS, Node
from paring.methods.integer._moments import Moments, through
from paring.methods.integer._plan import Plan


def bias_error(error: np.ndarray, mean: np.ndarray, groups: int = 1) -> np.ndarray:
    """What a weight's error adds to a layer's answer in the mean, ``eps E[x]``.

    Args:
        error: quantized minus float weight, ``(out, in / groups, kh, kw)`` or ``(out, in)``.
        mean: expectation of each input channel, ``(in,)``; taken as the same at every place of the map, borders too.
        groups: of a convolution.

    Returns:
        float64 ``(out,)``; what to subtract from the bias.
    """
    return through(np.asarray(error, np.float64), np.asarray(mean, np.float64), groups)


def correct_analytically(plan: Plan, known: Mapping[str, Moments]) -> list[str]:
    """Subtract ``eps E[x]`` from every bias of the plan whose input's mean is known; names of the layers changed."""
    changed = []
    for node in plan.graph.nodes:
        if node.name not in plan.roles.bits or OPS[node.op].weight_axes != (0, 1) or node.inputs[0] not in known:
            continue
        name = node.weights["weight"]
        error = plan.weights[name].dense().astype(np.float64) - plan.graph.weights[name].dense()
        groups: Any = node.attrs.get("groups", 1)
        plan.biases[node.name] = plan.biases[node.name] - bias_error(error, known[node.inputs[0]].mean, groups)
        changed.append(node.name)
    return changed


def move_bias(plan: Plan, node: Node, mean: Tensor) -> Tensor:
    """Move a layer's bias by ``mean``, float64 ``(C,)``: answers wanted less those found, in the mean.

    Returns:
        the move in float32.
    """
    plan.biases[node.name] = plan.biases[node.name] + mean.numpy(force=True)
    return mean.float()
