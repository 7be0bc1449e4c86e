"""From a graph to a torch module that computes the same, trainable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.graph import Graph, Node
from paring.layers import binary_sign

Weights = dict[str, Tensor]


def rebuild(graph: Graph) -> Rebuilt:
    """A torch module that computes what the graph does, with every weight a float32 parameter of its exact value.

    Its ``state_dict`` has the graph's weight names. It takes ``(N, C, H, W)`` or ``(N, F)`` tensors, one per input of
    the graph, and gives a tensor, or a tuple of them, in the same layout.

    Raises:
        GraphError: if the graph is not well formed.
    """
    return Rebuilt(graph)


class Rebuilt(nn.Module):
    """An interpreter of a graph in torch; see :func:`rebuild`."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._shapes = graph.validate()
        self._inputs = tuple(graph.inputs)
        self._nodes = tuple(graph.nodes)
        self._answers = graph.outputs
        for name, form in graph.weights.items():
            owner: nn.Module = self
            *path, leaf = name.split(".")
            for step in path:
                if step not in owner._modules:
                    owner.add_module(step, nn.Module())
                owner = owner._modules[step]  # type: ignore[assignment]
            owner.register_parameter(leaf, nn.Parameter(torch.from_numpy(form.dense())))

    def forward(self, *inputs: Tensor) -> Any:
        """Answers ``(N, C, H, W)`` or ``(N, F)``, a tuple if there are many."""
        values = dict(zip(self._inputs, inputs, strict=True))
        for name, value in values.items():  # (N, C, L) is a map of height 1
            if value.ndim == 3:
                values[name] = value.unsqueeze(2)
        for node in self._nodes:
            weights = {role: self.get_parameter(name) for role, name in node.weights.items()}
            values[node.name] = _TORCH_OPS[node.op](node, weights, *(values[name] for name in node.inputs))
        answers = tuple(values[name] for name in self._answers)
        return answers[0] if len(answers) == 1 else answers


def _padded(x: Tensor, padding: Any, value: float = 0.0) -> Tensor:
    top, bottom, left, right = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x


def _conv2d(node: Node, w: Weights, x: Tensor) -> Tensor:
    a: Any = node.attrs
    return F.conv2d(_padded(x, a["padding"]), w["weight"], w.get("bias"), a["stride"], 0, a["dilation"], a["groups"])


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


def _of(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda node, w, x: function(x)


_TORCH_OPS: dict[str, Callable[..., Tensor]] = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "linear": lambda node, w, x: F.linear(x, w["weight"], w.get("bias")),
    "scale_shift": lambda node, w, x: x * _per_channel(w["scale"], x) + _per_channel(w["shift"], x),
    "relu": _of(F.relu),
    "clip": lambda node, w, x: x.clamp(node.attrs["low"], node.attrs["high"]),
    "leaky_relu": lambda node, w, x: F.leaky_relu(x, node.attrs["slope"]),
    "sigmoid": _of(torch.sigmoid),
    "tanh": _of(torch.tanh),
    "hard_sigmoid": _of(F.hardsigmoid),
    "hard_swish": _of(F.hardswish),
    "silu": _of(F.silu),
    "gelu": _of(F.gelu),
    "softmax": lambda node, w, x: x.softmax(1),
    "prelu": lambda node, w, x: F.prelu(x, w["slope"]),
    "sign": _of(binary_sign),
    "abs": _of(torch.abs),
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
