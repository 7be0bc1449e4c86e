"""What the user names as a network, before it is built."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paring.errors import ArgumentError, CheckpointError, ParingError
from paring.image import Preparation

#: Endings of checkpoints.
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
#: Libraries whose networks are known by name, ``timm:resnet18``.
LIBRARIES = ("timm", "torchvision")
#: Key of the safetensors header under which :func:`paring.training.save_checkpoint` keeps its words.
_HEADER = "paring"


@dataclass(frozen=True)
class Named:
    """A network before it is built.

    Attributes:
        net: as the user named it, or as the checkpoint says.
        weights: checkpoint to load, or None for fresh weights.
        resolution: (height, width) of the input; None if only the data can tell.
        channels: of the input; None if only the data can tell.
        preparation: that of the checkpoint.
        classes: those of the checkpoint; empty if unknown.
        strict: whether all of its weights must fit the checkpoint's.
    """

    net: str
    weights: Path | None = None
    resolution: tuple[int, int] | None = None
    channels: int | None = None
    preparation: Preparation | None = None
    classes: tuple[str, ...] = ()
    strict: bool = True

    @property
    def title(self) -> str:
        """Short name for tables and records."""
        if self.net.endswith(".pt2"):
            return Path(self.net).stem
        return self.net.partition("(")[0].rpartition(":")[2]

    @property
    def own_weights(self) -> bool:
        """Whether it may come with weights without a checkpoint: from the user's code, or as an argument asks."""
        return self.runs_code or "(" in self.net

    @property
    def runs_code(self) -> bool:
        """Whether building it runs code of the user's own, which opening a checkpoint must never do."""
        return is_function(self.net) or self.net.endswith(".pt2")


def is_function(net: str) -> bool:
    """Whether ``net`` names a function: ``file.py:function`` or ``package.module:function``."""
    return ":" in net and net.partition(":")[0] not in LIBRARIES


def find(net: str, weights: Path | None = None, strict: bool = True) -> Named:
    """Read what NET says about itself, without building it.

    Args:
        net: zoo name, ``timm:NAME``, ``torchvision:NAME``, checkpoint, ``.pt2`` file, ``file.py:function`` or
            ``package.module:function``, functions with ``(key=value)`` behind them if they are to have arguments.
        weights: the user's ``--weights``; ``FILE#PART`` for one part of a checkpoint.
        strict: False: load what fits.

    Raises:
        ArgumentError: if there is no such network, with the nearest names.
        CheckpointError: if a checkpoint is missing, damaged or does not say of which network it is.
    """
    if weights is not None and not file_of(weights).is_file():
        raise CheckpointError("checkpoint does not exist", where=weights)
    found = _found(net, weights)
    return found if strict else replace(found, strict=False)


def file_of(checkpoint: Path) -> Path:
    """The file of ``FILE#PART``."""
    from paring.zoo._nests import split

    return split(checkpoint)[0]


def is_checkpoint(word: str) -> bool:
    """Whether ``word`` is called like a checkpoint, or a part of one."""
    return word.endswith(SUFFIXES) or word.rpartition("#")[0].endswith(SUFFIXES)


def _found(net: str, weights: Path | None) -> Named:
    if is_checkpoint(net):
        if weights is not None:
            raise ArgumentError("two checkpoints", found=f"{net} and {weights}", fix="Give NET by name with --weights")
        return _of_checkpoint(Path(net))
    header = _header(weights) if weights is not None and weights.suffix == ".safetensors" else {}
    if ":" in net or net.endswith(".pt2"):
        return Named(net, weights, **_known(header))
    if net.endswith((".py", ".pare")):
        what = "a .pare file" if net.endswith(".pare") else "a Python file without a function"
        raise ArgumentError(
            f"{what} is no network to train", found=net, expected="a zoo name or path/to/file.py:function"
        )
    from paring import zoo

    card = zoo.card(net)
    return Named(net, weights, **{"resolution": card.resolution, "channels": card.channels, **_known(header)})


def _of_checkpoint(path: Path) -> Named:
    if not file_of(path).is_file():
        raise CheckpointError("checkpoint does not exist", where=path)
    header = _header(path) if path.suffix == ".safetensors" else {}
    net = header.get("net")
    if not isinstance(net, str) or net.endswith((*SUFFIXES, ".py", ".pare")) or Named(net).runs_code:
        raise CheckpointError(
            "checkpoint does not say of which zoo network it is", where=path, fix=f"Name it: NET --weights {path}"
        )
    named = find(net)
    return Named(**{**vars(named), "weights": path, **_known(header)})


def _header(path: Path) -> dict[str, Any]:
    """What ``paring train`` wrote; empty for other people's checkpoints."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > 100_000_000:
                return {}
            metadata = json.loads(file.read(length)).get("__metadata__", {})
        header = json.loads(metadata.get(_HEADER, "{}"))
        return header if isinstance(header, dict) else {}
    except (OSError, ValueError, AttributeError):
        return {}


def _known(header: dict[str, Any]) -> dict[str, Any]:
    if "preparation" not in header:
        return {}
    try:
        values = dict(header["preparation"])
        preparation = Preparation(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
        classes = tuple(map(str, header["classes"]))
    except (ParingError, TypeError, KeyError) as error:
        raise CheckpointError("checkpoint's header is damaged", found=error) from None
    return {
        "preparation": preparation,
        "classes": classes,
        "resolution": (preparation.height, preparation.width),
        "channels": preparation.channels,
    }
