"""Quantization-aware training: the integers of a quantized network trained through their rounding.

Jacob et al. 2018, arXiv 1712.05877, section 3; Krishnamoorthi 2018, arXiv 1806.08342, section 3.2. Real weights are
kept and rounded to codes in every forward pass; backwards, rounding passes gradients on (straight-through: Bengio,
Leonard, Courville 2013, arXiv 1308.3432) and clamping stops them outside its range. What is computed forwards are the
integers of ``docs/reference/arithmetic.md``: multipliers, integer biases, rounded means and all, so every code is bit
for bit the engine's; layers that stay in float, as the last one does, agree to a float's last digits.

    made = quantize(graph, images, weights=4, norms=norms)
    network = quantization_aware(made)              # answers as the quantized network does
    ...                                             # train it as any other
    network.as_graph()                              # the same kind of graph as made.graph

Scales are held at what was found after training, or learned (Esser et al. 2020, "LSQ", arXiv 1902.08153, sections 2.1
and 2.2): their gradients come from the chain rule through the rounding and are multiplied by ``1 / sqrt(N Q)``, where
``N`` numbers share the scale and ``Q`` is the largest code. Zero points stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paring.capture import BatchNorm, Rebuilt
from paring.errors import ArgumentError
from paring.forms import Dense, Form, Integer
from paring.graph import Graph, Node, QuantParams
from paring.layers import TensorCodes, dequantize_codes, integer_weight
from paring.methods.integer._plan import Plan, clamps
from paring.methods.integer._report import Quantized
from paring.methods.integer._weight_scales import largest_code
from paring.methods.integer.qat._norms import FoldedNorm
from paring.methods.integer.qat._scales import around_tables, scale_groups, trained_scale

#: What becomes of scales in training.
SCALES_IN_TRAINING = ("learned", "held")
#: Bound on integer biases in training, a little below :func:`paring.graph.least_scales`'s.
_MOST_BIAS = float((1 << 30) - 4096)


def quantization_aware(made: Quantized, *, scales: str = "learned", norm_delay: int | None = None) -> QATModule:
    """The quantized network as a module to be trained.

    At the beginning its codes are those of ``made``; behind them stand the float weights, where they round to other
    codes (learned rounding) brought next to these.

    Args:
        made: from :func:`paring.methods.quantize`, at any widths. Not changed. Batch norms that it was given
            (``norms=norm_statistics(...)``) are trained as such; without them weights are trained as folded.
        scales: ``learned`` or ``held``, for weights and activations alike; those around a table are always held.
        norm_delay: training passes after which batch statistics give way to the moving ones; None: not before
            :meth:`Aware.freeze_norms`. 0: from the start.

    Raises:
        ArgumentError: on another value of ``scales`` or ``norm_delay``, or a norm that does not fit its layer.
    """
    if scales not in SCALES_IN_TRAINING:
        raise ArgumentError("unknown treatment of scales", found=repr(scales), expected="learned or held")
    if norm_delay is not None and norm_delay < 0:
        raise ArgumentError("invalid delay", found=norm_delay, expected="0 up, or None")
    return QATModule(made.plan, made.norms, scales == "learned", norm_delay)


class QATModule(Rebuilt):
    """A trainable simulation of a quantized network; see :func:`quantization_aware`.

    Parameters go by the graph's weight names; batch norms by ``norms.LAYER``, scales by ``weight_scales.WEIGHT`` and
    ``value_scales.VALUE``, dots made slashes. In eval mode, and in training once norms are frozen or where there are
    none, every value is the one that the emitted graph computes.

    Attributes:
        passes: training passes so far, int64.
        frozen: whether batch statistics have given way to the moving ones, bool.
    """

    passes: Tensor
    frozen: Tensor

    def __init__(self, plan: Plan, norms: Mapping[str, BatchNorm], learned: bool, norm_delay: int | None) -> None:
        graph, self._bounds = plan.emit_with_bounds()
        super().__init__(graph)
        self._norm_delay, self._emitted = norm_delay, graph
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))
        self.register_buffer("frozen", torch.tensor(not norms or norm_delay == 0))
        self._layers = {node.name: node for node in graph.nodes if _weight(node) in self._integers}
        self._readers = {
            name: [node for node in self._layers.values() if _weight(node) == name] for name in self._integers
        }
        self._norm_of = self._add_norms(plan, norms)
        self._start_weights(plan)
        self._group = scale_groups(graph)
        held = around_tables(graph, self._group)
        self.weight_scales, self.value_scales = nn.ParameterDict(), nn.ParameterDict()
        for name, form in self._integers.items():
            given = torch.from_numpy(form.scales.copy())
            self.weight_scales[_key(name)] = nn.Parameter(given, requires_grad=learned)
        for group in dict.fromkeys(self._group.values()):
            given = torch.tensor(self._codes[group].scale)
            self.value_scales[_key(group)] = nn.Parameter(given, requires_grad=learned and group not in held)
        for node in graph.nodes:
            if node.op == "lookup":
                self._tensor(node.weights["table"]).requires_grad_(False)

    # --- the beginning -------------------------------------------------------------------------------------------

    def _add_norms(self, plan: Plan, norms: Mapping[str, BatchNorm]) -> dict[str, str]:
        """A folded norm for each; node of the emitted graph to its name."""
        self.norms = nn.ModuleDict()
        owners = {node.weights["weight"]: node for node in plan.graph.nodes if node.name in plan.roles.bits}
        nodes = {node.name: node for node in owners.values()}
        found = {}
        for layer, norm in norms.items():
            node = nodes.get(layer)
            if node is None or layer not in plan.biases:
                if any(node.name == layer for node in plan.graph.nodes):
                    continue  # a layer left in float keeps its folded norm
                raise ArgumentError("batch norm belongs to no layer", found=layer, expected=", ".join([*nodes][:5]))
            bias = plan.biases[layer]
            if len(norm.gamma) != len(bias):
                raise ArgumentError("batch norm has other channels", where=layer, found=len(norm.gamma))
            shift = np.zeros(len(bias))
            if "bias" in node.weights:
                shift = plan.graph.weights[node.weights["bias"]].dense().astype(np.float64)
            self.norms[_key(layer)] = FoldedNorm(norm, bias, shift)
            emitted = next(n for n in self._layers.values() if _weight(n) == node.weights["weight"])
            found[emitted.name] = _key(layer)
        return found

    @torch.no_grad()
    def _start_weights(self, plan: Plan) -> None:
        """Real weights that round to the plan's codes, the float ones wherever these do; biases of norms go."""
        for name, form in self._integers.items():
            parameter = self._tensor(name)
            near = torch.from_numpy(form.dense())
            shape = [1] * near.ndim
            shape[form.axis] = -1
            half = 0.49 * torch.from_numpy(form.scales.copy()).view(shape)
            top = near.abs() >= (largest_code(form.bits) - 0.5) * half / 0.49
            real = torch.from_numpy(plan.graph.weights[name].dense())
            low = torch.where(top & (near < 0), torch.minimum(real, near), near - half)
            high = torch.where(top & (near > 0), torch.maximum(real, near), near + half)
            real = torch.minimum(torch.maximum(real, low), high)
            for node in self._readers[name]:
                if node.name in self._norm_of:
                    real = self._norm(node).unfold(real)
                    path, _, leaf = node.weights["bias"].rpartition(".")
                    self._at(path).register_parameter(leaf, None)
            parameter.copy_(real)

    # --- what is computed ----------------------------------------------------------------------------------------

    def forward(self, *inputs: Tensor) -> Any:
        answers = super().forward(*inputs)
        if self.training:
            self.passes += 1
            if self._norm_delay is not None and self.passes >= self._norm_delay:
                self.frozen.fill_(True)
        return answers

    def freeze_norms(self) -> None:
        """Let the moving statistics take the batches' place, for the rest of the training."""
        self.frozen.fill_(True)

    def compute(self, node: Node, *inputs: Tensor, weights: dict[str, Tensor] | None = None) -> Tensor:
        if weights is not None or node.name not in self._layers:
            return super().compute(node, *inputs, weights=weights)
        if node.name in self._norm_of and self.training and not self.frozen:
            return self._with_batch_statistics(node, inputs[0])
        if node.op.startswith("integer_"):
            return super().compute(node, *inputs)
        codes, scales, bias = self.weight_of(node)
        return super().compute(node, *inputs, weights=_by_role(codes * self._across(node, scales), bias))

    def _with_batch_statistics(self, node: Node, x: Tensor) -> Tensor:
        """A layer with a batch norm, answers normalized by the batch, weights as they will be."""
        norm = self._norm(node)
        codes, scales, _ = self.weight_of(node)
        on_codes = node.op.startswith("integer_")
        real = dequantize_codes(x, self.codes_of(node.inputs[0])) if on_codes else x
        plain = replace(node, name=f"{node.name}.sums", op=node.op.removeprefix("integer_"))
        rounded = super().compute(plain, real, weights={"weight": codes * self._across(node, scales)})
        factor, bias = norm.correction(super().compute(plain, real, weights={"weight": self._tensor(_weight(node))}))
        shape = (1, -1, *[1] * (rounded.ndim - 2))
        answer = rounded * factor.view(shape) + bias.view(shape)
        return self.settle(node, answer / self.codes_of(node.name).scale) if on_codes else answer

    def codes_of(self, value: str) -> TensorCodes:
        codes, group = self._codes[value], self._group[value]
        count = prod(self._shapes[group])
        return TensorCodes(
            trained_scale(self.value_scales[_key(group)], count, codes.high), codes.zero_point, codes.bits
        )

    def weight_of(self, node: Node) -> tuple[Tensor, Tensor, Tensor | None]:
        return *self._integer(_weight(node)), self._folded(node)[1]

    def settle(self, node: Node, t: Tensor) -> Tensor:
        return super().settle(replace(node, attrs={**node.attrs, **self._clamps(node)}), t)

    def _clamps(self, node: Node) -> dict[str, int]:
        """``low`` and ``high`` for the scale as it is now."""
        if node.name not in self._bounds:
            return {"low": node.attrs["low"], "high": node.attrs["high"]}  # type: ignore[dict-item]
        return clamps(self._numbers(node.name), *self._bounds[node.name])

    def _numbers(self, value: str) -> QuantParams:
        codes = self._codes[value]
        return QuantParams(float(self.codes_of(value).scale.detach()), codes.zero_point, codes.bits)

    def _norm(self, node: Node) -> FoldedNorm:
        norm = self.norms[self._norm_of[node.name]]
        assert isinstance(norm, FoldedNorm)
        return norm

    def _folded(self, node: Node) -> tuple[Tensor, Tensor | None]:
        """A layer's real weight and bias as they are rounded."""
        weight = self._tensor(_weight(node))
        if node.name in self._norm_of:
            return self._norm(node).fold(weight)
        return weight, self._tensor(node.weights["bias"]) if "bias" in node.weights else None

    def _integer(self, name: str) -> tuple[Tensor, Tensor]:
        form, readers = self._integers[name], self._readers[name]
        most = largest_code(form.bits)
        scales = trained_scale(self.weight_scales[_key(name)], prod(form.shape) // len(form.scales), most)
        weight = self._folded(readers[0])[0]
        for node in readers:
            least = self._least_scales(node)
            if least is not None:
                scales = torch.maximum(scales, least if len(scales) > 1 else least.max())
        return integer_weight(weight, self._across(readers[0], scales), most), scales

    @torch.no_grad()
    def _least_scales(self, node: Node) -> Tensor | None:
        """Scales with which the layer's integer bias fits; as :func:`paring.graph.least_scales`."""
        bias = self._folded(node)[1]
        if bias is None or not node.op.startswith("integer_"):
            return None
        least = bias.abs().double() / (self.codes_of(node.inputs[0]).scale.double() * _MOST_BIAS)
        return least.clamp_min(2.0**-90).float()

    def _across(self, node: Node, scales: Tensor) -> Tensor:
        """Scales shaped to multiply the layer's weight."""
        form = self._integers[_weight(node)]
        shape = [1] * len(form.shape)
        shape[form.axis] = -1
        return scales.view(shape)

    # --- the end -------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def as_graph(self) -> Graph:
        """The graph with integers, scales and biases as they are now; norms are folded."""
        weights: dict[str, Form] = {}
        for name in self._integers:
            form, (codes, scales) = self._integers[name], self._integer(name)
            array = codes.to(torch.int8).numpy(force=True)
            weights[name] = Integer(array, scales.numpy(force=True).copy(), form.bits, form.axis)
            for node in self._readers[name]:
                bias = self._folded(node)[1]
                if bias is not None:
                    weights[node.weights["bias"]] = Dense(bias.float().numpy(force=True).copy())
        for name in self._weights:
            if name not in weights:
                weights[name] = Dense(self._tensor(name).detach().float().numpy(force=True).copy())
        nodes = []
        for node in self._nodes:
            attrs = dict(node.attrs)
            if "scale" in attrs and node.name in self._codes:
                attrs |= self._numbers(node.name).attrs()
            if "low" in attrs and node.name in self._codes:
                attrs |= self._clamps(node)
            nodes.append(replace(node, attrs=attrs))
        weights = {name: weights[name] for name in self._weights}
        return Graph(self._inputs, nodes, self._answers, weights, self._answer_names)


def _weight(node: Node) -> str:
    return node.weights.get("weight", "")


def _key(name: str) -> str:
    """A name as torch allows it for a parameter."""
    return name.replace(".", "/")


def _by_role(weight: Tensor, bias: Tensor | None) -> dict[str, Tensor]:
    return {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
