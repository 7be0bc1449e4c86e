"""What :func:`paring.sensitivity.sensitivity` can do to one layer: a row per method. A new method adds a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import torch
from torch import nn

from paring import methods
from paring.capture import capture, rebuild
from paring.errors import ArgumentError
from paring.forms import Integer
from paring.graph import Graph

#: How strongly a method acts: a fraction, a count, a width, or words such as ``2:4``.
Strength = float | int | str
#: Path of the layer in the box that a method is given.
LAYER = "layer"


@dataclass(frozen=True)
class Kind:
    """What a strength is.

    Attributes:
        read: from a user's text; ValueError if it cannot be read.
        fits: whether a value can be.
        expected: in words, for errors.
        show: as text, for tables and plots.
    """

    read: Callable[[str], Strength]
    fits: Callable[[Any], bool]
    expected: str
    show: Callable[[Any], str]


def _read_fraction(text: str) -> float:
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def _is_block(value: Any) -> bool:
    kept, _, block = str(value).partition(":")
    return kept.isdigit() and block.isdigit() and 0 < int(kept) <= int(block)


def _is_vectors(value: Any) -> bool:
    length, _, centroids = str(value).partition("x")
    return length.isdigit() and centroids.isdigit() and int(length) > 0 and 0 < int(centroids) <= 65535


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


FRACTION = Kind(
    _read_fraction,
    lambda value: isinstance(value, float | int) and not isinstance(value, bool) and 0 < value <= 1,
    "above 0 %, up to 100 %",
    lambda value: f"{100 * value:.4g} %",
)
COUNT = Kind(int, _whole(1, 65535), "a whole number, 1 to 65535", str)
BITS = Kind(int, _whole(2, 8), "2 to 8 bits", str)
BLOCK = Kind(str, _is_block, "such as 2:4", str)
VECTORS = Kind(str, _is_vectors, "sub-vector length and centroids, such as 4x64", str)
FACTOR = Kind(
    float,
    lambda value: isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value < 100,
    "0 to below 100",
    lambda value: f"{value:g}",
)
BIT = Kind(int, _whole(1, 1), "1", str)


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        strengths: what is tried if the user names none, from mild to strong.
        kind: what a strength is.
        unit: what it counts, for tables and plots.
        change: acts in place on a box, a module whose only child ``layer`` is a copy of the layer; an ArgumentError
            says why this layer cannot be treated so.
        network: for a method that changes more than one layer: the changed network, from a :class:`Bench`.
    """

    strengths: tuple[Strength, ...]
    kind: Kind
    unit: str
    change: Callable[[nn.Module, Any], object] | None = None
    network: Callable[[Bench, str, Any], nn.Module] | None = None


@dataclass
class Bench:
    """A network with what methods that need the whole of it ask for.

    Attributes:
        module: in eval mode, plain parameters.
        shape: of one input, without the batch.
    """

    module: nn.Module
    shape: tuple[int, ...]

    @cached_property
    def graph(self) -> Graph:
        """The network as a graph, batch norms apart.

        Raises:
            GraphError: if it cannot be captured.
        """
        return capture(self.module, self.shape, fold=False, forms=False)


def _integers(box: nn.Module, bits: int) -> None:
    """Symmetric, a scale per output channel; chosen as :func:`paring.methods.quantize` chooses them."""
    layer: Any = box.get_submodule(LAYER)
    weight = layer.weight.detach().cpu().float().numpy()
    scales = methods.weight_scales(weight, bits, 0, "max" if bits >= 6 else "mse")
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(Integer.from_dense(weight, scales, bits, 0).dense()))


def _channels(bench: Bench, path: str, keep: float) -> nn.Module:
    """Channels of the layer, and all that are coupled with them, removed by the L1 norm of their weights."""
    node = next((n for n in bench.graph.nodes if n.weights.get("weight") == f"{path}.weight"), None)
    if node is None:
        raise ArgumentError("has no node of its own in the graph", where=path)
    return rebuild(methods.prune_channels(bench.graph, {node.name: keep}, round_to=1, floor=0.0).graph)


def _low_rank(box: nn.Module, energy: float) -> None:
    """A chain of smaller layers, its scheme chosen by the layer's shape."""
    try:
        methods.factorize(box, {LAYER: energy}, by="energy")
    except ArgumentError as error:  # the box has one layer, so what was found is about it
        raise ArgumentError(str(error.found).removeprefix(f"{LAYER}: ")) from None


def _product(box: nn.Module, vectors: str) -> None:
    length, _, centroids = vectors.partition("x")
    methods.product_quantize(box, {LAYER: (int(length), int(centroids))})


def _binary(box: nn.Module, bits: int) -> None:
    methods.binarize_weights(box, {LAYER: "paper"})


def _to(method: Callable[..., object], **options: Any) -> Callable[[nn.Module, Any], object]:
    """A method that takes patterns to targets, for the layer in the box."""
    return lambda box, strength: method(box, {LAYER: strength}, **options)


#: Every method by the name the command line knows it by.
METHODS: dict[str, Method] = {
    "prune": Method((0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05), FRACTION, "weights kept", _to(methods.prune)),
    "n:m": Method(("3:4", "2:4", "1:4"), BLOCK, "of every M weights, N kept", _to(methods.prune_n_m, tail="pad")),
    "share": Method((64, 32, 16, 8, 4, 2), COUNT, "centroids", _to(methods.share, init="exact")),
    "integers": Method((8, 6, 5, 4, 3, 2), BITS, "bits of a weight", _integers),
    "low-rank": Method((0.99, 0.95, 0.9, 0.8, 0.6), FRACTION, "energy kept", _low_rank),
    "channels": Method((0.875, 0.75, 0.5, 0.25), FRACTION, "channels kept", network=_channels),
    "product": Method(("2x64", "4x64", "4x16"), VECTORS, "length of a sub-vector x centroids", _product),
    "hash": Method((0.5, 0.25, 0.125), FRACTION, "weights that are real", _to(methods.hash_weights)),
    "powers": Method((5, 4, 3, 2), BITS, "bits of a power of two", _to(methods.inq_freeze, portion=1.0)),
    "ternary": Method((0.75,), FACTOR, "threshold, in mean magnitudes", _to(methods.ternarize)),
    "binary": Method((1,), BIT, "bit of a weight, a scale per filter", _binary),
}
#: What is tried if nobody says what: the methods that need nothing but torch and lose little without retraining.
USUAL = ("prune", "n:m", "share", "integers", "low-rank", "channels")


def method_of(name: str) -> Method:
    """The row of that name.

    Raises:
        ArgumentError: if there is none, with the nearest names.
    """
    if name not in METHODS:
        near = get_close_matches(name, METHODS, 2, cutoff=0.4) or list(METHODS)
        raise ArgumentError("unknown method", found=repr(name), expected=" or ".join(near))
    return METHODS[name]


def strengths_of(name: str, given: tuple[Strength, ...] = ()) -> tuple[Strength, ...]:
    """The strengths to try, the row's own if none are given, each once.

    Raises:
        ArgumentError: if the method is unknown or a strength cannot be.
    """
    row = method_of(name)
    for strength in given:
        if not row.kind.fits(strength):
            raise ArgumentError(f"invalid strength of {name}", found=repr(strength), expected=row.kind.expected)
    return tuple(dict.fromkeys(given or row.strengths))


def read_methods(words: list[str]) -> dict[str, tuple[Strength, ...]]:
    """Methods as a user writes them: ``prune``, ``prune=50%,20%``, ``integers=8,4``; no word for the usual ones.

    Raises:
        ArgumentError: if a method is unknown or a strength cannot be read or cannot be.
    """
    chosen: dict[str, tuple[Strength, ...]] = {}
    for word in words or USUAL:
        name, _, numbers = word.partition("=")
        kind = method_of(name).kind
        try:
            given = tuple(kind.read(number.strip()) for number in numbers.split(",")) if numbers else ()
        except ValueError:
            raise ArgumentError(
                f"cannot read strengths of {name!r}", found=repr(word), expected=kind.expected
            ) from None
        chosen[name] = strengths_of(name, given)
    return chosen
