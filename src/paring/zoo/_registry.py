"""One row per network: its builder and its card.

To add a family, write one file ``src/paring/zoo/<family>.py`` (no underscore in front, nothing else to edit: every
such file is found by its name) with a builder decorated once per network::

    from paring.zoo._registry import Card, register

    @register("vgg16", card=Card(paper="Simonyan, Zisserman, ..., ICLR 2015, arXiv 1409.1556", year=2014,
                                 parameters=138_357_544, macs=15_470.26e6, resolution=(224, 224),
                                 accuracy={"ImageNet top-1 %": (71.592, "torchvision 0.29 metadata")},
                                 traps=("table 3 of the paper evaluates densely, not a center crop",)), depth=16)
    @register("vgg11", card=Card(...), depth=11)
    def vgg(depth: int = 16, *, num_classes: int = 1000, in_channels: int = 3) -> nn.Module: ...

Keyword arguments of ``register`` after ``card`` are the builder's defaults for that row; a user may override them.
Builders share these names where they have the notion: ``num_classes``, ``in_channels``, ``width_mult``,
``resolution`` (only if the layers depend on it), ``groups``, ``dropout``. Parameters and MACs on the card are those of
the row's defaults. A name begins with its file's name where that is natural (``resnet50`` in ``resnet.py``): then
:func:`create` imports that one file and no other.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, TypeVar

from paring.errors import ArgumentError, ParingError

if TYPE_CHECKING:
    from torch import nn

Builder = TypeVar("Builder", bound=Callable[..., Any])


@dataclass(frozen=True)
class Card:
    """What is known about a network, with its row's default arguments.

    Attributes:
        paper: authors, title, venue, arXiv number.
        year: of the paper.
        parameters: trainable numbers, biases and batch-norm scale and shift included, running statistics not.
        macs: multiply-accumulates of convolutions and fully connected layers for one image at ``resolution``.
        resolution: (height, width) of the input in pixels.
        channels: channels of the input.
        accuracy: label, with data set and unit, to (value, where it was published).
        traps: one sentence each on what is easily got wrong.
        family: file the builder is in; filled in by :func:`register`.
        name: name of the row; filled in by :func:`register`.
    """

    paper: str
    year: int
    parameters: int
    macs: float
    resolution: tuple[int, int] = (224, 224)
    channels: int = 3
    accuracy: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    traps: tuple[str, ...] = ()
    family: str = ""
    name: str = ""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width), what the network expects behind the batch axis."""
        return (self.channels, *self.resolution)


_BUILDERS: dict[str, Callable[..., Any]] = {}
_CARDS: dict[str, Card] = {}


def register(name: str, *, card: Card, **defaults: Any) -> Callable[[Builder], Builder]:
    """Decorator: enter a builder into the zoo under ``name``; may be repeated for other rows.

    Args:
        name: lower case, digits and underscores.
        card: the network's card.
        defaults: keyword arguments this row gives the builder.

    Raises:
        ParingError: if the name is taken by another file.
    """

    def enter(builder: Builder) -> Builder:
        family = builder.__module__.rpartition(".")[2]
        taken = _CARDS.get(name)
        if taken is not None and taken.family != family:
            raise ParingError("two families register one name", where=name, found=family, expected=taken.family)
        _BUILDERS[name] = partial(builder, **defaults) if defaults else builder
        _CARDS[name] = replace(card, name=name, family=family)
        return builder

    return enter


def create(name: str, **kwargs: Any) -> nn.Module:
    """Build a network with fresh random weights, drawn from torch's global generator.

    Args:
        name: a name that :func:`names` lists, such as ``"mobilenet_v2"``.
        kwargs: the builder's own arguments (``num_classes``, ``width_mult``, ``in_channels``, ...).

    Returns:
        A ``torch.nn.Module`` in training mode that takes ``(N, channels, H, W)`` float tensors.

    Raises:
        ArgumentError: on an unknown name or argument, with the nearest ones.
        ParingError: if PyTorch is not installed.
    """
    _find(name)
    builder = _BUILDERS[name]
    known = inspect.signature(builder).parameters
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
        for argument in kwargs:
            if argument not in known:
                near = get_close_matches(argument, known, 3) or sorted(known)
                raise ArgumentError(f"{name} has no argument {argument!r}", expected=" or ".join(near))
    return builder(**kwargs)


def arguments(name: str) -> tuple[str, ...]:
    """Names of the keyword arguments :func:`create` takes for a network.

    Raises:
        ArgumentError: on an unknown name, with the nearest ones.
        ParingError: if PyTorch is not installed.
    """
    _find(name)
    return tuple(inspect.signature(_BUILDERS[name]).parameters)


def card(name: str) -> Card:
    """The card of a network.

    Raises:
        ArgumentError: on an unknown name, with the nearest ones.
        ParingError: if PyTorch is not installed.
    """
    _find(name)
    return _CARDS[name]


def names(pattern: str = "*") -> list[str]:
    """Sorted names of all networks that match a shell pattern (``"resnet*"``).

    Raises:
        ParingError: if PyTorch is not installed.
    """
    for family in _families():
        _load(family)
    return sorted(name for name in _CARDS if fnmatchcase(name, pattern))


def _find(name: str) -> None:
    """Import families until ``name`` is known, the one it is named after first."""
    if name in _BUILDERS:
        return
    for family in sorted(_families(), key=lambda family: (not name.startswith(family), -len(family))):
        _load(family)
        if name in _BUILDERS:
            return
    near = get_close_matches(name, _CARDS, 5, cutoff=0.5)
    raise ArgumentError(
        "no such network in the zoo",
        found=repr(name),
        expected=" or ".join(near) or None,
        fix="`paring.zoo.list()` names them all",
    )


def _families() -> list[str]:
    package = import_module("paring.zoo")
    return [found.name for found in iter_modules(package.__path__) if not found.name.startswith("_")]


def _load(family: str) -> None:
    try:
        import_module(f"paring.zoo.{family}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        raise ParingError("the zoo needs PyTorch", fix="Install it with: pip install 'paring[torch]'") from error
