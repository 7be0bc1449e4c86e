"""What a recipe works on: the network's maker and the data, checked against each other before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paring.capture import outline
from paring.data import Dataset, load
from paring.errors import ArgumentError
from paring.parametrize import select
from paring.recipes._settings import Settings

#: How a network is named: in the zoo, or by a function that makes it.
Network = str | Callable[[], nn.Module]


@dataclass(frozen=True)
class Sets:
    """Training set, and the images and labels that errors are over.

    Attributes:
        train: the training set.
        images: prepared test images, float32 ``(N, C, H, W)``.
        labels: int64 ``(N,)``.
        title: what the test images are, in words.
    """

    train: Dataset
    images: Tensor
    labels: np.ndarray
    title: str


def open_sets(
    data: str | tuple[Dataset, Dataset], network: Network, hold_out: int, arguments: Mapping[str, Any] | None
) -> Sets:
    """Load the data, or take what is loaded, and set ``hold_out`` training images aside as the test set if asked.

    Raises:
        ArgumentError: if so many cannot be held out.
        DataError: as the loader does.
    """
    train, test, title = open_data(data, network, hold_out, arguments)
    images = torch.from_numpy(np.ascontiguousarray(test.prepared().transpose(0, 3, 1, 2)))
    return Sets(train, images, test.labels, title)


def open_data(
    data: str | tuple[Dataset, Dataset], network: Network, hold_out: int, arguments: Mapping[str, Any] | None
) -> tuple[Dataset, Dataset, str]:
    """The same as two data sets, and what the second one is in words; errors as :func:`open_sets`."""
    train, test = _loaded(data, network, arguments) if isinstance(data, str) else data
    title = "test set"
    if hold_out:
        if not 0 < hold_out < len(train):
            raise ArgumentError("cannot hold out so many images", found=hold_out, expected=f"below {len(train)}")
        test, title = _part(train, slice(-hold_out, None)), f"last {hold_out:,} training images"
        train = _part(train, slice(0, -hold_out))
    return train, test, f"{test.name.partition(':')[0]}, {title}"


def _loaded(spec: str, network: Network, arguments: Mapping[str, Any] | None) -> tuple[Dataset, Dataset]:
    extra = dict(arguments or {})
    if isinstance(network, str) and "preparation" not in extra:
        from paring import zoo

        card = zoo.card(network)
        extra = {"size": card.resolution, "channels": card.channels, **extra}
    train = load(spec, "train", **extra)
    return train, load(spec, "test", limit=extra.get("limit"), preparation=train.preparation)


def _part(data: Dataset, rows: slice) -> Dataset:
    return replace(data, images=data.images[rows], labels=data.labels[rows])


def maker(network: Network, data: Dataset, arguments: Mapping[str, Any] | None) -> Callable[[], nn.Module]:
    """A function that makes the network for these classes, tried out on a blank image.

    Raises:
        ArgumentError: if the network cannot take the images or does not answer with one number a class.
        GraphError: if it holds an operator that a file cannot hold.
    """
    make = _from_zoo(network, len(data.classes), dict(arguments or {})) if isinstance(network, str) else network
    height, width, channels = data.preparation.shape
    try:
        with torch.no_grad():
            shape = tuple(make().eval()(torch.zeros(1, channels, height, width)).shape)
    except RuntimeError as error:
        raise ArgumentError("network cannot take these images", found=str(error).splitlines()[0]) from None
    if shape != (1, len(data.classes)):
        raise ArgumentError(
            "network and data disagree on the number of classes", found=shape[-1], expected=len(data.classes)
        )
    outline(make(), (channels, height, width))  # what cannot be written is refused here, not after the training
    return make


def _from_zoo(name: str, classes: int, arguments: dict[str, Any]) -> Callable[[], nn.Module]:
    from paring import zoo

    if "num_classes" not in arguments:
        try:
            zoo.create(name, **{**arguments, "num_classes": classes})
            arguments["num_classes"] = classes
        except ArgumentError as error:  # a network that knows only its own number of classes
            if "num_classes" not in error.what:
                raise
    return partial(zoo.create, name, **arguments)


def check_targets(network: nn.Module, settings: Settings) -> None:
    """Refuse, before any training, what would be refused in the middle.

    Raises:
        ArgumentError: naming the target.
    """
    if not 0 < settings.keep <= 1:
        raise ArgumentError("invalid fraction of weights to keep", found=settings.keep, expected="above 0, up to 1")
    if settings.rounds < 1:
        raise ArgumentError("invalid number of pruning rounds", found=settings.rounds, expected="at least 1")
    if not 0 <= settings.centroids <= 65535:
        raise ArgumentError("invalid number of centroids", found=settings.centroids, expected="0 (none) to 65535")
    for name, keep in select(network, settings.keep_layers).items():
        if not 0 <= keep <= 1:
            raise ArgumentError("invalid fraction of weights to keep", where=name, found=keep, expected="0 to 1")
    for name, count in select(network, settings.centroid_layers).items():
        if not 1 <= count <= 65535:
            raise ArgumentError("invalid number of centroids", where=name, found=count, expected="1 to 65535")
