"""What a recipe works on: the network and the data, checked against each other before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from paring.capture import outline
from paring.data import Dataset, Listing, listing, load
from paring.errors import ArgumentError
from paring.graph import Graph
from paring.layers import bare
from paring.parametrize import settled
from paring.training.input import Images, derived_seed

#: A network: in the zoo, made by a function, or as it is.
Network = str | Callable[[], nn.Module] | nn.Module
#: Data: ``kind:where``, or a training set and a test set.
Data = str | tuple[Dataset | Images, Dataset | Images]


@dataclass(frozen=True)
class Inputs:
    """A network with its data.

    Attributes:
        name: of the network, for records.
        network: built once, in eval mode, on the processor; the caller's own stays as it is.
        outline: its graph without numbers.
        train: the training set.
        test: the set that errors are over.
        title: what that is, in words.
    """

    name: str
    network: nn.Module
    outline: Graph
    train: Images
    test: Images
    title: str


def opened(
    network: Network,
    data: Data,
    *,
    name: str | None = None,
    seed: int = 0,
    hold_out: int = 0,
    workers: int | None = None,
    network_args: Mapping[str, Any] | None = None,
    data_args: Mapping[str, Any] | None = None,
) -> Inputs:
    """Load the data, or take what is loaded; build the network once and trace it once.

    Raises:
        ArgumentError: if the network does not take the images, does not answer with one number a class, or so many
            images cannot be held out.
        GraphError: if it holds an operator that a file cannot hold.
        DataError: as the loader does.
    """
    train, test = _named(data, network, workers, dict(data_args or {})) if isinstance(data, str) else map(_images, data)
    title = "test set"
    if hold_out:
        if not 0 < hold_out < len(train):
            raise ArgumentError("cannot hold out so many images", found=hold_out, expected=f"below {len(train)}")
        test, title = _part(train, slice(-hold_out, None)), f"last {hold_out:,} training images"
        train = _part(train, slice(0, -hold_out))
    title = f"{test.name.partition(':')[0]}, {title}"
    built = _built(network, len(train.classes), derived_seed(seed, "weights"), dict(network_args or {}))
    _check_answers(built, train)
    graph = outline(built, train.shape)  # what cannot be written is refused here, not after the training
    if isinstance(network, nn.Module):
        called = type(bare(network)).__name__
    else:
        called = network if isinstance(network, str) else getattr(network, "__name__", "network")
    return Inputs(name or called, built, graph, train, test, title)


def _images(data: Dataset | Images) -> Images:
    return data if isinstance(data, Images) else Images(data)


def _named(spec: str, network: Network, workers: int | None, extra: dict[str, Any]) -> tuple[Images, Images]:
    """Both splits of a set by its name: in memory, or with ``workers`` streamed (plain pixels never are)."""
    if isinstance(network, str) and "preparation" not in extra:
        from paring import zoo

        card = zoo.card(network)
        extra = {"size": card.resolution, "channels": card.channels, **extra}
    limit, bad = extra.get("limit"), extra.get("on_bad_image", "stop")
    if workers is None or (found := listing(spec, "train", limit=limit)).plain:
        train = load(spec, "train", **extra)
        test = load(spec, "test", limit=limit, preparation=train.preparation, on_bad_image=bad)
        return Images(train), Images(test)
    asked = {name: value for name, value in extra.items() if name not in ("limit", "preparation", "on_bad_image")}
    preparation = extra.get("preparation") or found.preparation(**asked, on_bad_image=bad)
    tests = listing(spec, "test", limit=limit)
    return tuple(Images(one, preparation, workers=workers, on_bad_image=bad) for one in (found, tests))  # type: ignore[return-value]


def _part(data: Images, rows: slice) -> Images:
    """Some of the images of a set."""
    if data.listing is None:
        return Images(replace(data.first, images=data.first.images[rows], labels=data.first.labels[rows]))
    whole = data.listing
    blocks = None if whole.blocks is None else whole.blocks[rows]
    some: Listing = replace(whole, labels=whole.labels[rows], blocks=blocks, _numbers=whole._numbers[rows])
    return Images(some, data.preparation, workers=data.workers, on_bad_image=data.on_bad_image)


def _built(network: Network, classes: int, seed: int, arguments: dict[str, Any]) -> nn.Module:
    if isinstance(network, nn.Module):
        return settled(network, 5).to("cpu").float().eval()
    torch.manual_seed(seed)
    made = network() if callable(network) else _from_zoo(network, classes, seed, arguments)
    return settled(made, 5).to("cpu").float().eval()


def _from_zoo(name: str, classes: int, seed: int, arguments: dict[str, Any]) -> nn.Module:
    from paring import zoo

    if "num_classes" in arguments:
        return zoo.create(name, **arguments)
    try:
        return zoo.create(name, **{**arguments, "num_classes": classes})
    except ArgumentError as error:  # a network that knows only its own number of classes
        if "num_classes" not in error.what:
            raise
        torch.manual_seed(seed)
        return zoo.create(name, **arguments)


def _check_answers(network: nn.Module, data: Images) -> None:
    try:
        with torch.no_grad():
            answer = network(torch.zeros(1, *data.shape))
    except RuntimeError as error:
        raise ArgumentError("network cannot take these images", found=str(error).splitlines()[0]) from None
    if not isinstance(answer, torch.Tensor):
        raise ArgumentError(
            "network does not answer with one tensor", found=type(answer).__name__, expected=f"(N, {len(data.classes)})"
        )
    shape = tuple(answer.shape)
    if shape != (1, len(data.classes)):
        raise ArgumentError(
            "network and data disagree on the number of classes", found=shape[-1], expected=len(data.classes)
        )
