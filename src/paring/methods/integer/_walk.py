"""The float and the quantized network side by side, so that a layer can be tuned on what it will see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paring.capture import rebuild
from paring.forms import Integer
from paring.graph import LAYERS, Node, QuantParams
from paring.methods.integer._bias_correction import correct_bias
from paring.methods.integer._plan import Plan
from paring.methods.integer._roles import ROUNDING

#: ``(node, its float input, its input in the quantized network, its float answer)``; may change the plan.
Tune = Callable[[Node, Tensor, Tensor, Tensor], None]


def fake_quantize(x: Tensor, codes: QuantParams) -> Tensor:
    """``x`` as its codes will stand for it, in float."""
    out = torch.empty_like(x)
    for source, target in zip(x, out, strict=True):  # an image at a time stays in the cache
        torch.div(source, codes.scale, out=target).round_()
        target.clamp_(-codes.zero_point, codes.high - codes.zero_point).mul_(codes.scale)
    return out


@torch.no_grad()
def walk(plan: Plan, images: Tensor, tune: Tune | None = None, correct: bool = False) -> dict[str, float]:
    """Run both networks over the images at once, layer by layer.

    The quantized one is simulated with real numbers, which differs from its integers by the rounding of float32 alone.
    Both networks' maps that are still to be read are held for all images.

    Args:
        plan: read at each node, so that what ``tune`` decides there counts from there on.
        images: ``(N, C, H, W)`` or ``(N, F)``, prepared.
        tune: called at each layer with integer weights, before its answer in the quantized network is computed.
        correct: move each such layer's bias by the mean of what its answers are off.

    Returns:
        node name to the signal-to-quantization-noise ratio of its answer, in decibels,
        ``10 log10(sum y^2 / sum (y - y~)^2)``, for every such layer.
    """
    network = rebuild(plan.graph)
    roles = plan.roles
    last = {name: node.name for node in plan.graph.nodes for name in node.inputs}
    if images.ndim == 3:
        images = images.unsqueeze(2)
    real = {next(iter(plan.graph.inputs)): images}
    seen = dict(real)
    ratios: dict[str, float] = {}
    fresh = {node.name for node in plan.graph.nodes if node.op in LAYERS}  # values that share memory with no other
    own = {roles.settled(node.name) for node in plan.graph.nodes if roles.role[node.name] in ROUNDING}
    for node in plan.graph.nodes:
        exact = [real[name] for name in node.inputs]
        on_codes = roles.role[node.name] in (*ROUNDING, "move")
        rough = [
            fake_quantize(seen[name], plan.codes[name]) if on_codes and not roles.is_codes(name) else seen[name]
            for name in node.inputs
        ]
        if node.op in LAYERS and node.name in roles.bits:
            answer = network.compute(node, *exact)
            if tune is not None:
                tune(node, exact[0], rough[0], answer)
            noisy = network.compute(node, *rough, weights=quantized_weights(node, plan))
            error = answer - noisy
            if correct:
                shift = correct_bias(plan, node, error)
                noisy += shift
                error -= shift
            noise, signal = float(error.norm()) ** 2, float(answer.norm()) ** 2
            ratios[node.name] = 10 * float(np.log10(max(signal, 1e-300) / max(noise, 1e-300)))
        elif node.op in ("relu", "clip") and node.inputs[0] in fresh and last[node.inputs[0]] == node.name:
            attrs: Any = node.attrs  # maps are large: no copies
            answer, noisy = (x.clamp_(attrs.get("low", 0.0), attrs.get("high")) for x in (exact[0], rough[0]))
        else:
            answer, noisy = network.compute(node, *exact), network.compute(node, *rough)
        if node.name in own:
            noisy = fake_quantize(noisy, plan.codes[node.name])
        real[node.name], seen[node.name] = answer, noisy
        for name in set(node.inputs):
            if last[name] == node.name:
                del real[name], seen[name]
    return ratios


def quantized_weights(node: Node, plan: Plan) -> dict[str, Tensor]:
    """A layer's weight and bias as the plan has them, by role, float32."""
    weight = torch.from_numpy(plan.weights[node.weights["weight"]].dense())
    return {"weight": weight, "bias": torch.from_numpy(plan.biases[node.name].astype(np.float32))}


def scales_of(form: Integer, outputs: int) -> Tensor:
    """A form's scales, one for each output, float32 ``(outputs,)``."""
    return torch.from_numpy(np.broadcast_to(form.scales, (outputs,)).copy())
