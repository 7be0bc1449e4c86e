"""Which values of a graph are codes, and what they stand for; mixtures of codes and floats are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Protocol

import numpy as np

from paring.errors import ArgumentError, GraphError
from paring.forms import Form, Integer, largest_code
from paring.graph._integer import HALF_SUM, MAX_WINDOW, QuantParams, integer_bias, multiplier, multipliers
from paring.graph._integer_ops import INTEGER_OPS, OPS

Shapes = Mapping[str, tuple[int, ...]]
Weights = Mapping[str, Form]
_Sources = list[QuantParams]


class _Node(Protocol):
    """What of a node is read here."""

    @property
    def name(self) -> str: ...
    @property
    def op(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def attrs(self) -> Mapping[str, Any]: ...
    @property
    def weights(self) -> Mapping[str, str]: ...


def infer_codes(
    nodes: Sequence[_Node], outputs: Sequence[str], weights: Mapping[str, Form], shapes: Shapes
) -> dict[str, QuantParams]:
    """The values that are codes, by name; all others are floats.

    Args:
        nodes: completed nodes in order.
        outputs: names of the graph's outputs.
        weights: every weight by name.
        shapes: every value's shape.

    Raises:
        GraphError: naming the node, where an operator on floats reads codes or the other way round, parts of a
            concatenation stand for different numbers, a constant is out of range, a weight is not the integer form
            that the operator needs, or a sum might not fit 32 bits.
    """
    codes: dict[str, QuantParams] = {}
    for node in nodes:
        made = _made(node, [codes.get(name) for name in node.inputs])
        if made is not None:
            codes[node.name] = made
        if made is not None and node.op in _CHECKS:
            try:
                _CHECKS[node.op](node, [codes[name] for name in node.inputs], made, weights, shapes)
            except ArgumentError as error:
                raise _error(node, error.what, error.found, error.expected, error.fix) from None
    for name in outputs:
        if name in codes:
            raise GraphError("output holds codes", where=name, fix="Put a dequantize node behind it")
    return codes


def _made(node: _Node, sources: list[QuantParams | None]) -> QuantParams | None:
    """What the node's value stands for; None if it is floats."""
    has_codes = [source is not None for source in sources]
    if OPS[node.op].moves_data:
        if len(set(sources)) > 1:
            found = ", ".join(map(str, sources))
            raise _error(node, "inputs stand for different numbers", found, "all floats, or codes of one scale")
        return sources[0]
    if node.op not in INTEGER_OPS or node.op == "quantize":
        if any(has_codes):
            name = node.inputs[has_codes.index(True)]
            raise _error(node, "reads codes", name, "floats", "Put a dequantize node between")
        if node.op != "quantize":
            return None
    elif not all(has_codes):
        name = node.inputs[has_codes.index(False)]
        raise _error(node, "reads floats", name, "codes", "Put a quantize node between")
    if node.op == "dequantize":
        return None
    try:
        made = QuantParams.of(node.attrs)
    except ArgumentError as error:
        raise _error(node, error.what, error.found, error.expected) from None
    low, high = node.attrs.get("low", 0), node.attrs.get("high", made.high)
    if not 0 <= low <= high <= made.high:
        raise _error(node, "low and high are no range of codes", (low, high), f"within 0 .. {made.high}")
    return made


def _error(node: _Node, what: str, found: object, expected: object = None, fix: str | None = None) -> GraphError:
    return GraphError(f"{node.op}: {what}", where=node.name, found=found, expected=expected, fix=fix)


Check = Callable[[_Node, _Sources, QuantParams, Weights, Shapes], None]


def _check_layer(
    node: _Node, sources: list[QuantParams], made: QuantParams, weights: Mapping[str, Form], shapes: Shapes
) -> None:
    weight = weights[node.weights["weight"]]
    if not isinstance(weight, Integer) or weight.axis != 0:
        raise ArgumentError("weight is not codes with scales along axis 0", found=weight, expected="an integer form")
    depth = prod(weight.shape[1:])
    most = depth * sources[0].reach * largest_code(weight.bits)
    if most > HALF_SUM:
        found = f"{depth} products of up to {sources[0].reach} x {largest_code(weight.bits)}"
        raise ArgumentError("sum might not fit 32 bits", found=found, expected=f"at most {HALF_SUM} together")
    multipliers(sources[0].scale, weight.scales, made.scale)
    if "bias" in node.weights:
        integer_bias(weights[node.weights["bias"]].dense(), sources[0].scale, weight.scales)


def _check_scales(
    node: _Node, sources: list[QuantParams], made: QuantParams, weights: Mapping[str, Form], shapes: Shapes
) -> None:
    for source in sources:
        multiplier(source.scale, made.scale)


def _check_mean(
    node: _Node, sources: list[QuantParams], made: QuantParams, weights: Mapping[str, Form], shapes: Shapes
) -> None:
    count = prod(node.attrs["kernel"] if "kernel" in node.attrs else shapes[node.inputs[0]][:2])
    if count > MAX_WINDOW:
        raise ArgumentError("window is too large", found=count, expected=f"at most {MAX_WINDOW}")
    multiplier(sources[0].scale, made.scale)
    multiplier(sources[0].scale, made.scale, count)


def _check_table(
    node: _Node, sources: list[QuantParams], made: QuantParams, weights: Mapping[str, Form], shapes: Shapes
) -> None:
    table = weights[node.weights["table"]].dense()
    if table.shape != (sources[0].high + 1,):
        raise ArgumentError("table does not fit the input", found=table.shape, expected=(sources[0].high + 1,))
    if not np.all((table >= 0) & (table <= made.high) & (table == np.rint(table))):
        raise ArgumentError("table holds what is no code", found=table.tolist(), expected=f"0 .. {made.high}")


_CHECKS: dict[str, Check] = {
    "integer_conv2d": _check_layer,
    "integer_linear": _check_layer,
    "integer_add": _check_scales,
    "rescale": _check_scales,
    "integer_avg_pool": _check_mean,
    "integer_global_avg_pool": _check_mean,
    "lookup": _check_table,
}
