"""The graph: a topologically ordered list of nodes over named values, with its weights beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import prod
from typing import Any

import numpy as np

from paring.errors import GraphError
from paring.forms import Dense, Form, Integer
from paring.graph._codes import infer_codes
from paring.graph._integer import QuantParams
from paring.graph._integer_ops import INTEGER_OPS, OPS

#: Largest number of elements one value may have; no few bytes of file can ask for more memory than this.
MAX_VALUE_ELEMENTS = 1 << 27

#: Attribute values a node may hold.
Attr = bool | int | float | str | tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operation; its output value carries its name.

    Attributes:
        name: dotted module path where there is one (``layer1.0.conv1``), unique in the graph.
        op: a key of :data:`paring.graph.OPS`.
        inputs: names of the values it reads, in the operator's order.
        attrs: the operator's attributes; every one of the operator's is present after :meth:`Graph.validate`.
        weights: role (``weight``, ``bias``, ...) to the weight's name in :attr:`Graph.weights`; nodes may share.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Graph:
    """A network as data.

    Attributes:
        inputs: name to batch-free NHWC shape of each input value.
        nodes: operations in an order in which every value is made before it is read.
        outputs: names of the values the network answers with.
        weights: name (``fc1.weight``) to form.
    """

    inputs: dict[str, tuple[int, ...]]
    nodes: list[Node]
    outputs: tuple[str, ...]
    weights: dict[str, Form] = field(default_factory=dict)

    def validate(self) -> dict[str, tuple[int, ...]]:
        """Check the whole graph, fill attribute defaults in and return every value's batch-free shape.

        Raises:
            GraphError: naming the node, on an unknown operator or attribute, a value read before it is made, a name
                used twice, a missing or unused weight, shapes that do not fit, or codes and floats mixed.
        """
        return self._validated()[0]

    def codes(self) -> dict[str, QuantParams]:
        """What the values that are codes stand for, by name; all other values are floats. Validates like
        :meth:`validate`.

        Raises:
            GraphError: as :meth:`validate`.
        """
        return self._validated()[1]

    def _validated(self) -> tuple[dict[str, tuple[int, ...]], dict[str, QuantParams]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for name, shape in self.inputs.items():
            if not shape or len(shape) > 3 or any(axis < 1 for axis in shape):
                raise GraphError("input has an impossible shape", where=name, found=shape, expected="1 to 3 axes >= 1")
            shapes[name] = tuple(int(axis) for axis in shape)
        used: set[str] = set()
        for position, node in enumerate(self.nodes):
            if node.name in shapes:
                raise GraphError("name is used twice", where=node.name)
            self.nodes[position] = node = self._completed(node)
            sources = [self._shape_of(shapes, name, node.name) for name in node.inputs]
            weights = {role: self._weight_shape(name, node.name) for role, name in node.weights.items()}
            try:
                shapes[node.name] = OPS[node.op].infer(node.attrs, sources, weights)
            except GraphError as error:
                raise GraphError(
                    f"{node.op}: {error.what}", where=node.name, found=error.found, expected=error.expected
                ) from None
            if prod(shapes[node.name]) > MAX_VALUE_ELEMENTS:
                raise GraphError("value is too large", where=node.name, found=shapes[node.name])
            used.update(node.weights.values())
        for name in self.outputs:
            self._shape_of(shapes, name, "output")
        if not self.outputs:
            raise GraphError("graph has no output")
        if unused := sorted(set(self.weights) - used):
            raise GraphError("weight is read by no node", where=unused[0])
        return shapes, infer_codes(self.nodes, self.outputs, self.weights, shapes)

    def weight_users(self) -> dict[str, list[tuple[Node, str]]]:
        """Weight name to the (node, role) pairs that read it."""
        users: dict[str, list[tuple[Node, str]]] = {name: [] for name in self.weights}
        for node in self.nodes:
            for role, name in node.weights.items():
                users[name].append((node, role))
        return users

    def dense_copy(self) -> Graph:
        """The same network with every weight expanded to 32-bit dense; shares the nodes.

        Codes that operators on codes read stay as they are: those compute with nothing else.
        """
        kept = {node.weights["weight"] for node in self.nodes if node.op in INTEGER_OPS and "weight" in node.weights}
        weights: dict[str, Form] = {
            name: form if name in kept and isinstance(form, Integer) else Dense(form.dense())
            for name, form in self.weights.items()
        }
        return Graph(dict(self.inputs), list(self.nodes), self.outputs, weights)

    @property
    def parameters(self) -> int:
        """Number of weights, zeros and biases included."""
        return sum(form.size for form in self.weights.values())

    def _completed(self, node: Node) -> Node:
        spec = OPS.get(node.op)
        if spec is None:
            near = get_close_matches(node.op, OPS, 3)
            raise GraphError("unknown operator", where=node.name, found=node.op, expected=" or ".join(near) or None)
        if not spec.min_inputs <= len(node.inputs) <= spec.max_inputs:
            raise GraphError(f"{node.op} has the wrong number of inputs", where=node.name, found=len(node.inputs))
        if unknown := sorted(set(node.attrs) - set(spec.attrs)):
            raise GraphError(f"{node.op} has no such attribute", where=node.name, found=unknown[0])
        attrs: dict[str, Any] = {}
        for name, default in spec.attrs.items():
            attrs[name] = _checked_attr(node, name, node.attrs.get(name, default), default)
        roles = set(node.weights)
        if missing := sorted(set(spec.required_weights) - roles):
            raise GraphError(f"{node.op} lacks a weight", where=node.name, found=missing[0])
        if unknown := sorted(roles - set(spec.required_weights) - set(spec.optional_weights)):
            raise GraphError(f"{node.op} has no such weight", where=node.name, found=unknown[0])
        return Node(node.name, node.op, tuple(node.inputs), attrs, dict(node.weights))

    def _shape_of(self, shapes: Mapping[str, tuple[int, ...]], name: str, reader: str) -> tuple[int, ...]:
        if name not in shapes:
            raise GraphError("value is read before it is made", where=reader, found=name)
        return shapes[name]

    def _weight_shape(self, name: str, reader: str) -> tuple[int, ...]:
        if name not in self.weights:
            raise GraphError("weight is missing", where=reader, found=name)
        return self.weights[name].shape


def _checked_attr(node: Node, name: str, value: Any, default: Attr) -> Attr:
    """``value`` in the type of ``default``; ints pass for floats, nothing else is converted."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(default, tuple):
        if isinstance(value, Iterable) and not isinstance(value, str):
            value = tuple(value)
        good = isinstance(value, tuple) and len(value) == len(default) and all(type(v) is int for v in value)
        if good and all(abs(v) < 1 << 31 for v in value):
            return value
    elif type(value) is type(default):
        in_range = not isinstance(value, int) or abs(value) < 1 << 31
        if in_range and not (isinstance(value, float) and np.isnan(value)):
            return value
    raise GraphError(f"invalid {node.op} attribute {name!r}", where=node.name, found=value, expected=f"like {default}")
