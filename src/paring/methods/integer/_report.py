"""What became of a network that was quantized: a line for every layer, and what stayed float and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from paring.capture import BatchNorm
from paring.graph import Graph
from paring.methods._report import Report, Row
from paring.methods.integer._plan import Plan
from paring.methods.integer._roles import ROUNDING


@dataclass(frozen=True)
class LayerReport(Row):
    """One layer with integer weights; before and after are bits a weight.

    Attributes:
        op: operator.
        activation_bits: width of the codes it makes; 32 where it makes floats.
        scales: smallest and largest scale of its weight.
        ratio: signal-to-quantization-noise ratio of its answer in decibels, noise of the layers before it included;
            None where no images were given.
    """

    op: str = ""
    activation_bits: int = 32
    scales: tuple[float, float] = (1.0, 1.0)
    ratio: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Quantized(Report[LayerReport]):
    """A quantized network: a row for each layer with integer weights, the graph, and what was decided.

    Attributes:
        floats: node to why it computes in float, for every other that does and every layer that keeps its sums.
        on_codes: how many nodes compute on codes.
        plan: what was decided, over the float graph; quantization-aware training begins from it.
        norms: the batch norms that were given, as equalization left them.
    """

    graph: Graph
    floats: Mapping[str, str]
    on_codes: int
    plan: Plan
    norms: dict[str, BatchNorm] = field(default_factory=dict)

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """As of every report, with the answers' width, the scales and the signal-to-noise ratio."""
        rows: list[tuple[str, ...]] = []
        for row in self.rows:
            low, high = row.scales
            ratio = "" if row.ratio is None else f"{row.ratio:6.1f} dB"
            answers = "float" if row.activation_bits == 32 else f"{row.activation_bits} bits"
            rows.append((row.name, str(row.before), str(row.after), answers, f"{low:.2e} .. {high:.2e}", ratio))
        return ("layer", "before", "after", "answers", "scales", "SQNR"), rows


def describe_plan(plan: Plan, ratios: Mapping[str, float], notes: list[str]) -> Quantized:
    """The report of a finished plan, with its graph."""
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
                32,
                form.bits,
                "",
                "",
                node.op,
                made.bits if made else 32,
                (float(form.scales.min()), float(form.scales.max())),
                ratios.get(node.name),
            )
        )
    on_codes = sum(role in (*ROUNDING, "move", "fused") for role in roles.role.values())
    widths = " and ".join(map(str, sorted({layer.after for layer in layers})))
    return Quantized(
        method="quantize",
        unit="bits a weight",
        rows=tuple(layers),
        summary=f"{len(layers)} layers have {widths}-bit weights, {on_codes} nodes compute on codes",
        notes=(*(f"float: {name}: {why}" for name, why in roles.reason.items()), *notes),
        graph=plan.emit(),
        floats=dict(roles.reason),
        on_codes=on_codes,
        plan=plan,
    )
