"""The reference interpreter: every operator in NumPy, slow and obviously right; the judge of the native engine.

Arrays carry the batch in front: ``(N, H, W, C)`` or ``(N, F)``. Arithmetic on floats is float32 throughout; values that
are codes are uint8 arrays and go through the functions of ``_reference_integer.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from paring.errors import ArgumentError
from paring.graph import INTEGER_OPS, OPS, Compute, Graph
from paring.runtime import _reference_integer as integer
from paring.runtime import _reference_ops as ops


def function(op: str) -> Compute:
    """What an operator that computes floats does: ``(attrs, inputs, dense weights) -> output``, by its name."""
    compute: Compute = OPS[op].compute or getattr(ops, op)
    return compute


def run(graph: Graph, x: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray | dict[str, np.ndarray]:
    """What the network answers.

    Args:
        graph: the network.
        x: float32 ``(N, *input shape)``, NHWC; a dict by input name if the graph has several inputs.

    Returns:
        float32 ``(N, *output shape)``; a dict by output name if the graph has several outputs.

    Raises:
        ArgumentError: if ``x`` does not fit the graph's inputs.
    """
    values = dict(steps(graph, x))
    return graph.answers(values)


def steps(graph: Graph, x: np.ndarray | Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Every value's name and array, inputs first, in the order in which they are made; arguments as for :func:`run`.
    Codes come as uint8 (:attr:`paring.graph.Graph.quant_params` says what they stand for), all else as float32.
    """
    codes = graph.quant_params
    values = checked_inputs(graph.inputs, x)
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
                values[node.name] = integer.moved(function(node.op), node.attrs, inputs, codes[node.name])
            else:
                values[node.name] = function(node.op)(node.attrs, inputs, own).astype(np.float32, copy=False)
        yield node.name, values[node.name]


def checked_inputs(
    shapes: Mapping[str, tuple[int, ...]], x: np.ndarray | Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The inputs by name; ``shapes`` are a graph's.

    Raises:
        ArgumentError: on a missing or unknown name, another type than float32, or a shape that does not fit.
    """
    if not isinstance(x, Mapping):
        if len(shapes) != 1:
            raise ArgumentError(
                "network has several inputs", found="one array", expected=f"a dict with {sorted(shapes)}"
            )
        x = {next(iter(shapes)): x}
    if set(x) != set(shapes):
        raise ArgumentError("inputs have the wrong names", found=sorted(x), expected=sorted(shapes))
    arrays = {name: np.asarray(x[name]) for name in shapes}
    batch = {array.shape[:1] for array in arrays.values()}
    for name, array in arrays.items():
        shape = shapes[name]
        if array.dtype != np.float32:
            raise ArgumentError("input has the wrong type", where=name, found=array.dtype, expected="float32")
        if array.shape[1:] != tuple(shape) or array.ndim != len(shape) + 1:
            expected = f"(N, {', '.join(map(str, shape))})"
            raise ArgumentError("input has the wrong shape", where=name, found=array.shape, expected=expected)
    if len(batch) > 1:
        raise ArgumentError("inputs have different batch sizes", found=sorted(batch))
    return arrays
