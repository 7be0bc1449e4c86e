"""Steps that change what the network consists of: chains, fewer channels, binary blocks, integer arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paring import methods
from paring.capture import Rebuilt, rebuild
from paring.errors import ArgumentError
from paring.recipes._steps import Change, State, Step
from paring.recipes._weight_steps import centre_and_clip
from paring.recipes.channels import cut_channels
from paring.training import Batch


def factorise(layers: Mapping[str, Any], *, scheme: str = "auto", by: str = "energy", calibrate: int = 0) -> Step:
    """Replace layers by chains of smaller ones; arguments as in :func:`paring.methods.factorise`.

    Args:
        layers: pattern to the amount that ``by`` speaks of.
        scheme: ``auto``, ``svd``, ``spatial``, ``tucker`` or ``cp``.
        by: ``energy``, ``error``, ``macs``, ``parameters``, ``rank`` or ``vbmf``.
        calibrate: with ``svd``, fit it to the answers to so many training images.
    """
    return Step("factorise", {"layers": dict(layers), "scheme": scheme, "by": by, "calibrate": calibrate}, _factorise)


def _factorise(state: State, options: Mapping[str, Any]) -> Change:
    _must_be_module(state, "factorised")
    images = state.calibration(options["calibrate"]).images if options["calibrate"] else None
    outcomes = methods.factorise(
        state.network,
        options["layers"],
        scheme=options["scheme"],
        by=options["by"],
        images=images,
        seed=state.step_seed(),
    )
    state.changed()
    lines = []
    for path, one in outcomes.items():
        (before, after), (old, new) = one.parameters, one.macs
        told = f"stays, {one.reason}" if one.reason else f"{one.scheme} {one.ranks}, error {one.error:.3f}"
        lines.append(f"{path}: {told}, {before:,} -> {after:,} weights, {old:,} -> {new:,} MACs a place")
    chained = sum(not one.reason for one in outcomes.values())
    return Change(f"{chained} of {len(outcomes)} layers became chains", tuple(lines))


def cut(
    *,
    macs: float | None = None,
    parameters: float | None = None,
    layers: Mapping[str, float] | None = None,
    score: str = "taylor",
    spare: Sequence[str] = (),
    round_to: int = methods.ENGINE_TILE,
    floor: float = 0.125,
    calibrate: int = 512,
) -> Step:
    """Remove whole channels; arguments as in :func:`paring.methods.prune_channels`.

    Args:
        macs: multiply-accumulates to come down to: a fraction of the network's up to 1, a number above.
        parameters: likewise.
        layers: pattern to the fraction of channels a layer keeps.
        score: ``taylor``, ``l1``, ``l2``, ``bn`` or ``random``.
        spare: patterns on layers that keep all their channels.
        round_to: channel counts become multiples of this.
        floor: fraction of every layer's channels that stays at least.
        calibrate: training images that ``taylor`` asks the loss about.
    """
    options = {
        "macs": macs,
        "parameters": parameters,
        "layers": dict(layers or {}),
        "score": score,
        "spare": list(spare),
        "round_to": round_to,
        "floor": floor,
        "calibrate": calibrate if score == "taylor" else 0,
    }
    return Step("cut", {name: value for name, value in options.items() if value}, _cut)


def _cut(state: State, options: Mapping[str, Any]) -> Change:
    rest = {name: value for name, value in options.items() if name not in ("layers", "calibrate")}
    batches = []
    if options.get("calibrate"):
        batch = state.calibration(options["calibrate"])
        parts = zip(batch.images.split(64), batch.labels.split(64), batch.indices.split(64), strict=True)
        batches = [Batch(*part) for part in parts]
    made = cut_channels(state.network, state.shape, options.get("layers"), batches=batches, **rest)
    state.changed(made.network)
    smaller = [row for row in made.pruning.layers if row.after < row.before]
    channels = sum(row.before - row.after for row in smaller)
    lines = tuple(made.pruning.table().splitlines())
    return Change(f"{channels:,} channels went, {len(smaller)} of {len(made.pruning.layers)} layers narrower", lines)


def binarise(layers: Mapping[str, str], *, spare_ends: bool = False, gradient: str = "paper") -> Step:
    """Put binary blocks into layers' places; arguments as in :func:`paring.methods.binarise`.

    Real weights are centred and clipped before each step of the trainings that follow.

    Args:
        layers: pattern to ``sign``, ``scaled`` or ``bnn``.
        spare_ends: the layers that compute first and last stay real.
        gradient: ``paper`` or ``released``.
    """
    options = {"layers": dict(layers), "spare_ends": spare_ends, "gradient": gradient}
    return Step("binarise", options, _binarise)


def _binarise(state: State, options: Mapping[str, Any]) -> Change:
    _must_be_module(state, "binarised")
    example = state.shape if options["spare_ends"] else None
    done = methods.binarise(state.network, options["layers"], example, gradient=options["gradient"])
    centre_and_clip(state)
    lines = [f"{path}: {kind}" for path, kind in done.layers.items()]
    lines += [f"{path}: stays real, {reason}" for path, reason in done.kept.items()]
    return Change(f"{len(done.layers)} of {len(lines)} layers compute with signs", tuple(lines))


def quantise(
    *,
    weights: int | Mapping[str, int | None] = 8,
    activations: int | Mapping[str, int | None] | None = 8,
    calibrate: int = 128,
    observer: str = "lp",
    rounding: str = "nearest",
    correct: bool = True,
    equalised: bool | str | None = None,
) -> Step:
    """Give layers integer weights and inputs after training; arguments as in :func:`paring.methods.quantise`.

    Args:
        weights: bits, for all or by patterns.
        activations: bits, or None for weights alone.
        calibrate: training images that ranges are read off, and rounding and biases fitted to.
        observer: how a range is read.
        rounding: ``nearest``, ``gptq`` or ``adaround``.
        correct: correct biases.
        equalised: how channels are brought to like ranges first; None for what the images show.
    """
    options = {
        "weights": dict(weights) if isinstance(weights, Mapping) else weights,
        "activations": dict(activations) if isinstance(activations, Mapping) else activations,
        "calibrate": calibrate,
        "observer": observer,
        "rounding": rounding,
        "correct": correct,
        "equalised": equalised,
    }
    return Step("quantise", options, _quantise)


def _quantise(state: State, options: Mapping[str, Any]) -> Change:
    rest = {name: value for name, value in options.items() if name != "calibrate"}
    images = state.calibration(options["calibrate"]).images
    made = methods.quantise(state.graph(), images, tuning_images=min(64, len(images)), **rest)
    state.changed(rebuild(made.graph), made.graph)
    layers = made.report.layers
    widths = sorted({layer.weight_bits for layer in layers})
    words = f"{len(layers)} layers have {' and '.join(map(str, widths))}-bit weights"
    return Change(f"{words}, {made.report.on_codes} nodes compute on codes", tuple(str(made.report).splitlines()))


def _must_be_module(state: State, what: str) -> None:
    if isinstance(state.network, Rebuilt):
        raise ArgumentError(f"a network that is a graph cannot be {what}", fix="Do it before the network is cut")
