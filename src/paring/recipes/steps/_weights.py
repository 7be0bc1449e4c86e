"""Steps that give weights a form and leave the network's structure as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from paring import methods
from paring.recipes.steps._base import Change, State, Step


def share(layers: Mapping[str, int], *, init: str = "linear", bits: int = 32, penalty: float = 0.0) -> Step:
    """Let each layer's non-zero weights share a few values; arguments as in :func:`paring.methods.share`."""
    return Step("share", {"layers": dict(layers), "init": init, "bits": bits, "penalty": penalty}, _share)


def _share(state: State, options: Mapping[str, Any]) -> Change:
    rest = {name: value for name, value in options.items() if name != "layers"}
    got = methods.share(state.network, options["layers"], seed=state.step_seed(), **rest)
    state.changed()
    lines = tuple(f"{name}: {count} values" for name, count in got.items())
    return Change(f"{len(got)} weights share {min(got.values())} to {max(got.values())} values", lines)


def ternarize(layers: Mapping[str, float], *, per_channel: bool = False) -> Step:
    """Weights of three values; arguments as in :func:`paring.methods.ternarize`."""
    return Step("ternarize", {"layers": dict(layers), "per_channel": per_channel}, _ternarize)


def _ternarize(state: State, options: Mapping[str, Any]) -> Change:
    zeros = methods.ternarize(state.network, options["layers"], per_channel=options["per_channel"])
    state.changed()
    lines = tuple(f"{name}: {zero:.1%} zeros" for name, zero in zeros.items())
    low, high = min(zeros.values()), max(zeros.values())
    return Change(f"{len(zeros)} weights have three values, {low:.0%} to {high:.0%} zeros", lines)


def binarize_weights(layers: Mapping[str, str]) -> Step:
    """Keep the signs of weights and one scale for each filter; see :func:`paring.methods.binarize_weights`.

    Real weights are centered and clipped before each step of the trainings that follow.

    Args:
        layers: pattern to the gradient, ``paper`` or ``released``.
    """
    return Step("binarize-weights", {"layers": dict(layers)}, _binarize_weights)


def _binarize_weights(state: State, options: Mapping[str, Any]) -> Change:
    names = methods.binarize_weights(state.network, options["layers"])
    center_and_clip(state)
    return Change(f"{len(names)} weights are signs with a scale for each filter", tuple(names))


def product_quantize(layers: Mapping[str, Sequence[int]], *, calibrate: int = 128, bits: int = 32) -> Step:
    """Let sub-vectors share centroids; arguments as in :func:`paring.methods.product_quantize`.

    Args:
        layers: pattern to ``[length, centroids]`` or ``[length, centroids, stages]``.
        calibrate: training images that codes are fitted to; 0 fits them to the weights.
        bits: width of a centroid's components.
    """
    options = {"layers": {name: list(target) for name, target in layers.items()}, "calibrate": calibrate, "bits": bits}
    return Step("product-quantize", options, _product_quantize)


def _product_quantize(state: State, options: Mapping[str, Any]) -> Change:
    images = state.calibration(options["calibrate"]).images if options["calibrate"] else None
    got = methods.product_quantize(
        state.network, options["layers"], images=images, bits=options["bits"], seed=state.step_seed()
    )
    state.changed()
    lines = []
    for name, one in got.items():
        answers = "" if one.response is None else f", of its answers {one.response:.3f}"
        why = f", {one.reason}" if one.reason else ""
        told = f"{one.length} long, {one.centroids} centroids, {one.rate:.1f} times smaller"
        lines.append(f"{name}: {told}, error {one.error:.3f}{answers}{why}")
    return Change(f"{len(got)} weights share sub-vectors", tuple(lines))


def hash_weights(layers: Mapping[str, float], *, bits: int = 32, init: str = "least-squares") -> Step:
    """Let weights share hashed values; arguments as in :func:`paring.methods.hash_weights`."""
    return Step("hash", {"layers": dict(layers), "bits": bits, "init": init}, _hash)


def _hash(state: State, options: Mapping[str, Any]) -> Change:
    got = methods.hash_weights(
        state.network, options["layers"], seed=state.step_seed(), init=options["init"], bits=options["bits"]
    )
    state.changed()
    lines = tuple(f"{name}: {buckets:,} buckets" for name, buckets in got.items())
    return Change(f"{len(got)} weights share {sum(got.values()):,} buckets", lines)


def round_to_powers(layers: Mapping[str, int], *, portion: float) -> Step:
    """Freeze the largest weights as powers of two; see :func:`paring.methods.quantize_incrementally`."""
    return Step("round", {"layers": dict(layers), "portion": portion}, _round)


def _round(state: State, options: Mapping[str, Any]) -> Change:
    frozen = methods.inq_freeze(state.network, options["layers"], options["portion"])
    state.changed()
    lines = tuple(f"{name}: {count:,} frozen" for name, count in frozen.items())
    return Change(f"{sum(frozen.values()):,} weights of {len(frozen)} layers are powers of two or zero", lines)


def binary_connect(layers: Mapping[str, float | str], *, stochastic: bool = False) -> Step:
    """BinaryConnect, real weights clipped before each step; see :func:`paring.methods.low_bit.binary_connect`."""
    return Step("binary-connect", {"layers": dict(layers), "stochastic": stochastic}, _binary_connect)


def _binary_connect(state: State, options: Mapping[str, Any]) -> Change:
    network = state.network
    scales = methods.binary_connect(network, options["layers"], stochastic=options["stochastic"])
    state.changed()
    state.hooks.append(lambda number: methods.clip_weights(network))
    return Change(f"{len(scales)} weights are signs", tuple(f"{name}: H {scale:g}" for name, scale in scales.items()))


def dorefa(
    layers: Mapping[str, int], *, keep_scale: bool = True, activations: int | None = None, high: float = 1.0
) -> Step:
    """DoReFa-Net; see :func:`paring.methods.low_bit.dorefa` and :func:`paring.methods.low_bit.quantize_activations`.

    Args:
        layers: pattern to the width of the weights, 1 to 8 bits; the first and the last layer stay as they are.
        keep_scale: as there; for networks that were trained as floats.
        activations: width of what ReLU modules give; None: they stay float.
        high: where these are cut off.
    """
    options = {"layers": dict(layers), "keep_scale": keep_scale, "activations": activations, "high": high}
    return Step("dorefa", options, _dorefa)


def _dorefa(state: State, options: Mapping[str, Any]) -> Change:
    widths = methods.dorefa(state.network, options["layers"], keep_scale=options["keep_scale"])
    words, lines = f"{len(widths)} weights have {_range(widths.values())} bits", tuple(widths)
    if options["activations"] is not None:
        done = methods.quantize_activations(
            state.network, options["activations"], high=options["high"], example=state.shape
        )
        words += f", {len(done.replaced)} activations {options['activations']}"
        lines += tuple(str(done).splitlines())
    state.changed()
    return Change(words, lines)


def _range(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def center_and_clip(state: State) -> None:
    """Center and clip the real weights behind binary ones before each step of the trainings that follow."""
    state.changed()
    if not any(isinstance(hook, _CenterAndClip) for hook in state.hooks):
        state.hooks.append(_CenterAndClip(state.network))


class _CenterAndClip:
    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, number: int) -> None:
        methods.center_and_clip_weights(self.network)
