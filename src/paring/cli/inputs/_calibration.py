"""``--calibrate FOLDER``: pictures without labels are all that integers need."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paring.cli.inputs._networks import note_channels, note_measured, preparing
from paring.cli.inputs._workshop import Workshop, renamed
from paring.cli.measure._comparison import AGREEMENT
from paring.cli.render._output import note, note_bad
from paring.errors import ArgumentError

if TYPE_CHECKING:
    from torch import nn

    from paring.data import Dataset
    from paring.networks import Named

#: Most pictures that are read unless the user says otherwise; a hundred calibrate, the others tell the agreement.
MOST = 1000
#: One in so many is not calibrated on, so that the agreement is measured on it.
_HELD_OUT = 5


def open_unlabeled(
    net: str, weights: Path | None, place: str, val: str | None, asked: dict[str, Any], threads: int
) -> Workshop:
    """A network with weights, pictures to calibrate on, and a set to test on.

    Args:
        net: NET as the user wrote it.
        weights: the user's checkpoint.
        place: a folder of pictures, with or without sub-folders, or a set, whose labels are not used.
        val: a labeled set to test on. Without it every fifth picture is held out, labeled as the float network does.
        asked: as for :func:`paring.cli.inputs._workshop.open_workshop`.
        threads: for torch.

    Raises:
        ArgumentError, CheckpointError, DataError: as the loader and the builder do; if the network has no weights.
    """
    import torch

    from paring import data, networks
    from paring.training.input import Images

    names = asked.pop("classes", ())
    named = networks.find(net, weights, asked.pop("strict", True))
    if named.weights is None and not named.own_weights:
        raise ArgumentError("network has no trained weights", found=net, fix="Give a checkpoint, or --weights FILE")
    wanted = preparing(named, dict(asked))
    torch.set_num_threads(threads)
    pictures, module, classes = _fitting(named, place, wanted, names or named.classes)
    note_bad(pictures.bad)
    note_measured(named, asked, pictures.preparation)
    if val is not None:
        loading = {key: asked[key] for key in ("limit", "on_bad_image") if asked.get(key) is not None}
        test = data.load(val, data.test_part(val), preparation=pictures.preparation, **loading)
        known = names or named.classes
        test = data.aligned(test, known or (classes if data.numbered(test.classes) else test.classes), bool(names))
        if len(test.classes) != len(classes):
            raise ArgumentError(
                "network does not answer with one number per class",
                where=val,
                found=f"{len(test.classes)} classes",
                expected=len(classes),
                fix="Give the network's names in its order (--classes FILE)",
            )
        note_bad(test.bad)
        train = replace(pictures, classes=test.classes)
        return Workshop(named, module, Images(train), Images(test))
    train, test = _parted(pictures, module)
    if train is test:
        note(f"{place}: too few pictures to hold some out; the agreement is measured on those that calibrate.")
    return Workshop(named, module, renamed(Images(train), classes), renamed(Images(test), classes))


def _fitting(
    named: Named, place: str, wanted: dict[str, Any], names: tuple[str, ...]
) -> tuple[Dataset, nn.Module, tuple[str, ...]]:
    """The pictures as the network wants them, the network, and its classes."""
    from paring import networks

    pictures = _pictures(place, wanted, names)
    try:
        return (pictures, *networks.fitted(named, pictures))
    except networks.ChannelsError as error:
        note_channels(error)
        pictures = _pictures(place, {**wanted, "channels": error.channels}, names)
        return (pictures, *networks.fitted(named, pictures))


def _pictures(place: str, wanted: dict[str, Any], names: tuple[str, ...]) -> Dataset:
    from paring import data

    limit = wanted.get("limit") or MOST
    channels = wanted.get("channels")
    wish = data.Wish(
        wanted.get("preparation"), wanted.get("mean"), wanted.get("std"), wanted.get("size"), wanted.get("white", 0.0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is measured has been said
        found = data.dataset(
            place, wish, labels=False, limit=limit, channels=channels, on_bad_image=wanted.get("on_bad_image", "stop")
        )
    return replace(found, labels=np.zeros(len(found), np.int64), classes=names)


def _parted(pictures: Dataset, module: nn.Module) -> tuple[Dataset, Dataset]:
    """Pictures to calibrate on, and every fifth one with what the float network calls it for a label."""
    import torch

    rows = np.arange(len(pictures))
    held = rows % _HELD_OUT == _HELD_OUT - 1 if len(rows) >= _HELD_OUT else np.ones(len(rows), bool)
    rest = ~held if len(rows) >= _HELD_OUT else held
    test = replace(pictures, images=pictures.images[held], labels=pictures.labels[held], split=AGREEMENT)
    labels = []
    with torch.inference_mode():
        for images, _ in test.batches(64):
            labels.append(module(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()).argmax(1).numpy())
    test = replace(test, labels=np.concatenate(labels).astype(np.int64))
    if rest is held:
        return test, test
    return replace(pictures, images=pictures.images[rest], labels=pictures.labels[rest]), test
