"""The graph: a topologically ordered list of nodes over named values, with its weights beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import prod
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from paring.errors import GraphError
from paring.forms import Dense, Form, Integer
from paring.graph._codes import infer_codes
from paring.graph._integer import QuantParams
from paring.graph._integer_ops import INTEGER_OPS, OPS

#: Largest number of elements one value may have; no few bytes of file can ask for more memory than this.
MAX_VALUE_ELEMENTS = 1 << 27

T = TypeVar("T")
#: Attribute values a node may hold.
Attr = bool | int | float | str | tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operation; its output value carries its name.

    Attributes:
        name: dotted module path where there is one (``layer1.0.conv1``), unique in the graph.
        op: a key of :data:`paring.graph.OPS`.
        inputs: names of the values it reads, in the operator's order.
        attrs: the operator's attributes; in a :class:`Graph` every one of the operator's is there.
        weights: role (``weight``, ``bias``, ...) to the weight's name in :attr:`Graph.weights`; nodes may share.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("attrs", "weights"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> Any:
        return Node, (self.name, self.op, self.inputs, dict(self.attrs), dict(self.weights))


@dataclass(frozen=True)
class Graph:
    """A network as data: checked once, when it is made, and never changed.

    Nodes come out completed, with every attribute of their operator; mappings are read-only. :meth:`replaced` and
    :meth:`with_weights` make new graphs that share what stays. A graph can be pickled and copied.

    Attributes:
        inputs: name to batch-free NHWC shape of each input value.
        nodes: operations in an order in which every value is made before it is read.
        outputs: names of the values the network answers with.
        output_names: what these are called, where the network gives them names (the keys of a dictionary); else empty.
        weights: name (``fc1.weight``) to form.
        shapes: every value's batch-free shape by name, inputs first.
        quant_params: what the values that are codes stand for, by name; all other values are floats.

    Raises:
        GraphError: naming the node, on an unknown operator or attribute, a value read before it is made, a name used
            twice, a missing or unused weight, shapes that do not fit, a value of too many elements, or codes and floats
            mixed.
    """

    inputs: Mapping[str, tuple[int, ...]]
    nodes: Sequence[Node]
    outputs: Sequence[str]
    weights: Mapping[str, Form] = field(default_factory=dict)
    output_names: Sequence[str] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(init=False, repr=False, compare=False)
    quant_params: Mapping[str, QuantParams] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        inputs = {name: tuple(shape) for name, shape in self.inputs.items()}
        weights = dict(self.weights)
        outputs, names = tuple(self.outputs), tuple(self.output_names)
        if names and (len(names) != len(outputs) or len(set(names)) < len(names)):
            raise GraphError(
                "names of outputs do not fit", found=", ".join(names), expected=f"{len(outputs)} different"
            )
        nodes, shapes = _inferred(inputs, self.nodes, outputs, {name: form.shape for name, form in weights.items()})
        codes = infer_codes(nodes, outputs, weights, shapes)
        self._set(inputs=inputs, nodes=nodes, outputs=outputs, weights=weights, output_names=names)
        self._set(shapes=shapes, quant_params=codes)

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, MappingProxyType(value) if isinstance(value, dict) else value)

    def __reduce__(self) -> Any:
        return Graph, (dict(self.inputs), self.nodes, self.outputs, dict(self.weights), self.output_names)

    def replaced(
        self,
        *,
        nodes: Iterable[Node] | None = None,
        outputs: Iterable[str] | None = None,
        weights: Mapping[str, Form] | None = None,
    ) -> Graph:
        """A new graph with other nodes, outputs (as many, where they have names) or (all) weights, checked anew.

        Raises:
            GraphError: as for a graph made from its parts.
        """
        return Graph(
            self.inputs,
            self.nodes if nodes is None else tuple(nodes),
            self.outputs if outputs is None else tuple(outputs),
            self.weights if weights is None else weights,
            self.output_names,
        )

    def with_weights(self, weights: Mapping[str, Form]) -> Graph:
        """A new graph with these weights in the place of those of their names; the others stay.

        Nothing is inferred again where shapes stay and no operator on codes reads what is new.

        Raises:
            GraphError: if there is no weight of a name, or the new one does not fit.
        """
        for name in weights:
            if name not in self.weights:
                near = get_close_matches(name, self.weights, 3)
                raise GraphError("graph has no such weight", found=name, expected=" or ".join(near) or None)
        checked = {name for node in self.nodes if node.op in INTEGER_OPS for name in node.weights.values()}
        same = all(form.shape == self.weights[name].shape for name, form in weights.items())
        if not same or not checked.isdisjoint(weights):
            return self.replaced(weights={**self.weights, **weights})
        new = object.__new__(Graph)
        new._set(**{**self.__dict__, "weights": {**self.weights, **weights}})
        return new

    def weight_users(self) -> dict[str, list[tuple[Node, str]]]:
        """Weight name to the (node, role) pairs that read it."""
        users: dict[str, list[tuple[Node, str]]] = {name: [] for name in self.weights}
        for node in self.nodes:
            for role, name in node.weights.items():
                users[name].append((node, role))
        return users

    def readers(self) -> dict[str, list[Node]]:
        """Value name to the nodes that read it, each once, in order."""
        readers: dict[str, list[Node]] = {name: [] for name in self.shapes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers[name].append(node)
        return readers

    def dense_copy(self) -> Graph:
        """The same network with every weight expanded to 32-bit dense; shares the nodes.

        Codes that operators on codes read stay as they are: those compute with nothing else.
        """
        kept = {node.weights["weight"] for node in self.nodes if node.op in INTEGER_OPS and "weight" in node.weights}
        weights: dict[str, Form] = {
            name: form if name in kept and isinstance(form, Integer) else Dense(form.dense())
            for name, form in self.weights.items()
        }
        return self.with_weights(weights)

    def answers(self, values: Mapping[str, T]) -> T | dict[str, T]:
        """What the network answers, of its values by name: one, or a dictionary by the outputs' names.

        Outputs without names of their own go by their values'; a value that is there twice gets ``_2`` behind it.
        """
        if len(self.outputs) == 1:
            return values[self.outputs[0]]
        found: dict[str, T] = {}
        for place, value in enumerate(self.outputs):
            name = self.output_names[place] if self.output_names else value
            count = 1
            while name in found:
                name = f"{value}_{(count := count + 1)}"
            found[name] = values[value]
        return found

    @property
    def parameters(self) -> int:
        """Number of weights, zeros and biases included."""
        return sum(form.size for form in self.weights.values())


def _inferred(
    inputs: Mapping[str, tuple[int, ...]],
    nodes: Iterable[Node],
    outputs: tuple[str, ...],
    weights: Mapping[str, tuple[int, ...]],
) -> tuple[tuple[Node, ...], dict[str, tuple[int, ...]]]:
    """The nodes completed, and every value's shape, from the shapes of inputs and weights."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in inputs.items():
        if not shape or len(shape) > 3 or any(axis < 1 for axis in shape):
            raise GraphError("input has an impossible shape", where=name, found=shape, expected="1 to 3 axes >= 1")
        if prod(shape) > MAX_VALUE_ELEMENTS:
            raise GraphError("value is too large", where=name, found=shape)
        shapes[name] = tuple(int(axis) for axis in shape)
    used: set[str] = set()
    completed = []
    for node in map(_completed, nodes):
        if node.name in shapes:
            raise GraphError("name is used twice", where=node.name)
        for name in node.inputs:
            _expect_made(shapes, name, node.name)
        for name in node.weights.values():
            if name not in weights:
                raise GraphError("weight is missing", where=node.name, found=name)
        sources = [shapes[name] for name in node.inputs]
        try:
            made = OPS[node.op].infer(node.attrs, sources, {role: weights[name] for role, name in node.weights.items()})
        except GraphError as error:
            raise GraphError(
                f"{node.op}: {error.what}", where=node.name, found=error.found, expected=error.expected
            ) from None
        if prod(made) > MAX_VALUE_ELEMENTS:
            raise GraphError("value is too large", where=node.name, found=made)
        shapes[node.name] = made
        completed.append(node)
        used.update(node.weights.values())
    for name in outputs:
        _expect_made(shapes, name, "output")
    if not outputs:
        raise GraphError("graph has no output")
    if unused := sorted(set(weights) - used):
        raise GraphError("weight is read by no node", where=unused[0])
    return tuple(completed), shapes


def _expect_made(shapes: Mapping[str, tuple[int, ...]], name: str, reader: str) -> None:
    if name not in shapes:
        raise GraphError("value is read before it is made", where=reader, found=name)


def _completed(node: Node) -> Node:
    """The node with every attribute of its operator, all of them of the right type, and the weights it needs."""
    spec = OPS.get(node.op)
    if spec is None:
        near = get_close_matches(node.op, OPS, 3)
        raise GraphError("unknown operator", where=node.name, found=node.op, expected=" or ".join(near) or None)
    if not spec.min_inputs <= len(node.inputs) <= spec.max_inputs:
        raise GraphError(f"{node.op} has the wrong number of inputs", where=node.name, found=len(node.inputs))
    if unknown := sorted(set(node.attrs) - set(spec.attrs)):
        raise GraphError(f"{node.op} has no such attribute", where=node.name, found=unknown[0])
    attrs = {name: _checked_attr(node, name, node.attrs.get(name, usual), usual) for name, usual in spec.attrs.items()}
    roles = set(node.weights)
    if missing := sorted(set(spec.required_weights) - roles):
        raise GraphError(f"{node.op} lacks a weight", where=node.name, found=missing[0])
    if unknown := sorted(roles - set(spec.required_weights) - set(spec.optional_weights)):
        raise GraphError(f"{node.op} has no such weight", where=node.name, found=unknown[0])
    return Node(node.name, node.op, tuple(node.inputs), attrs, dict(node.weights))


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
