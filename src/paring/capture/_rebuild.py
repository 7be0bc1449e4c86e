"""From a graph to a torch module that computes the same, trainable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.capture._rebuild_integer import INTEGER_OPS, moved
from paring.capture._rules_activations import ELEMENTWISE
from paring.errors import ArgumentError, GraphError
from paring.forms import Dense, Form, Integer, largest_code
from paring.graph import Graph, Node
from paring.layers import TensorCodes, clamp_codes, integer_weight, lookup_codes, scale_and_shift

Weights = dict[str, Tensor]


def rebuild(graph: Graph | Any, norms: Mapping[str, nn.Module] | None = None) -> Rebuilt:
    """A torch module that computes what the graph does, with every weight a float32 parameter of its exact value.

    Its ``state_dict`` has the graph's weight names. It takes ``(N, C, H, W)`` or ``(N, F)`` tensors, one per input of
    the graph, and gives a tensor, or a tuple of them, in the same layout. A convolution or fully connected layer whose
    weight no other reads is an ``nn.Conv2d`` or ``nn.Linear`` of its own, which methods and hooks find under its path.

    What the graph computes on codes, the module computes in the same integers, bit for bit, with the straight-through
    gradients of ``paring.layers``: a layer's parameter is rounded to the codes of its form's scales on the way.

    Args:
        graph: any well-formed graph, or what holds one: a model of :func:`paring.load`, the contents of a file.
        norms: name of a ``scale_shift`` node to the batch norm to stand in its place, so that it is trained as one
            (:func:`batch_norms` finds them); it goes by the node's name in the ``state_dict``.

    Raises:
        GraphError: if the graph is not well formed, or a batch norm does not fit its node.
        ArgumentError: if ``graph`` is no graph and holds none.
    """
    held = getattr(graph, "graph", graph)
    if not isinstance(held, Graph):
        raise ArgumentError("not a graph", found=type(graph).__name__, expected="a Graph, a Model or Contents")
    return Rebuilt(held, norms)


class Rebuilt(nn.Module):
    """An interpreter of a graph in torch; see :func:`rebuild`."""

    def __init__(self, graph: Graph, norms: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        self._shapes = graph.shapes
        self._inputs = graph.inputs
        self._nodes = graph.nodes
        self._answers, self._answer_names = graph.outputs, graph.output_names
        self._last = {name: node.name for node in graph.nodes for name in node.inputs}
        self._codes = graph.quant_params
        self._integers = {name: form for name, form in graph.weights.items() if isinstance(form, Integer)}
        self._weights = tuple(graph.weights)
        self._own: dict[str, str] = {}
        self._norms = tuple(norms or ())
        replaced = _replaced(graph, norms or {})
        for name, layer in _own_layers(graph).items():
            path = name.rpartition(".")[0]
            self._own[layer.name] = path
            self._put(path, _layer(layer, graph))
        for name, form in graph.weights.items():
            path, _, leaf = name.rpartition(".")
            if path not in self._own.values() and name not in replaced:
                self._at(path).register_parameter(leaf, nn.Parameter(torch.from_numpy(form.dense())))
        for name, norm in (norms or {}).items():
            self._put(name, norm)

    def _at(self, path: str) -> nn.Module:
        """The module at a path, made of plain modules where there is none."""
        owner: nn.Module = self
        for step in filter(None, path.split(".")):
            if step not in owner._modules:
                owner.add_module(step, nn.Module())
            owner = owner._modules[step]  # type: ignore[assignment]
        return owner

    def _put(self, path: str, module: nn.Module) -> None:
        parent, _, leaf = path.rpartition(".")
        self._at(parent).add_module(leaf, module)

    def forward(self, *inputs: Tensor) -> Any:
        """Answers ``(N, C, H, W)`` or ``(N, F)``; of many a tuple, or a dictionary where they have names."""
        kept = {name: value for name, value in self.steps(*inputs) if name in self._answers}
        answers = tuple(kept[name] for name in self._answers)
        if self._answer_names:
            return dict(zip(self._answer_names, answers, strict=True))
        return answers[0] if len(answers) == 1 else answers

    def takes(self, inputs: Sequence[Tensor]) -> bool:
        """Whether these inputs have the shapes that the graph was made for."""
        shapes = [tuple(x.shape[1:]) for x in inputs]  # (C, H, W), (C, L) or (F,)
        turned = [(*((1,) * (len(s) == 2)), *s[1:], s[0]) if len(s) > 1 else s for s in shapes]
        return turned == list(self._inputs.values())

    def steps(self, *inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Every value's name and tensor, inputs first, in the order in which they are made.

        A value is forgotten here once nothing further reads it, so that whoever only looks at each holds few.
        """
        values = dict(zip(self._inputs, inputs, strict=True))
        for name, value in values.items():  # (N, C, L) is a map of height 1
            if value.ndim == 3:
                values[name] = value.unsqueeze(2)
        yield from list(values.items())
        for node in self._nodes:
            values[node.name] = self.compute(node, *(values[name] for name in node.inputs))
            yield node.name, values[node.name]
            for name in set(node.inputs):
                if self._last[name] == node.name:
                    del values[name]

    def compute(self, node: Node, *inputs: Tensor, weights: Weights | None = None) -> Tensor:
        """One node of the graph on these inputs, with the parameters as they are or, by role, the ``weights`` given."""
        if node.op in INTEGER_OPS:
            return INTEGER_OPS[node.op](self, node, *inputs)
        if node.name in self._own and weights is None:
            layer = self.get_submodule(self._own[node.name])
            if isinstance(layer, nn.Conv2d) and not any(layer.padding):
                return layer(_padded(inputs[0], node.attrs["padding"]))
            return layer(*inputs)
        if node.name in self._norms:
            return self.get_submodule(node.name)(*inputs)
        own = {role: self._tensor(name) for role, name in node.weights.items()} if weights is None else weights
        if node.op == "lookup":
            return lookup_codes(inputs[0], own["table"].detach())
        if node.name in self._codes:
            zero = self.codes_of(node.name).zero_point
            return moved(lambda *x: _TORCH_OPS[node.op](node, own, *x), zero, *inputs)
        function = ELEMENTWISE.get(node.op) or _TORCH_OPS.get(node.op)
        if function is None:
            fix = "Give it to paring.capture.register_operator"
            raise GraphError("operator has no torch side", where=node.name, found=node.op, fix=fix)
        return function(node, own, *inputs)

    def codes_of(self, value: str) -> TensorCodes:
        """What a value's codes stand for."""
        codes = self._codes[value]
        return TensorCodes(torch.tensor(codes.scale), codes.zero_point, codes.bits)

    def weight_of(self, node: Node) -> tuple[Tensor, Tensor, Tensor | None]:
        """Codes, scales and float bias of a layer that computes with codes."""
        name = node.weights["weight"]
        bias = self._tensor(node.weights["bias"]) if "bias" in node.weights else None
        return *self._integer(name), bias

    def settle(self, node: Node, t: Tensor) -> Tensor:
        """Round and clamp what a node computed to its codes."""
        a: Any = node.attrs
        return clamp_codes(t, a["zero_point"], a["low"], a["high"])

    def _integer(self, name: str) -> tuple[Tensor, Tensor]:
        """Codes and scales of a weight that is integers."""
        weight, form = self._tensor(name), self._integers[name]
        scales = torch.tensor(form.scales, device=weight.device)
        shape = [1] * weight.ndim
        shape[form.axis] = -1
        return integer_weight(weight, scales.view(shape), largest_code(form.bits)), scales

    def as_graph(self) -> Graph:
        """The graph with the weights as they are now: nodes keep their names, a batch norm becomes ``scale_shift``.

        Integer weights are rounded anew with the scales that they had; all others become dense.
        """
        weights: dict[str, Form] = {}
        made: dict[str, Tensor] = {}
        for node in self._nodes:
            if node.name in self._norms:
                scale, shift = scale_and_shift(self.get_submodule(node.name))
                made |= {node.weights["scale"]: scale, node.weights["shift"]: shift}
        with torch.no_grad():
            for name in self._weights:
                tensor = made[name] if name in made else self._tensor(name)
                if name in self._integers:
                    form, codes = self._integers[name], self._integer(name)[0].to(torch.int8)
                    weights[name] = Integer(codes.numpy(force=True), form.scales, form.bits, form.axis)
                    continue
                weights[name] = Dense(tensor.detach().float().numpy(force=True).copy())
        return Graph(self._inputs, self._nodes, self._answers, weights, self._answer_names)

    def _tensor(self, name: str) -> Tensor:
        """A weight by its name; its effective value where it is parametrized."""
        owner: Any = self
        for step in name.split("."):
            owner = getattr(owner, step)
        return owner


def _replaced(graph: Graph, norms: Mapping[str, nn.Module]) -> set[str]:
    """Names of the weights for which batch norms stand."""
    nodes, users, gone = {node.name: node for node in graph.nodes}, graph.weight_users(), set()
    for name, norm in norms.items():
        node = nodes.get(name)
        if node is None or node.op != "scale_shift":
            raise GraphError("batch norm stands for no scale_shift node", where=name)
        for role, given in zip(("scale", "shift"), scale_and_shift(norm), strict=True):
            weight = node.weights[role]
            there = graph.weights[weight].dense()
            if given.shape != there.shape or not np.allclose(given.numpy(force=True), there, 1e-4, 1e-5):
                raise GraphError(f"batch norm has another {role} than its node", where=name)
            if len(users[weight]) > 1:
                raise GraphError(f"batch norm's {role} is read by other nodes, too", where=name)
            gone.add(weight)
    return gone


def _own_layers(graph: Graph) -> dict[str, Node]:
    """Weight names to the nodes that can be modules of their own: nobody else reads or lives beside the weight."""
    users, found = graph.weight_users(), {}
    owners = Counter(name.rpartition(".")[0] for name in graph.weights)
    for node in graph.nodes:
        name, bias = node.weights.get("weight", ""), node.weights.get("bias")
        path, _, leaf = name.rpartition(".")
        alone = all(len(users[weight]) == 1 for weight in node.weights.values())
        below = any(other.startswith(f"{path}.") for other in owners)
        plain = node.op in ("conv2d", "linear") and path and leaf == "weight" and bias in (None, f"{path}.bias")
        if plain and alone and not below and owners[path] == len(node.weights):
            found[name] = node
    return found


def _layer(node: Node, graph: Graph) -> nn.Module:
    a: Any = node.attrs
    tensors = {role: torch.from_numpy(graph.weights[name].dense()) for role, name in node.weights.items()}
    weight, bias = tensors["weight"], "bias" in tensors
    layer: nn.Module
    if node.op == "linear":
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias, device="meta")
    else:
        top, bottom, left, right = a["padding"]
        sides = (top, left) if top == bottom and left == right else (0, 0)
        channels, kernel = weight.shape[1] * a["groups"], (weight.shape[2], weight.shape[3])
        layer = nn.Conv2d(
            channels, weight.shape[0], kernel, a["stride"], sides, a["dilation"], a["groups"], bias, device="meta"
        )
    for role, tensor in tensors.items():
        layer.register_parameter(role, nn.Parameter(tensor))
    return layer


def _padded(x: Tensor, padding: Any, value: float = 0.0) -> Tensor:
    top, bottom, left, right = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x


def _conv2d(node: Node, w: Weights, x: Tensor) -> Tensor:
    a: Any = node.attrs
    top, bottom, left, right = a["padding"]
    even = top == bottom and left == right  # the convolution pads by itself, without a copy
    x, sides = (x, (top, left)) if even else (_padded(x, a["padding"]), (0, 0))
    return F.conv2d(x, w["weight"], w.get("bias"), a["stride"], sides, a["dilation"], a["groups"])


def _conv_transpose2d(node: Node, w: Weights, x: Tensor) -> Tensor:
    a: Any = node.attrs
    (top, bottom, left, right), extra = a["padding"], a["output_padding"]
    tail = (a["groups"], a["dilation"])
    if top == bottom and left == right:
        return F.conv_transpose2d(x, w["weight"], w.get("bias"), a["stride"], (top, left), extra, *tail)
    full = F.conv_transpose2d(x, w["weight"], None, a["stride"], 0, 0, *tail)
    cut = F.pad(full, (-left, extra[1] - right, -top, extra[0] - bottom))
    return cut + _per_channel(w["bias"], x) if "bias" in w else cut


def _per_channel(vector: Tensor, x: Tensor) -> Tensor:
    return vector.view(1, -1, *[1] * (x.ndim - 2))


def _max_pool(node: Node, w: Weights, x: Tensor) -> Tensor:
    a: Any = node.attrs
    top, bottom, left, right = a["padding"]
    if top == bottom and left == right:
        return F.max_pool2d(x, a["kernel"], a["stride"], (top, left), a["dilation"], a["ceil_mode"])
    return F.max_pool2d(
        _padded(x, a["padding"], -torch.inf), a["kernel"], a["stride"], 0, a["dilation"], a["ceil_mode"]
    )


def _avg_pool(node: Node, w: Weights, x: Tensor) -> Tensor:
    a: Any = node.attrs
    top, bottom, left, right = a["padding"]
    if top == bottom and left == right:
        return F.avg_pool2d(x, a["kernel"], a["stride"], (top, left), a["ceil_mode"], a["count_include_pad"])
    total = F.avg_pool2d(_padded(x, a["padding"]), a["kernel"], a["stride"], 0, a["ceil_mode"])
    if a["count_include_pad"]:
        return total
    ones = _padded(torch.ones_like(x), a["padding"])
    return total / F.avg_pool2d(ones, a["kernel"], a["stride"], 0, a["ceil_mode"])


def _flatten(node: Node, w: Weights, x: Tensor) -> Tensor:
    return (x.movedim(1, -1) if node.attrs["order"] == "hwc" else x).flatten(1)


def _broadcast(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return x, y if x.ndim == y.ndim else y.view(*y.shape, *[1] * (x.ndim - y.ndim))


def _pad(node: Node, w: Weights, x: Tensor) -> Tensor:
    a: Any = node.attrs
    front, back = a["channels"]
    return F.pad(_padded(x, a["padding"]), (0, 0, 0, 0, front, back))


def _shuffle(node: Node, w: Weights, x: Tensor) -> Tensor:
    groups: Any = node.attrs["groups"]
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def _lrn(node: Node, w: Weights, x: Tensor) -> Tensor:
    a: Any = node.attrs
    return F.local_response_norm(x, a["size"], a["alpha"], a["beta"], a["k"])


_TORCH_OPS: dict[str, Callable[..., Tensor]] = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "linear": lambda node, w, x: F.linear(x, w["weight"], w.get("bias")),
    "scale_shift": lambda node, w, x: x * _per_channel(w["scale"], x) + _per_channel(w["shift"], x),
    "softmax": lambda node, w, x: x.softmax(1),
    "prelu": lambda node, w, x: F.prelu(x, w["slope"]),
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "adaptive_avg_pool": lambda node, w, x: F.adaptive_avg_pool2d(x, node.attrs["size"]),
    "global_avg_pool": lambda node, w, x: x.mean((2, 3)),
    "channel_mean": lambda node, w, x: x.mean(1, keepdim=True),
    "flatten": _flatten,
    "add": lambda node, w, x, y: torch.add(*_broadcast(x, y)),
    "mul": lambda node, w, x, y: torch.mul(*_broadcast(x, y)),
    "concat": lambda node, w, *x: torch.cat(x, 1),
    "slice_channels": lambda node, w, x: x[:, node.attrs["start"] : node.attrs["stop"]],
    "channel_shuffle": _shuffle,
    "subsample": lambda node, w, x: x[:, :, :: node.attrs["stride"][0], :: node.attrs["stride"][1]],
    "pad": _pad,
    "lrn": _lrn,
}
