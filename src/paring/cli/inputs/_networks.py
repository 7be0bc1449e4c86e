"""What the commands do with networks beside finding and building them (:mod:`paring.networks`)."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paring.cli.render._output import note, rank
from paring.errors import ArgumentError, OutputError
from paring.image import NORMALIZATIONS, Preparation

if TYPE_CHECKING:
    from torch import nn

    from paring.data import Dataset
    from paring.networks import Named


def save(path: Path, module: nn.Module, named: Named, data: Dataset) -> None:
    """Write a checkpoint that says of which network it is, with class names and preparation; whole or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    from paring.training.loop import save_checkpoint

    # A user's own code is not named: opening a checkpoint must never run it.
    words = {"classes": data.classes, "preparation": asdict(data.preparation)}
    if not named.runs_code:
        words["net"] = named.net
    save_checkpoint(path, module.state_dict(), words)


def check_writable(path: Path | None, suffix: str, option: str) -> None:
    """Say before hours of work that the result could not be written.

    Raises:
        OutputError: if the folder is missing or not writable.
        ArgumentError: if the name does not end in ``suffix``.
    """
    if path is None:
        return
    if path.suffix != suffix:
        raise ArgumentError("file name has another ending", where=option, found=path.name, expected=f"*{suffix}")
    if path.is_dir():
        raise OutputError("is a folder", where=f"{option} {path}")
    if not path.parent.is_dir():
        raise OutputError("folder does not exist", where=path.parent, fix="Make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError("folder is not writable", where=path.parent)


def preparing(named: Named, asked: dict[str, Any]) -> dict[str, Any]:
    """Arguments for :func:`paring.data.load` that bring images to the network's input.

    Args:
        named: the network.
        asked: the user's ``size``, ``mean``, ``std`` and ``white`` (None where not given), and other arguments, passed
            on.
    """
    own = {key: asked.pop(key, None) for key in ("size", "mean", "std")}
    white = asked.pop("white", None)
    if named.preparation is not None and all(value is None for value in own.values()):
        known = named.preparation if white is None else replace(named.preparation, white=white)
        return {**asked, "preparation": known}
    if own["size"] is None:
        own["size"] = named.resolution
    if named.preparation is not None and own["mean"] is None and own["std"] is None:
        own["mean"], own["std"] = named.preparation.mean, named.preparation.std
    if (named.weights is not None or named.own_weights) and own["mean"] is None and own["std"] is None:
        own["mean"], own["std"] = _of_library(named)
    return {**asked, **own, "channels": named.channels, **({} if white is None else {"white": white})}


def opened(
    named: Named, spec: str, split: str, asked: dict[str, Any], names: tuple[str, ...]
) -> tuple[Dataset, nn.Module]:
    """A network with weights, and a set to try it on, prepared as it wants it, with labels that it means.

    Args:
        named: the network.
        spec: the set.
        split: of it.
        asked: as for :func:`preparing`.
        names: of all of the network's classes, where the user gives them.
    """
    from paring import data, networks

    wanted = preparing(named, dict(asked))

    def load(**more: Any) -> tuple[Dataset, nn.Module, tuple[str, ...]]:
        samples = data.load(spec, split, **{**wanted, **more})
        known = names or named.classes
        samples = data.aligned(samples, known, bool(names)) if known else samples
        return (samples, *networks.fitted(named, samples))

    try:
        samples, module, classes = load()
    except networks.ChannelsError as error:
        note_channels(error)
        samples, module, classes = load(channels=error.channels)
    if named.weights is not None:
        note_measured(named, asked, samples.preparation)
    return data.aligned(samples, classes), module


def note_channels(error: Any) -> None:
    """Say that pictures are turned gray, or into color, for the network."""
    if not rank():
        what = (
            "gray pictures: those in color become gray" if error.channels == 1 else "pictures in color: gray ones too"
        )
        note(f"{error.where}: the network takes {what}.")


def _of_library(named: Named) -> tuple[Any, Any]:
    """Mean and std that a library's weights want; None where nobody knows them."""
    library, _, name = named.net.partition("(")[0].partition(":")
    if library == "torchvision":
        note(f"{named.net}: pictures are normalized as torchvision's weights want it (--normalization imagenet).")
        return NORMALIZATIONS["imagenet"]
    if library == "timm":
        try:
            from timm.models import get_pretrained_cfg

            known = get_pretrained_cfg(name)
            note(f"{named.net}: pictures are normalized as timm says, mean {known.mean}, std {known.std}.")
            return tuple(known.mean), tuple(known.std)
        except Exception:  # not installed, which is said elsewhere, or a network without an entry
            pass
    return None, None


def note_measured(named: Named, asked: dict[str, Any], used: Preparation) -> None:
    """Say that mean and std of the data are taken for weights of which nobody knows what they want."""
    told = named.preparation is not None or any(asked.get(key) is not None for key in ("mean", "std"))
    if told or rank() or named.net.partition(":")[0] in ("timm", "torchvision"):
        return
    mean, std = (",".join(f"{value:.4g}" for value in part) for part in (used.mean, used.std))
    note(
        f"{named.weights or named.net}: the weights do not say how pictures were normalized for them. Mean {mean} and "
        f"std {std}, measured on the data, are taken; --mean and --std give others, or by name --normalization "
        f"{'|'.join(NORMALIZATIONS)}."
    )
