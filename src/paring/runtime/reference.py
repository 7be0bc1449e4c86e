"""The reference interpreter: every operator in NumPy, slow and obviously right; the judge of the native engine.

Arrays carry the batch in front: ``(N, H, W, C)`` or ``(N, F)``. Arithmetic on floats is float32 throughout; values that
are codes are uint8 arrays and go through the functions of ``_reference_integer.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from paring.errors import ArgumentError
from paring.graph import INTEGER_OPS, Graph
from paring.runtime import _reference_integer as integer
from paring.runtime import _reference_ops as ops

Function = Callable[[Mapping[str, Any], list[np.ndarray], Mapping[str, np.ndarray]], np.ndarray]

#: Operator to ``(attrs, inputs, dense weights) -> output``; one row for each of paring.graph.OPS that computes floats.
FUNCTIONS: dict[str, Function] = {
    "conv2d": ops.conv2d,
    "conv_transpose2d": ops.conv_transpose2d,
    "linear": ops.linear,
    "scale_shift": ops.scale_shift,
    "relu": ops.relu,
    "clip": ops.clip,
    "leaky_relu": ops.leaky_relu,
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "hard_sigmoid": ops.hard_sigmoid,
    "hard_swish": ops.hard_swish,
    "silu": ops.silu,
    "gelu": ops.gelu,
    "softmax": ops.softmax,
    "prelu": ops.prelu,
    "sign": ops.sign,
    "abs": ops.absolute,
    "max_pool": ops.max_pool,
    "avg_pool": ops.avg_pool,
    "adaptive_avg_pool": ops.adaptive_avg_pool,
    "global_avg_pool": ops.global_avg_pool,
    "channel_mean": ops.channel_mean,
    "flatten": ops.flatten,
    "add": ops.add,
    "mul": ops.mul,
    "concat": ops.concat,
    "slice_channels": ops.slice_channels,
    "channel_shuffle": ops.channel_shuffle,
    "subsample": ops.subsample,
    "pad": ops.pad,
    "lrn": ops.lrn,
}


def run(graph: Graph, x: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray | dict[str, np.ndarray]:
    """What the network answers.

    Args:
        graph: a graph that :meth:`paring.graph.Graph.validate` accepts.
        x: float32 ``(N, *input shape)``, NHWC; a dict by input name if the graph has several inputs.

    Returns:
        float32 ``(N, *output shape)``; a dict by output name if the graph has several outputs.

    Raises:
        GraphError: if the graph is not well formed.
        ArgumentError: if ``x`` does not fit the graph's inputs.
    """
    values = dict(steps(graph, x))
    outputs = {name: values[name] for name in graph.outputs}
    return outputs if len(outputs) > 1 else values[graph.outputs[0]]


def steps(graph: Graph, x: np.ndarray | Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Every value's name and array, inputs first, in the order in which they are made; arguments as for :func:`run`.
    Codes come as uint8 (:meth:`paring.graph.Graph.codes` says what they stand for), all else as float32.
    """
    codes = graph.codes()
    values = checked_inputs(graph, x)
    yield from values.items()
    weights = {name: form.dense() for name, form in graph.weights.items()}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        own = {role: weights[name] for role, name in node.weights.items()}
        with np.errstate(all="ignore"):  # infinities and NaN in strangers' files are values like others
            if node.op in INTEGER_OPS:
                read = [codes[name] for name in node.inputs if name in codes]
                forms = {role: graph.weights[name] for role, name in node.weights.items()}
                call = integer.Call(node.attrs, inputs, read, forms, codes.get(node.name))
                values[node.name] = integer.FUNCTIONS[node.op](call)
            elif node.name in codes:
                function = FUNCTIONS[node.op]
                values[node.name] = integer.moved(function, node.attrs, inputs, codes[node.name])
            else:
                values[node.name] = FUNCTIONS[node.op](node.attrs, inputs, own).astype(np.float32, copy=False)
        yield node.name, values[node.name]


def checked_inputs(graph: Graph, x: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs by name.

    Raises:
        ArgumentError: on a missing or unknown name, another type than float32, or a shape that does not fit.
    """
    if not isinstance(x, Mapping):
        if len(graph.inputs) != 1:
            raise ArgumentError(
                "network has several inputs", found="one array", expected=f"a dict with {sorted(graph.inputs)}"
            )
        x = {next(iter(graph.inputs)): x}
    if set(x) != set(graph.inputs):
        raise ArgumentError("inputs have the wrong names", found=sorted(x), expected=sorted(graph.inputs))
    arrays = {name: np.asarray(x[name]) for name in graph.inputs}
    batch = {array.shape[:1] for array in arrays.values()}
    for name, array in arrays.items():
        shape = graph.inputs[name]
        if array.dtype != np.float32:
            raise ArgumentError("input has the wrong type", where=name, found=array.dtype, expected="float32")
        if array.shape[1:] != tuple(shape) or array.ndim != len(shape) + 1:
            expected = f"(N, {', '.join(map(str, shape))})"
            raise ArgumentError("input has the wrong shape", where=name, found=array.shape, expected=expected)
    if len(batch) > 1:
        raise ArgumentError("inputs have different batch sizes", found=sorted(batch))
    return arrays
