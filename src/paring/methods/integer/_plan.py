"""From a plan to the quantized graph: integers, and floats between ``dequantize`` and ``quantize`` elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paring.forms import Dense, Form, Integer
from paring.graph import OPS, Graph, Node, QuantParams, dequantize, quantize
from paring.methods.integer._roles import ROUNDING, Roles
from paring.runtime.reference import function


@dataclass
class Plan:
    """Everything that is decided about a quantized network.

    Attributes:
        roles: who computes on codes.
        weights: weight name to its integers.
        biases: node name to its float bias, float64 ``(outputs,)``, for every layer with integer weights.
        codes: value of the float graph to what its codes stand for: rounded values and entries.
    """

    roles: Roles
    weights: dict[str, Integer] = field(default_factory=dict)
    biases: dict[str, np.ndarray] = field(default_factory=dict)
    codes: dict[str, QuantParams] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The float graph."""
        return self.roles.graph

    def emit(self) -> Graph:
        """The quantized graph."""
        return _Emission(self).run()

    def emit_with_bounds(self) -> tuple[Graph, dict[str, tuple[float, float]]]:
        """The quantized graph, and for its nodes with ``low`` and ``high`` the real numbers that these stand for."""
        emission = _Emission(self)
        return emission.run(), emission.bounds

    def bounds(self, node: Node) -> tuple[float, float]:
        """Least and greatest real number that a node's fused or own activation lets through."""
        if node.name in self.roles.fused:
            node = next(n for n in self.graph.nodes if n.name == self.roles.fused[node.name])
        clamp = OPS[node.op].clamp
        return (-np.inf, np.inf) if clamp is None else clamp(node.attrs)


def clamps(codes: QuantParams, low: float, high: float) -> dict[str, int]:
    """The codes between which a result is clamped so that it stays in ``low .. high``."""
    ends = quantize(np.array([low, high], np.float32), codes)
    return {"low": int(ends[0]), "high": int(ends[1])}


class _Emission:
    """One walk over the float graph."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.roles = plan.roles
        self.nodes: list[Node] = []
        self.weights: dict[str, Form] = {}
        self.floats = {name: name for name in plan.graph.inputs}
        self.codes: dict[str, tuple[str, QuantParams]] = {}
        self.bounds: dict[str, tuple[float, float]] = {}
        self.users = plan.graph.weight_users()
        self.taken = {*plan.graph.inputs, *(node.name for node in plan.graph.nodes)}

    def run(self) -> Graph:
        for node in self.plan.graph.nodes:
            role = self.roles.role[node.name]
            if role in ("float", "weights"):
                self._float(node)
            elif role != "fused":
                self._on_codes(node, role)
        source = self.plan.graph
        outputs = tuple(self._as_float(name) for name in source.outputs)
        return source.replaced(nodes=self.nodes, outputs=outputs, weights=self.weights)

    def _float(self, node: Node) -> None:
        inputs = tuple(self._as_float(name) for name in node.inputs)
        self.nodes.append(Node(node.name, node.op, inputs, dict(node.attrs), self._weights_of(node)))
        self.floats[node.name] = node.name

    def _on_codes(self, node: Node, role: str) -> None:
        value = self.roles.settled(node.name)
        made = self.plan.codes[value] if role in ROUNDING else None
        label = self._free(f"{node.name}.codes") if value in self.plan.graph.outputs else node.name
        inputs = [self._as_codes(name, made if role == "concat" else None) for name in node.inputs]
        attrs: dict[str, Any] = dict(node.attrs)
        weights: dict[str, str] = {}
        op = node.op
        if role in ("move", "concat"):
            made = inputs[0][1]
        else:
            assert made is not None
            op, attrs, weights = self._computing(node, role, made, inputs[0][1])
        if "low" in attrs:
            self.bounds[label] = self.plan.bounds(node)
        self.nodes.append(Node(label, op, tuple(name for name, _ in inputs), attrs, weights))
        self.codes[value] = label, made

    def _computing(
        self, node: Node, role: str, made: QuantParams, source: QuantParams
    ) -> tuple[str, dict[str, Any], dict[str, str]]:
        attrs = {**made.attrs(), **clamps(made, *self.plan.bounds(node))}
        if role == "layer":
            return f"integer_{node.op}", {**node.attrs, **attrs}, self._weights_of(node)
        if role == "mean":
            return f"integer_{node.op}", {**node.attrs, **attrs}, {}
        if role == "lookup":
            self.weights[f"{node.name}.table"] = Dense(_table(node, source, made))
            return "lookup", made.attrs(), {"table": f"{node.name}.table"}
        return {"add": "integer_add", "rescale": "rescale"}[role], attrs, {}

    def _weights_of(self, node: Node) -> dict[str, str]:
        graph, plan = self.plan.graph, self.plan
        names = dict(node.weights)
        if node.name in plan.biases:
            shared = "bias" not in names or len(self.users[names["bias"]]) > 1
            if shared:
                names["bias"] = f"{node.name}.bias"
                while names["bias"] in graph.weights or names["bias"] in self.weights:
                    names["bias"] += "_2"
            self.weights[names["bias"]] = Dense(plan.biases[node.name].astype(np.float32))
        for name in names.values():
            if name not in self.weights:
                self.weights[name] = plan.weights.get(name, graph.weights[name])
        return names

    def _as_float(self, value: str) -> str:
        if value not in self.floats:
            source, _ = self.codes[value]
            name = value if value in self.plan.graph.outputs else self._free(f"{source}.dequantize")
            self.nodes.append(Node(name, "dequantize", (source,)))
            self.floats[value] = name
        return self.floats[value]

    def _as_codes(self, value: str, wanted: QuantParams | None) -> tuple[str, QuantParams]:
        """The value's codes; of the ``wanted`` kind, through a ``rescale`` where it has others."""
        if value not in self.codes:
            made = self.plan.codes[value]
            name = self._free(f"{value}.quantize")
            self.nodes.append(Node(name, "quantize", (self.floats[value],), made.attrs()))
            self.codes[value] = name, made
        name, made = self.codes[value]
        if wanted is None or wanted == made:
            return name, made
        label = self._free(f"{name}.rescale")
        attrs = {**wanted.attrs(), "low": 0, "high": wanted.high}
        self.nodes.append(Node(label, "rescale", (name,), attrs))
        return label, wanted

    def _free(self, name: str) -> str:
        while name in self.taken:
            name += "_2"
        self.taken.add(name)
        return name


def _table(node: Node, source: QuantParams, made: QuantParams) -> np.ndarray:
    """The output's code for each code of the input."""
    x = dequantize(np.arange(source.high + 1, dtype=np.uint8), source)
    return quantize(function(node.op)(node.attrs, [x[:, None]], {})[:, 0], made).astype(np.float32)
