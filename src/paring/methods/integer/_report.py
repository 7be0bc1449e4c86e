"""What became of a network that was quantized: a line for every layer, and what stayed float and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from paring.methods.integer._plan import Plan
from paring.methods.integer._roles import ROUNDING


@dataclass(frozen=True)
class LayerReport:
    """One layer with integer weights.

    Attributes:
        name: node name.
        op: operator.
        weight_bits: width of its weight.
        activation_bits: width of the codes it makes; 32 where it makes floats.
        scales: smallest and largest scale of its weight.
        ratio: signal-to-quantization-noise ratio of its answer in decibels, noise of the layers before it included;
            None where no images were given.
    """

    name: str
    op: str
    weight_bits: int
    activation_bits: int
    scales: tuple[float, float]
    ratio: float | None


@dataclass(frozen=True)
class Report:
    """What became of every node.

    Attributes:
        layers: those with integer weights, in order.
        floats: node to why it computes in float, for every other that does and every layer that keeps its sums.
        on_codes: how many nodes compute on codes.
        notes: what else was done or not done.
    """

    layers: tuple[LayerReport, ...]
    floats: Mapping[str, str]
    on_codes: int
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        width = max([len(layer.name) for layer in self.layers] + [5])
        lines = [f"{'layer':{width}}  weights  answers  scales                 SQNR"]
        for layer in self.layers:
            low, high = layer.scales
            ratio = "" if layer.ratio is None else f"{layer.ratio:6.1f} dB"
            answers = "float" if layer.activation_bits == 32 else f"{layer.activation_bits} bits"
            lines.append(
                f"{layer.name:{width}}  {layer.weight_bits} bits   {answers:7}  {low:.2e} .. {high:.2e}  {ratio}"
            )
        lines += [f"float: {name}: {why}" for name, why in self.floats.items()]
        return "\n".join([*lines, *self.notes])


def describe_plan(plan: Plan, ratios: Mapping[str, float], notes: list[str]) -> Report:
    """The report of a finished plan."""
    roles = plan.roles
    layers = []
    for node in plan.graph.nodes:
        if node.name not in roles.bits:
            continue
        form = plan.weights[node.weights["weight"]]
        made = plan.codes.get(roles.settled(node.name)) if roles.role[node.name] == "layer" else None
        layers.append(
            LayerReport(
                node.name,
                node.op,
                form.bits,
                made.bits if made else 32,
                (float(form.scales.min()), float(form.scales.max())),
                ratios.get(node.name),
            )
        )
    on_codes = sum(role in (*ROUNDING, "move", "fused") for role in roles.role.values())
    return Report(tuple(layers), dict(roles.reason), on_codes, tuple(notes))
