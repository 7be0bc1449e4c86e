"""Deep Compression: train, prune, retrain, share weights, tune the centroids.

Han, Mao, Dally, "Deep compression: compressing deep neural networks with pruning, trained quantization and Huffman
coding", ICLR 2016, arXiv 1510.00149. The presets whose names begin with ``paper`` do what the paper does; the others
go further: one magnitude threshold for all layers lowered in many small steps, the float network as teacher, few
centroids, 16-bit numbers, shared biases, idle weights dropped. See ``docs/recipes/deep_compression.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from paring.errors import ArgumentError
from paring.parametrize import select
from paring.recipes import steps
from paring.recipes._registry import recipe
from paring.recipes.builtin._deep_compression_presets import default_preset
from paring.recipes.builtin._deep_compression_presets import preset as named
from paring.recipes.run import RecipeContext
from paring.recipes.steps._base import Step

#: Pattern that stands for all the layers that no other pattern names.
ALL = "*"


@recipe("prune, share weights, tune them; the smallest files", compare="huffman")
def deep_compression(
    context: RecipeContext,
    *,
    preset: str | None = None,
    keep: float | Mapping[str, float] | None = None,
    centroids: int | Mapping[str, int] | None = None,
    rounds: int | None = None,
    drop_idle: bool | None = None,
    bits: int | None = None,
    init: str | None = None,
    penalty: float | None = None,
    train: Mapping[str, Any] | None = None,
    prune: Mapping[str, Any] | None = None,
    retrain: Mapping[str, Any] | None = None,
    tune: Mapping[str, Any] | None = None,
) -> list[Step]:
    """The steps.

    Args:
        context: the network and the data.
        preset: what all others are by default; the one made for the network, else ``gentle``.
        keep: share of all weights together that stays, chosen by one threshold on their magnitude; or pattern to the
            share a layer keeps on its own, ``*`` standing for all others together. 1 for no pruning.
        centroids: shared values of every layer, 0 for no sharing; or pattern to the shared values of these layers
            (``*`` for all others), which may also name biases (``*.bias``).
        rounds: how many times the masks are tightened during ``prune``, evenly spaced.
        drop_idle: also drop weights that change no answer on the training images.
        bits: width of stored centroids, and of biases and weights that are not shared: 32 or 16.
        init: of k-means: ``linear``, ``density``, ``random`` or ``exact``.
        penalty: price of a symbol's bit in the assignment, in units of the layer's variance; 0 is plain k-means.
        train: changes to the training of a network without weights; see :func:`paring.recipes.steps.train`.
        prune: to the training during which the masks are tightened; see :func:`paring.recipes.steps.tune`.
        retrain: to that of the survivors.
        tune: to that of the centroids.

    Raises:
        ArgumentError: if a number is out of range, a pattern matches nothing, or there is no such preset.
    """
    chosen = named(preset or default_preset(context.name))
    given = {"rounds": rounds, "drop_idle": drop_idle, "bits": bits, "init": init, "penalty": penalty}
    chosen |= {name: value for name, value in given.items() if value is not None}
    layers = _targets(context, chosen["keep"], keep)
    shared = _targets(context, chosen["centroids"], centroids)
    _check(layers, shared)
    overall = layers.pop(ALL)
    if chosen["rounds"] < 1:
        raise ArgumentError("invalid number of pruning rounds", found=chosen["rounds"], expected="1 or more")
    if chosen["bits"] not in (16, 32):
        raise ArgumentError("invalid width of shared values", found=chosen["bits"], expected="32 or 16 bits")
    layout = {"channels_last": True} if context.convolutional else {}
    phases = {"train": train, "prune": prune, "retrain": retrain, "tune": tune}
    how = {name: {**layout, **chosen[name], **(changes or {})} for name, changes in phases.items()}

    found = [steps.train(**how["train"])]
    if overall < 1 or any(share < 1 for share in layers.values()):
        common = {"drop_idle": chosen["drop_idle"], "bits": chosen["bits"]}
        found.append(steps.prune_in_rounds(overall, layers=layers, rounds=chosen["rounds"], **common, **how["prune"]))
        found += [steps.drop_idle(bits=chosen["bits"])] if chosen["drop_idle"] else []
        found += [steps.tune(name="retrain", **how["retrain"])]
    if not shared[ALL]:
        del shared[ALL]
    if shared:
        found.append(steps.share(shared, init=chosen["init"], bits=chosen["bits"], penalty=chosen["penalty"]))
        found.append(steps.tune(**how["tune"]))
    return [replace(step, key=step.name) for step in found]


def _targets(context: RecipeContext, usual: Any, given: Any) -> dict[str, Any]:
    """Pattern to amount: the preset's, or the user's in their place; ``*`` stays where only layers are named."""
    usual = usual if isinstance(usual, Mapping) else {ALL: usual}
    if given is None:
        targets = dict(usual)
    else:
        targets = {ALL: usual[ALL], **given} if isinstance(given, Mapping) else {ALL: given}
    select(context.network, {pattern: amount for pattern, amount in targets.items() if pattern != ALL})
    return targets


def _check(shares: Mapping[str, float], centroids: Mapping[str, int]) -> None:
    for pattern, share in shares.items():
        if not (share > 0 if pattern == ALL else share >= 0) or not share <= 1:
            expected = "above 0, up to 1" if pattern == ALL else "0 to 1"
            raise ArgumentError("invalid share of weights to keep", where=pattern, found=share, expected=expected)
    for pattern, count in centroids.items():
        low = 0 if pattern == ALL else 1
        if not low <= count <= 65535:
            raise ArgumentError("invalid number of centroids", where=pattern, found=count, expected=f"{low} to 65535")
