"""``paring compress --recipe deep-compression``: from options to the recipe's settings, and its run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from paring.cli._invocation import as_typed
from paring.cli.render._output import note

if TYPE_CHECKING:
    from paring.cli.inputs._workshop import Workshop
    from paring.recipes import Settings
    from paring.record import Record


def settings_of(shop: Workshop, preset: str | None, keep: list[str], centroids: list[str], effort: float) -> Settings:
    """The preset with the user's changes; a network that has weights is not trained from scratch."""
    from paring import recipes

    settings = recipes.preset(preset or recipes.default_preset(shop.named.title)).scaled(effort)
    overall, layers = recipes.keep_targets(keep)
    shared, shared_layers = recipes.centroid_targets(centroids)
    changes: dict[str, Any] = {}
    if overall is not None:
        changes["keep"] = overall
    if keep:
        changes["keep_layers"] = layers
    if shared is not None:
        changes["centroids"] = shared
    if centroids:
        changes["centroid_layers"] = shared_layers
    if shop.named.weights is not None:
        changes["train"] = {"epochs": 0}
    return settings.changed(**changes)


def run_deep_compression(
    shop: Workshop,
    settings: Settings,
    folder: Path,
    out: Path,
    coding: str,
    seed: int,
    restart: str | None,
    threads: int,
) -> Record:
    from paring.recipes import deep_compression

    try:
        return deep_compression(
            shop.maker(),
            (shop.train, shop.test),
            folder,
            settings=settings,
            seed=seed,
            restart=restart,
            output=out,
            coding=coding,
            threads=threads,
            commands=[as_typed()],
            log=note,
        )
    except KeyboardInterrupt:
        note(f"Its state is in {folder}; the same command with --resume goes on.")
        raise
