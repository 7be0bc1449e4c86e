"""Steps that make weights zero: at once by a score, in a pattern, or little by little while the network is tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paring import methods, parametrize
from paring.errors import ArgumentError
from paring.recipes.steps._base import Change, State, Step
from paring.training.input import Batch
from paring.training.optim import cross_entropy

SCORES = ("magnitude", "taylor")


def prune(
    keep: float | None = None,
    *,
    layers: Mapping[str, float] | None = None,
    by: str = "share",
    score: str = "magnitude",
    calibrate: int = 512,
    bits: int = 32,
) -> Step:
    """Make the weights of smallest score zero and keep them so.

    Args:
        keep: fraction of all weights together that stay.
        layers: pattern to the fraction a layer keeps on its own; these are not in the pool of ``keep``.
        by: ``share``; or ``quality``: ``layers`` gives the factor of each layer's standard deviation below which
            magnitudes go (Han 2015).
        score: ``magnitude``, or ``taylor``: what the loss on training images would change by (Molchanov 2019).
        calibrate: training images that ``taylor`` asks the loss about.
        bits: width of the survivors, 32 or 16.

    Raises:
        ArgumentError: on another value of ``by`` or ``score``, or if they do not go together.
    """
    for what, found, expected in (("score", score, SCORES), ("way to prune", by, ("share", "quality"))):
        if found not in expected:
            raise ArgumentError(f"unknown {what}", found=repr(found), expected=" or ".join(expected))
    if by == "quality" and (keep is not None or score != "magnitude"):
        raise ArgumentError("quality is a threshold on magnitudes, layer by layer", fix="Give layers= alone")
    options: dict[str, Any] = {"keep": keep, "layers": dict(layers or {}), "bits": bits}
    if by != "share":
        options["by"] = by
    if score != "magnitude":
        options |= {"score": score, "calibrate": calibrate}
    return Step("prune", options, _prune)


def _prune(state: State, options: Mapping[str, Any]) -> Change:
    network, bits = state.network, options["bits"]
    own = parametrize.select(network, options["layers"])
    if options.get("by") == "quality":
        dropped = methods.prune_by_quality(network, own, bits=bits)
        state.changed()
        return Change(f"{dropped:,} weights became zero")
    pool = [name for name in parametrize.weights(network) if name not in own]
    together = options["keep"] is not None
    if options.get("score") == "taylor":
        scores = _taylor(state, [*own, *(pool if together else [])], options["calibrate"])
        dropped = methods.prune_by_scores(network, {n: scores[n] for n in own}, own, bits=bits) if own else 0
        if together:
            rest = {name: scores[name] for name in pool}
            dropped += methods.prune_by_scores(network, rest, options["keep"], together=True, bits=bits)
    else:
        dropped = methods.prune(network, own, bits=bits) if own else 0
        if together:
            dropped += methods.prune_global(network, options["keep"], pool, bits=bits)
    state.changed()
    return Change(f"{dropped:,} weights became zero")


def _taylor(state: State, names: list[str], calibrate: int) -> dict[str, Any]:
    batch, loss = state.calibration(calibrate), cross_entropy()
    parts = zip(batch.images.split(64), batch.labels.split(64), batch.indices.split(64), strict=True)
    return methods.taylor_scores(state.network, loss, [Batch(*part) for part in parts], names)


def prune_n_m(layers: Mapping[str, str], *, tail: str = "refuse", bits: int = 32) -> Step:
    """Keep the ``N`` largest of every ``M`` neighbors; arguments as in :func:`paring.methods.prune_n_m`."""
    return Step("prune-n-m", {"layers": dict(layers), "tail": tail, "bits": bits}, _prune_n_m)


def _prune_n_m(state: State, options: Mapping[str, Any]) -> Change:
    dropped = methods.prune_n_m(state.network, options["layers"], tail=options["tail"], bits=options["bits"])
    state.changed()
    return Change(f"{dropped:,} weights became zero")


def prune_gradually(
    layers: Mapping[str, float],
    *,
    end: int,
    begin: int = 0,
    apart: int = 10,
    first: float = 1.0,
    movement: bool = False,
    bits: int = 32,
) -> Step:
    """Prune while the training that follows goes on, along the cubic schedule; see :class:`paring.methods.Gradual`.

    Args:
        layers: pattern to the fraction a layer keeps in the end.
        end: step of that training at which it is reached.
        begin: its first step that prunes.
        apart: steps between two prunings.
        first: fraction kept at ``begin``.
        movement: by scores that are trained along (Sanh 2020) instead of magnitudes.
        bits: width of the survivors, 32 or 16.
    """
    options = {
        "layers": dict(layers),
        "begin": begin,
        "end": end,
        "apart": apart,
        "first": first,
        "movement": movement,
        "bits": bits,
    }
    return Step("prune-gradually", options, _prune_gradually)


def _prune_gradually(state: State, options: Mapping[str, Any]) -> Change:
    layers, bits = options["layers"], options["bits"]
    if options["movement"]:
        methods.prune_by_movement(state.network, dict.fromkeys(layers, 1.0), bits=bits)  # untrained scores say nothing
    begin, end = options["begin"], options["end"]
    gradual = methods.Gradual(
        state.network, layers, begin=begin, end=end, every=options["apart"], first=options["first"], bits=bits
    )
    state.changed()
    state.once.append(gradual)
    return Change(f"will prune from step {begin} to {end} of the next training")
