"""What is distributed how, without data: means, deviations and ranges of every value from batch-norm statistics.

A batch norm says that channel c of a layer's output had mean beta and deviation |gamma| in training; taken as normal
(Nagel et al. 2019, arXiv 1906.04721, section 4), everything behind it follows channel by channel:

    relu, clip      the clipped normal, in closed form
    other functions of one number   numerically, over the same normal
    add             means add, variances add
    convolution     mean W E[x] + b, variance W^2 Var[x], where no batch norm says it

Ranges are ``mean - spread * deviation .. mean + spread * deviation``, cut where a function cuts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import erf, pi, sqrt
from typing import Any, NamedTuple

import numpy as np

from paring.capture import BatchNorm
from paring.errors import ArgumentError
from paring.graph import OPS, Graph, Node, follow
from paring.runtime.reference import function

#: Deviations that a range reaches to either side of the mean (the paper's n).
SPREAD = 6.0
_ERF = np.vectorize(erf, otypes=[np.float64])


class Moments(NamedTuple):
    """A value's distribution, channel by channel; all float64 ``(C,)``."""

    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Normal(NamedTuple):
    """Mean and standard deviation of a layer's output before its activation, float64 ``(C,)`` each."""

    mean: np.ndarray
    std: np.ndarray


def normals(norms: Mapping[str, BatchNorm]) -> dict[str, Normal]:
    """What batch norms say about their layers' outputs: mean beta, deviation |gamma|."""
    return {name: Normal(norm.beta, np.abs(norm.gamma)) for name, norm in norms.items()}


def clipped_normal(
    mean: np.ndarray, std: np.ndarray, low: float = 0.0, high: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of ``min(max(x, low), high)`` for a normal ``x``.

    With ``a = (low - mean) / std``, ``b = (high - mean) / std`` and ``P = Phi(b) - Phi(a)``, the mean is ``low Phi(a) +
    high (1 - Phi(b)) + mean P + std (phi(a) - phi(b))``; with low 0 and high infinite it is the DFQ paper's ``gamma
    phi(-beta / gamma) + beta (1 - Phi(-beta / gamma))``.
    """
    mean, std = np.asarray(mean, np.float64), np.maximum(np.asarray(std, np.float64), 1e-30)
    a, b = (low - mean) / std, (high - mean) / std
    cdf_a, cdf_b, pdf_a, pdf_b = _cdf(a), _cdf(b), _pdf(a), _pdf(b)
    inside = cdf_b - cdf_a
    first = mean * inside + std * (pdf_a - pdf_b)
    second = (mean**2 + std**2) * inside + 2 * mean * std * (pdf_a - pdf_b)
    second = second + std**2 * (_times(a, pdf_a) - _times(b, pdf_b))
    for end, share in ((low, cdf_a), (high, 1 - cdf_b)):
        if np.isfinite(end):
            first, second = first + end * share, second + end**2 * share
    return first, np.sqrt(np.maximum(second - first**2, 0))


def moments(
    graph: Graph,
    layers: Mapping[str, Normal],
    *,
    mean: float = 0.0,
    std: float = 1.0,
    spread: float = SPREAD,
) -> dict[str, Moments]:
    """The distribution of every value of a folded graph.

    Args:
        graph: batch norms folded.
        layers: node name of a layer to what its output is distributed like; see :func:`normals`.
        mean: of the input, all channels.
        std: of the input.
        spread: deviations a range reaches to either side.

    Raises:
        ArgumentError: at an operator whose answer's distribution cannot be told, naming the node.
    """

    def begin(name: str) -> Any:
        channels = graph.inputs[name][-1]
        return _reach(np.full(channels, mean), np.full(channels, std), spread)

    def own(node: Node, inputs: list[Any]) -> Any:
        spec, x = OPS[node.op], Moments(*inputs[0])
        if node.name in layers:
            return _reach(*layers[node.name], spread)
        if spec.weight_axes == (0, 1):
            return _reach(*_product(graph, node, x), spread)
        if node.op in _RULES:
            return _RULES[node.op](*(Moments(*one) for one in inputs))
        if spec.clamp is not None:
            return _clip(x, *spec.clamp(node.attrs))
        if spec.elementwise:
            return _pointwise(graph, node, x)
        if spec.channels is None:
            raise ArgumentError(
                f"what {node.op!r} answers cannot be told from batch norms", where=node.name, fix="Calibrate on images"
            )
        return None  # a pool keeps what it reads, or nearly so: a mean has less spread, a maximum more

    return {name: Moments(*parts) for name, parts in follow(graph, begin, own).items()}


def _reach(mean: np.ndarray, std: np.ndarray, spread: float) -> Moments:
    return Moments(mean, std, mean - spread * std, mean + spread * std)


def _product(graph: Graph, node: Node, x: Moments) -> tuple[np.ndarray, np.ndarray]:
    weight = graph.weights[node.weights["weight"]].dense().astype(np.float64)
    attrs: Any = node.attrs
    groups = attrs.get("groups", 1)
    mean, variance = through(weight, x.mean, groups), through(weight**2, x.std**2, groups)
    if "bias" in node.weights:
        mean = mean + graph.weights[node.weights["bias"]].dense()
    return mean, np.sqrt(variance)


def through(weight: np.ndarray, x: np.ndarray, groups: int = 1) -> np.ndarray:
    """A layer's answer, without bias, to an input that is ``x[c]`` everywhere in channel ``c``.

    Args:
        weight: ``(out, in / groups, ...)`` or ``(out, in)``.
        x: ``(in,)``.
        groups: of a convolution.

    Returns:
        ``(out,)``.
    """
    summed = weight.reshape(*weight.shape[:2], -1).sum(2).reshape(groups, -1, weight.shape[1])
    return np.einsum("goi,gi->go", summed, x.reshape(groups, -1)).reshape(-1)


def _clip(x: Moments, low: float, high: float) -> Moments:
    return Moments(*clipped_normal(x.mean, x.std, low, high), np.clip(x.low, low, high), np.clip(x.high, low, high))


def _add(x: Moments, y: Moments) -> Moments:
    std = np.hypot(x.std, y.std)
    width = np.hypot(x.high - x.mean, y.high - y.mean), np.hypot(x.low - x.mean, y.low - y.mean)
    mean = x.mean + y.mean
    return Moments(mean, std, mean - width[1], mean + width[0])


def _mul(x: Moments, y: Moments) -> Moments:
    variance = (x.mean**2 + x.std**2) * (y.mean**2 + y.std**2) - (x.mean * y.mean) ** 2
    ends = np.stack([p * q + np.zeros_like(x.mean) for p in (x.low, x.high) for q in (y.low, y.high)])
    return Moments(x.mean * y.mean, np.sqrt(np.maximum(variance, 0)), ends.min(0), ends.max(0))


def _softmax(x: Moments) -> Moments:
    flat = np.ones_like(x.mean)
    return Moments(flat / len(flat), flat / len(flat), 0 * flat, flat)


def _lrn(x: Moments) -> Moments:
    """Nearly as it was."""
    return x


def _pointwise(graph: Graph, node: Node, x: Moments) -> Moments:
    """A function of one number under the normal, by the trapezium rule over ``low .. high``."""
    steps = np.linspace(0, 1, 257)[:, None]
    points = x.low + steps * (x.high - x.low)
    weights = {role: graph.weights[name].dense() for role, name in node.weights.items()}
    y = function(node.op)(node.attrs, [points.astype(np.float32)], weights).astype(np.float64)
    density = _pdf((points - x.mean) / np.maximum(x.std, 1e-30)) + 1e-300
    density = density / density.sum(0)
    mean = (density * y).sum(0)
    return Moments(mean, np.sqrt((density * (y - mean) ** 2).sum(0)), y.min(0), y.max(0))


#: Operators that mix channels or join two values.
_RULES: dict[str, Callable[..., Moments]] = {"add": _add, "mul": _mul, "softmax": _softmax, "lrn": _lrn}


def _cdf(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + _ERF(x / sqrt(2)))


def _pdf(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * x**2) / sqrt(2 * pi)


def _times(x: np.ndarray, density: np.ndarray) -> np.ndarray:
    """``x * density``, 0 where x is infinite."""
    return np.where(np.isfinite(x), np.where(np.isfinite(x), x, 0) * density, 0.0)
