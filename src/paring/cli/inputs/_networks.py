"""What the user names as NET: a network of the zoo, a checkpoint of ``paring train``, or a function of their own."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paring.errors import ArgumentError, CheckpointError, OutputError, ParingError
from paring.image import Preparation

if TYPE_CHECKING:
    from torch import nn

    from paring.data import Dataset

#: Key of the safetensors header under which :func:`paring.training.save_checkpoint` keeps its words.
_HEADER = "paring"
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


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
    """

    net: str
    weights: Path | None = None
    resolution: tuple[int, int] | None = None
    channels: int | None = None
    preparation: Preparation | None = None
    classes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Short name for tables and records."""
        return self.net if ":" not in self.net else self.net.rpartition(":")[2]


def find(net: str, weights: Path | None = None) -> Named:
    """Read what NET says about itself, without building it.

    Args:
        net: zoo name, checkpoint or ``file.py:function``.
        weights: the user's ``--weights``.

    Raises:
        ArgumentError: if there is no such network, with the nearest names.
        CheckpointError: if a checkpoint is missing, damaged or does not say of which network it is.
    """
    if weights is not None and not weights.is_file():
        raise CheckpointError("checkpoint does not exist", where=weights)
    if net.endswith(_SUFFIXES):
        if weights is not None:
            raise ArgumentError("two checkpoints", found=f"{net} and {weights}", fix="Give NET by name with --weights")
        return _of_checkpoint(Path(net))
    header = _header(weights) if weights is not None and weights.suffix == ".safetensors" else {}
    if ".py:" in net:
        return Named(net, weights, **_known(header))
    if net.endswith((".py", ".pare")):
        what = "a .pare file" if net.endswith(".pare") else "a Python file without a function"
        raise ArgumentError(
            f"{what} is no network to train", found=net, expected="a zoo name or path/to/file.py:function"
        )
    from paring import zoo

    card = zoo.card(net)
    return Named(net, weights, **{"resolution": card.resolution, "channels": card.channels, **_known(header)})


def build(named: Named, data: Dataset) -> nn.Module:
    """The network with weights, in eval mode, checked against the data.

    Raises:
        ArgumentError: if it cannot be built or does not answer with one number per class.
        CheckpointError: if the checkpoint is of another network, or holds what is not a finite number.
    """
    classes = len(data.classes)
    if named.classes and named.classes != data.classes:
        raise CheckpointError(
            "checkpoint knows other classes than the data",
            where=named.weights,
            found=f"{len(named.classes)} classes ({', '.join(named.classes[:5])}, ...)",
            expected=f"{classes} classes ({', '.join(data.classes[:5])}, ...)",
        )
    module = _own(named.net, classes) if ".py:" in named.net else _from_zoo(named.net, classes)
    if named.weights is not None:
        from paring import zoo

        zoo.load_weights(module, named.weights)
    module.eval()
    _check_finite(module, named)
    _check_answers(module, named, data)
    return module


def save(path: Path, module: nn.Module, named: Named, data: Dataset) -> None:
    """Write a checkpoint that says of which zoo network it is, with class names and preparation; whole or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    from paring.training.loop import save_checkpoint

    # A user's own Python file is not named: opening a checkpoint must never run one.
    words = {"classes": data.classes, "preparation": asdict(data.preparation)}
    if ".py:" not in named.net:
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


def _of_checkpoint(path: Path) -> Named:
    if not path.is_file():
        raise CheckpointError("checkpoint does not exist", where=path)
    header = _header(path) if path.suffix == ".safetensors" else {}
    net = header.get("net")
    if not isinstance(net, str) or net.endswith(_SUFFIXES) or ".py" in net:
        raise CheckpointError(
            "checkpoint does not say of which zoo network it is", where=path, fix=f"Name it: NET --weights {path}"
        )
    named = find(net)
    return Named(**{**vars(named), "weights": path, **_known(header)})


def _header(path: Path) -> dict[str, Any]:
    """What :func:`save` wrote; empty for other people's checkpoints."""
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


def _from_zoo(name: str, classes: int) -> nn.Module:
    from paring import zoo

    try:
        return zoo.create(name, num_classes=classes)
    except ArgumentError as error:
        if "num_classes" not in error.what:
            raise
        return zoo.create(name)


def _own(net: str, classes: int) -> nn.Module:
    """Call the user's function; it gets the number of classes if it takes ``num_classes``."""
    from torch import nn

    path, _, name = net.rpartition(":")
    file = Path(path).expanduser()
    if not file.is_file():
        raise ArgumentError("file does not exist", where=net, expected="path/to/file.py:function")
    spec = importlib.util.spec_from_file_location(f"_paring_user_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickling look a module up by name
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
        function = getattr(module, name, None)
        if not callable(function):
            near = get_close_matches(name, [n for n in vars(module) if callable(getattr(module, n))], 3)
            raise ArgumentError("file has no such function", where=net, expected=" or ".join(near) or None)
        wanted = {"num_classes": classes} if "num_classes" in inspect.signature(function).parameters else {}
        network = function(**wanted)
    except ParingError:
        raise
    except Exception as error:
        raise ArgumentError(f"your code raised {type(error).__name__}", where=net, found=error) from error
    finally:
        sys.path.pop(0)
    if not isinstance(network, nn.Module):
        raise ArgumentError("function did not return a network", where=net, found=type(network), expected="nn.Module")
    return network


def _check_finite(module: nn.Module, named: Named) -> None:
    """Weights that are no numbers would only show after the training as an error of 90 %."""
    import torch

    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            kind = ArgumentError if named.weights is None else CheckpointError
            raise kind(
                "weights are not finite numbers",
                where=f"{named.weights or named.net}, {name}",
                found=f"{int((~torch.isfinite(tensor)).sum()):,} of {tensor.numel():,} not",
                fix="Take a checkpoint from before the training diverged",
            )


def _check_answers(module: nn.Module, named: Named, data: Dataset) -> None:
    """One image through the network: does it take the shape, does it answer with one number per class?"""
    import torch

    image = torch.from_numpy(data.prepared(0, 1)).permute(0, 3, 1, 2)
    try:
        with torch.inference_mode():
            answer = module(image)
    except Exception as error:
        raise ArgumentError(
            "network does not take the data's images",
            where=named.net,
            found=f"{tuple(image.shape[1:])} (C, H, W): {str(error).splitlines()[0]}",
            fix="Choose another --size, or another network",
        ) from error
    if not isinstance(answer, torch.Tensor) or answer.shape != (1, len(data.classes)):
        found = tuple(answer.shape[1:]) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise ArgumentError(
            "network does not answer with one number per class",
            where=named.net,
            found=found,
            expected=len(data.classes),
        )


def preparing(named: Named, asked: dict[str, Any]) -> dict[str, Any]:
    """Arguments for :func:`paring.data.load` that bring images to the network's input.

    Args:
        named: the network.
        asked: the user's ``size``, ``mean`` and ``std`` (None where not given), and other arguments, passed on.
    """
    own = {key: asked.pop(key, None) for key in ("size", "mean", "std")}
    if named.preparation is not None and all(value is None for value in own.values()):
        return {**asked, "preparation": named.preparation}
    if own["size"] is None:
        own["size"] = named.resolution
    return {**asked, **own, "channels": named.channels}
