"""The float and the quantized network side by side, so that a layer can be tuned on what it will see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from paring.capture import rebuild
from paring.forms import Integer
from paring.graph import LAYERS, Node, QuantParams
from paring.methods.integer._bias_correction import move_bias
from paring.methods.integer._maps import Maps
from paring.methods.integer._plan import Plan
from paring.methods.integer._roles import ROUNDING
from paring.methods.integer._workers import Workers, pieces

#: ``(node, its float input, its input in the quantized network, its float answer)``; may change the plan.
Tune = Callable[[Node, Tensor, Tensor, Tensor], None]


def fake_quantize(x: Tensor, codes: QuantParams, out: Tensor | None = None) -> Tensor:
    """``x`` as its codes will stand for it, in float; ``out`` may be ``x``. Quickest on what fits into the cache."""
    out = torch.div(x, codes.scale, out=out).round_()
    return out.clamp_(-codes.zero_point, codes.high - codes.zero_point).mul_(codes.scale)


@torch.no_grad()
def walk(plan: Plan, images: Tensor, tune: Tune | None = None, correct: bool = False) -> dict[str, float]:
    """Run both networks over the images at once, layer by layer.

    The quantized one is simulated with real numbers, which differs from its integers by the rounding of float32 alone.
    Both networks' maps that are still to be read are held for all images.

    Args:
        plan: read at each node, so that what ``tune`` decides there counts from there on.
        images: ``(N, C, H, W)`` or ``(N, F)``, prepared.
        tune: called at each layer with integer weights, before its answer in the quantized network is computed. Without
            it the layers' float answers need not be held.
        correct: move each such layer's bias by the mean of what its answers are off.

    Returns:
        node name to the signal-to-quantization-noise ratio of its answer, in decibels,
        ``10 log10(sum y^2 / sum (y - y~)^2)``, for every such layer.
    """
    with Workers() as workers:
        return _Walk(plan, images, workers).run(tune, correct)


class _Walk:
    """One walk.

    Attributes:
        real: values of the float network that are still to be read, ``(N, C, H, W)`` or ``(N, F)``.
        seen: the same values of the quantized network.
        ratios: what :func:`walk` gives.
    """

    def __init__(self, plan: Plan, images: Tensor, workers: Workers) -> None:
        self.plan, self.roles, self.workers = plan, plan.roles, workers
        self.network = rebuild(plan.graph)
        shapes = plan.graph.shapes
        self.parts, self.maps = pieces(shapes, len(images)), Maps(shapes, len(images))
        self.last = {name: node.name for node in plan.graph.nodes for name in node.inputs}
        self.own = {self.roles.settled(n.name) for n in plan.graph.nodes if self.roles.role[n.name] in ROUNDING}
        self.real = {next(iter(plan.graph.inputs)): images.unsqueeze(2) if images.ndim == 3 else images}
        self.seen = dict(self.real)
        self.ratios: dict[str, float] = {}

    def run(self, tune: Tune | None, correct: bool) -> dict[str, float]:
        for node in self.plan.graph.nodes:
            if node.name in self.real:  # an activation that the node before it has taken in
                continue
            on_codes = self.roles.role[node.name] in (*ROUNDING, "move")
            entries = {name for name in node.inputs if on_codes and not self.roles.is_codes(name)}
            coded = {name: self._coded(name) for name in entries}
            rough = [coded.get(name, self.seen[name]) for name in node.inputs]
            if node.op in LAYERS and node.name in self.roles.bits:
                self._layer(node, rough, tune, correct)
            else:
                self._other(node, rough)
            for values in coded.values():
                self.maps.release(values)
            for name in set(node.inputs):
                if self.last[name] == node.name:
                    self.maps.release(self.real.pop(name))
                    self.maps.release(self.seen.pop(name))
        return self.ratios

    def _coded(self, name: str) -> Tensor:
        """A float value of the quantized network as the codes that a node reads stand for it."""
        x, out = self.seen[name], self.maps.new(name)
        self.workers.each(lambda part: fake_quantize(x[part], self.plan.codes[name], out[part]), self.parts)
        return out

    def _made(self, node: Node) -> tuple[str, Tensor, Tensor]:
        """Name of a node's value, or of that of the activation it takes in, and memory for it in both networks."""
        value = self.roles.settled(node.name)
        self.real[value], self.seen[value] = self.maps.new(value), self.maps.new(value)
        return value, self.real[value], self.seen[value]

    def _settle(self, value: str, ends: tuple[float, float] | None, noisy: Tensor) -> None:
        """The activation that was taken in, and rounding to codes, in place."""
        if ends is not None:
            noisy.clamp_(*ends)
        if value in self.own:
            fake_quantize(noisy, self.plan.codes[value], noisy)

    def _other(self, node: Node, rough: list[Tensor]) -> None:
        exact = [self.real[name] for name in node.inputs]
        value, real, seen = self._made(node)
        ends = self.plan.bounds(node) if value != node.name else None

        def compute(part: slice) -> None:
            real[part] = self.network.compute(node, *(x[part] for x in exact))
            seen[part] = self.network.compute(node, *(x[part] for x in rough))
            if ends is not None:
                real[part].clamp_(*ends)
            self._settle(value, ends, seen[part])

        self.workers.each(compute, self.parts)

    def _layer(self, node: Node, rough: list[Tensor], tune: Tune | None, correct: bool) -> None:
        """A layer with integer weights: its answers, what they are off, and that less its mean."""
        exact = self.real[node.inputs[0]]
        value, real, seen = self._made(node)
        ends = self.plan.bounds(node) if value != node.name else None
        if tune is not None:  # it wants all answers at once
            self.workers.each(lambda part: real[part].copy_(self.network.compute(node, exact[part])), self.parts)
            tune(node, exact, rough[0], real)
        weights = quantized_weights(node, self.plan)

        def compare(part: slice) -> _Error:
            answer = self.network.compute(node, exact[part]) if tune is None else real[part]
            noisy = self.network.compute(node, rough[0][part], weights=weights)
            seen[part] = noisy
            error = _Error.of(answer, torch.sub(answer, noisy, out=noisy))
            real[part] = answer if ends is None else answer.clamp_(*ends)
            return error

        error = _Error.together(self.workers.each(compare, self.parts))
        self.ratios[node.name] = error.ratio(correct)
        shift = torch.zeros(())
        if correct:
            shift = move_bias(self.plan, node, error.mean).view(1, -1, *[1] * (seen.ndim - 2))
        self.workers.each(lambda part: self._settle(value, ends, seen[part].add_(shift)), self.parts)


@dataclass
class _Error:
    """What a layer's answers are off in some images.

    Attributes:
        count: numbers in a channel.
        mean: their mean error, float64 ``(C,)``.
        spread: sum of squares of the errors less their means, over all channels.
        signal: sum of squares of the answers.
    """

    count: int
    mean: Tensor
    spread: float
    signal: float

    @classmethod
    def of(cls, answer: Tensor, error: Tensor) -> _Error:
        """Of answers ``(N, C, ...)`` and their error, which is overwritten."""
        mean = error.mean([axis for axis in range(error.ndim) if axis != 1], keepdim=True)
        count = error.numel() // mean.numel()
        spread = float(error.sub_(mean).norm()) ** 2
        return cls(count, mean.flatten().double(), spread, float(answer.norm()) ** 2)

    @classmethod
    def together(cls, parts: list[_Error]) -> _Error:
        """Of all images, from those of each part."""
        count = sum(part.count for part in parts)
        mean = torch.stack([part.mean * part.count for part in parts]).sum(0) / count
        apart = sum(part.count * float((part.mean - mean).square().sum()) for part in parts)
        return cls(count, mean, sum(part.spread for part in parts) + apart, sum(part.signal for part in parts))

    def ratio(self, corrected: bool) -> float:
        """Signal over noise in decibels; ``corrected``: the mean error is taken away."""
        noise = self.spread + (0.0 if corrected else self.count * float(self.mean.square().sum()))
        return 10 * float(np.log10(max(self.signal, 1e-300) / max(noise, 1e-300)))


def quantized_weights(node: Node, plan: Plan) -> dict[str, Tensor]:
    """A layer's weight and bias as the plan has them, by role, float32."""
    weight = torch.from_numpy(plan.weights[node.weights["weight"]].dense())
    return {"weight": weight, "bias": torch.from_numpy(plan.biases[node.name].astype(np.float32))}


def scales_of(form: Integer, outputs: int) -> Tensor:
    """A form's scales, one for each output, float32 ``(outputs,)``."""
    return torch.from_numpy(np.broadcast_to(form.scales, (outputs,)).copy())
