"""Steps that change what the network consists of: chains, fewer channels, binary blocks, integer arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paring import methods
from paring.capture import Rebuilt, norm_statistics, rebuild
from paring.errors import ArgumentError
from paring.graph import fold_scale_shift
from paring.methods.channels import _module as channels
from paring.recipes.steps._base import Change, State, Step, unfolded_graph_of
from paring.recipes.steps._weights import center_and_clip
from paring.training.input import Batch


def factorize(layers: Mapping[str, Any], *, scheme: str = "auto", by: str = "energy", calibrate: int = 0) -> Step:
    """Replace layers by chains of smaller ones; arguments as in :func:`paring.methods.factorize`.

    Args:
        layers: pattern to the amount that ``by`` speaks of.
        scheme: ``auto``, ``svd``, ``spatial``, ``tucker`` or ``cp``.
        by: ``energy``, ``error``, ``macs``, ``parameters``, ``rank`` or ``vbmf``.
        calibrate: with ``svd``, fit it to the answers to so many training images.
    """
    return Step("factorize", {"layers": dict(layers), "scheme": scheme, "by": by, "calibrate": calibrate}, _factorize)


def _factorize(state: State, options: Mapping[str, Any]) -> Change:
    _must_be_module(state, "factorized")
    images = state.calibration(options["calibrate"]).images if options["calibrate"] else None
    outcomes = methods.factorize(
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
    exclude: Sequence[str] = (),
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
        exclude: patterns on layers that keep all their channels.
        round_to: channel counts become multiples of this.
        floor: fraction of every layer's channels that stays at least.
        calibrate: training images that ``taylor`` asks the loss about.
    """
    options = {
        "macs": macs,
        "parameters": parameters,
        "layers": dict(layers or {}),
        "score": score,
        "exclude": list(exclude),
        "round_to": round_to,
        "floor": floor,
        "calibrate": calibrate if score == "taylor" else 0,
    }
    return Step("cut", {name: value for name, value in options.items() if value}, _cut)


def _cut(state: State, options: Mapping[str, Any]) -> Change:
    rest = {name: value for name, value in options.items() if name not in ("layers", "calibrate")}
    batches = _calibration_batches(state, options["calibrate"]) if options.get("calibrate") else []
    made = channels.cut_channels(state.network, state.shape, options.get("layers"), batches=batches, **rest)
    state.changed(made.network)
    smaller = [row for row in made.pruning.layers if row.after < row.before]
    gone = sum(row.before - row.after for row in smaller)
    lines = tuple(made.pruning.table().splitlines())
    return Change(f"{gone:,} channels went, {len(smaller)} of {len(made.pruning.layers)} layers narrower", lines)


def cut_branches(branches: int | Sequence[str], *, exclude: Sequence[str] = (), calibrate: int = 512) -> Step:
    """Remove residual branches, whose blocks become their shortcuts; see :func:`paring.methods.channels.cut_branches`.

    Args:
        branches: how many, each time the one that the loss on training images misses least; or patterns.
        exclude: patterns on branches that stay where they are counted.
        calibrate: training images that the loss is asked about, where branches are counted.
    """
    options: dict[str, Any] = {"branches": branches, "exclude": list(exclude), "calibrate": calibrate}
    if not isinstance(branches, int):
        options |= {"branches": list(branches), "calibrate": 0}
    return Step("cut-branches", {name: value for name, value in options.items() if value}, _cut_branches)


def _cut_branches(state: State, options: Mapping[str, Any]) -> Change:
    batches = _calibration_batches(state, options["calibrate"]) if options.get("calibrate") else []
    made = channels.cut_branches(
        state.network, state.shape, options["branches"], batches=batches, exclude=options.get("exclude", ())
    )
    state.changed(made.network)
    return Change(f"{len(made.removed)} residual branches went", made.removed)


def _calibration_batches(state: State, count: int) -> list[Batch]:
    batch = state.calibration(count)
    parts = zip(batch.images.split(64), batch.labels.split(64), batch.indices.split(64), strict=True)
    return [Batch(*part) for part in parts]


def binarize(layers: Mapping[str, str], *, exclude_ends: bool = False, gradient: str = "paper") -> Step:
    """Put binary blocks into layers' places; arguments as in :func:`paring.methods.binarize`.

    Real weights are centered and clipped before each step of the trainings that follow.

    Args:
        layers: pattern to ``sign``, ``scaled`` or ``bnn``.
        exclude_ends: the layers that compute first and last stay real.
        gradient: ``paper`` or ``released``.
    """
    options = {"layers": dict(layers), "spare_ends": exclude_ends, "gradient": gradient}
    return Step("binarize", options, _binarize)


def _binarize(state: State, options: Mapping[str, Any]) -> Change:
    _must_be_module(state, "binarized")
    example = state.shape if options["spare_ends"] else None
    done = methods.binarize(state.network, options["layers"], example, gradient=options["gradient"])
    center_and_clip(state)
    lines = [f"{path}: {kind}" for path, kind in done.layers.items()]
    lines += [f"{path}: stays real, {reason}" for path, reason in done.kept.items()]
    return Change(f"{len(done.layers)} of {len(lines)} layers compute with signs", tuple(lines))


def quantize(
    *,
    weights: int | Mapping[str, int | None] = 8,
    activations: int | Mapping[str, int | None] | None = 8,
    calibrate: int = 128,
    observer: str = "lp",
    rounding: str = "nearest",
    per_channel: bool = True,
    correct: bool = True,
    equalized: bool | str | None = None,
    float_outputs: int = 0,
    aware: bool = False,
    norm_delay: int | None = None,
) -> Step:
    """Give layers integer weights and inputs after training; arguments as in :func:`paring.methods.quantize`.

    With ``aware`` a ``tune`` that follows trains the integers through their rounding.

    Args:
        weights: bits, for all or by patterns.
        activations: bits, or None for weights alone.
        calibrate: training images that ranges are read off, and rounding and biases fitted to; 0 for none: batch norms
            tell the ranges (DFQ, Nagel 2019).
        observer: how a range is read.
        rounding: ``nearest``, ``gptq`` or ``adaround``.
        per_channel: a scale for each output channel, or one for a whole weight.
        correct: correct biases.
        equalized: how channels are brought to like ranges first; None for what the images show.
        float_outputs: so many layers, those that disturb the answers most, keep their sums in float.
        aware: give a network that is trained; see :func:`paring.methods.quantization_aware`.
        norm_delay: training steps after which batch norms are frozen, for ``aware``; None for not at all.
    """
    options = {
        "weights": dict(weights) if isinstance(weights, Mapping) else weights,
        "activations": dict(activations) if isinstance(activations, Mapping) else activations,
        "calibrate": calibrate,
        "observer": observer,
        "rounding": rounding,
        "per_channel": per_channel,
        "correct": correct,
        "equalized": equalized,
        "float_outputs": float_outputs,
    }
    if aware:
        options |= {"aware": True, "norm_delay": norm_delay}
    return Step("quantize", options, _quantize)


def _quantize(state: State, options: Mapping[str, Any]) -> Change:
    ours = ("calibrate", "aware", "norm_delay")
    rest = {name: value for name, value in options.items() if name not in ours}
    images = state.calibration(options["calibrate"]).images if options["calibrate"] else None
    if options.get("aware") or images is None:
        unfolded = unfolded_graph_of(state.network, state.shape)
        graph, rest["norms"] = fold_scale_shift(unfolded), norm_statistics(state.network, unfolded)
    else:
        graph = state.graph()
    made = methods.quantize(graph, images, **rest)
    if options.get("aware"):
        state.changed(methods.quantization_aware(made, norm_delay=options["norm_delay"]))
    else:
        state.changed(rebuild(made.graph), made.graph)
    layers = made.report.layers
    widths = sorted({layer.weight_bits for layer in layers})
    words = f"{len(layers)} layers have {' and '.join(map(str, widths))}-bit weights"
    return Change(f"{words}, {made.report.on_codes} nodes compute on codes", tuple(str(made.report).splitlines()))


def _must_be_module(state: State, what: str) -> None:
    if isinstance(state.network, Rebuilt):
        raise ArgumentError(f"a network that is a graph cannot be {what}", fix="Do it before the network is cut")
