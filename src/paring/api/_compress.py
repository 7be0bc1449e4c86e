"""``paring.compress``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from paring.api._images import set_of, wish_of
from paring.api._network import graph_of
from paring.capture import rebuild
from paring.data import Dataset, Wish, is_data, parted
from paring.errors import ArgumentError
from paring.recipes import compress as run_recipe
from paring.runtime import Model, load


def compress(
    net: Any,
    train: Any,
    val: Any = None,
    recipe: Any = "deep-compression",
    run: str | os.PathLike[str] = "paring-run",
    *,
    classes: tuple[str, ...] = (),
    limit: int | None = None,
    threads: int | None = None,
    **options: Any,
) -> Model:
    """Compress a network by a recipe, in a folder.

    Args:
        net: a trained module, which stays as it is; a model; a zoo name or a function that makes a network, which is
            trained first.
        train: training images with labels: a loader of pairs, a pair (images, labels) of tensors or arrays, a folder
            with a sub-folder for each class, or ``kind:where``. A loader is read into memory once, in the order of its
            set; what distorts images at random belongs into the recipe's ``augment``.
        val: images to score on, likewise; by default the test part of what ``train`` names, or every fifth image of
            each class of it, which is then not trained on.
        recipe: a name (``paring.recipes.RECIPES`` has them all), or a list of steps.
        run: the folder for checkpoints, the record and the file; made if missing.
        classes: names of the classes; the network's own if it has them.
        limit: take only so many images of each set.
        threads: torch's while it trains, and the model's engine's.
        options: how pictures are prepared (``preparation``, or ``mean`` and ``std``, and ``size``); any argument of
            :func:`paring.recipes.compress` (``seed``, ``resume``, ``output``, ``effort``, ...); and the recipe's own.

    Returns:
        the model in the file that was written, which is ``RUN/NAME.pare`` unless ``output`` says otherwise; its
        ``report``, the run's record, says what each step did.

    Raises:
        ArgumentError, DataError, GraphError, CheckpointError, TrainingError, OutputError: as
            :func:`paring.recipes.compress` does.
    """
    network = net
    if not isinstance(net, nn.Module | str) and not _is_maker(net):
        network = rebuild(graph_of(net)).eval()
    wish = wish_of(net, options)
    sets: Any
    if (spec := _named(train)) and val is None:
        asked = {**vars(wish), "limit": limit}
        sets, options["data_args"] = spec, {**asked, **options.get("data_args", {})}
    else:
        first = set_of(net, train, wish, split="train", limit=limit, classes=classes)
        sets = parted(first) if val is None else (first, _tested(net, first, val, limit))
    done = run_recipe(network, sets, Path(run), recipe, threads=threads, **options)  # type: ignore[arg-type]
    model = load(Path(run) / str(done.record.file), threads or 1)
    model.report = done.record
    return model


def _is_maker(net: Any) -> bool:
    return isinstance(net, Callable) and not hasattr(net, "graph")  # type: ignore[arg-type]


def _named(train: Any) -> str:
    """``kind:where`` if that is what the user gave, or a folder of classes; else nothing."""
    if not is_data(train):
        return ""
    return f"imagefolder:{train}" if Path(train).expanduser().is_dir() else str(train)


def _tested(net: Any, first: Dataset, val: Any, limit: int | None) -> Dataset:
    """The test set, prepared as the training set is."""
    told = Wish(first.preparation) if first.told else Wish()
    second = set_of(net, val, told, split="test", limit=limit, classes=first.classes)
    if second.preparation.shape != first.preparation.shape or second.classes != first.classes:
        raise ArgumentError(
            "training and test images differ",
            found=f"{second.preparation.shape}, {len(second.classes)} classes",
            expected=f"{first.preparation.shape}, {len(first.classes)} classes",
        )
    return second
