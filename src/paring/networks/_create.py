"""A network by its name, ready to run, train or compress."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paring.errors import ArgumentError
from paring.image import Preparation
from paring.networks._build import check_finite
from paring.networks._find import LIBRARIES, find
from paring.networks._make import make

if TYPE_CHECKING:
    from torch import nn


def create(
    net: str | os.PathLike[str] | Callable[..., Any],
    *,
    weights: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    **arguments: Any,
) -> nn.Module:
    """A network, in eval mode.

    Where it is known how its pictures are prepared and what its classes are called (a checkpoint of ``paring train``, a
    `.pare` file, a network of timm), the module has that as its ``preparation`` and ``classes``, and the other verbs
    of :mod:`paring` take it from there.

    Args:
        net: a zoo name; ``timm:NAME`` or ``torchvision:NAME`` where these are installed; ``path/to/file.py:function``
            or ``package.module:function``, with ``(key=value)`` behind it for arguments, which is run; a checkpoint of
            ``paring train``; a ``.pt2`` file of ``torch.export``; a ``.pare`` file; or a function, called.
        weights: a checkpoint or a state dict in any layout that :func:`paring.zoo.load_weights` reads.
        arguments: for the network's maker (``num_classes``, ``width_mult``, ``pretrained``, ...).

    Raises:
        ArgumentError: if there is no such network, with the nearest names, or it does not take the arguments.
        CheckpointError: if the weights are missing, damaged, not finite or of another network.
        FormatError: if a ``.pare`` file is refused.
        ParingError: if a library is not installed.
    """
    from torch import nn

    if not isinstance(net, str | os.PathLike):
        return _called(net, weights, arguments)
    word = os.fspath(net)
    if word.endswith(".pare"):
        return _of_pare(word, weights, arguments)
    path = Path(weights) if isinstance(weights, str | os.PathLike) else None
    named = find(word, path)
    classes = len(named.classes) or None
    module = make(named.net, classes, arguments)
    assert isinstance(module, nn.Module)
    _load(module, weights if named.weights is None else named.weights)
    check_finite(module, named)
    library = word.partition(":")[0] in LIBRARIES
    return _marked(module, named.preparation or (_of_timm(module) if library else None), named.classes)


def _called(net: Any, weights: Any, arguments: Mapping[str, Any]) -> nn.Module:
    from torch import nn

    from paring.layers import bare

    if isinstance(net, nn.Module) and not arguments:
        module = net
    elif callable(net) and not isinstance(net, nn.Module):
        module = net(**arguments)
    else:
        raise ArgumentError("not a network", found=type(net).__name__, expected="a name, a file or a function")
    if not isinstance(module, nn.Module):
        raise ArgumentError("function did not return a network", found=type(module).__name__, expected="nn.Module")
    module = bare(module)
    _load(module, weights)
    return module.eval()


def _load(module: nn.Module, weights: Any) -> None:
    if weights is not None:
        from paring import zoo

        zoo.load_weights(module, weights)


def _of_pare(path: str, weights: Any, arguments: Mapping[str, Any]) -> nn.Module:
    from paring.capture import rebuild
    from paring.container import read

    if weights is not None or arguments:
        raise ArgumentError("a .pare file is what it is", where=path, fix="Leave out weights= and other arguments")
    contents = read(path)
    return _marked(rebuild(contents), contents.preparation, contents.classes)


def _of_timm(module: nn.Module) -> Preparation | None:
    """What timm knows about a network's pictures."""
    known = getattr(module, "pretrained_cfg", None) or {}
    try:
        channels, height, width = known["input_size"]
        resize = round(max(height, width) / known.get("crop_pct", 0.875))
        return Preparation(height, width, channels, tuple(known["mean"]), tuple(known["std"]), resize)
    except (KeyError, TypeError, ValueError):
        return None


def _marked(module: nn.Module, preparation: Preparation | None, classes: tuple[str, ...]) -> nn.Module:
    if preparation is not None:
        module.preparation = preparation  # type: ignore[assignment]
    if classes:
        module.classes = tuple(classes)  # type: ignore[assignment]
    return module.eval()
