"""A named network with its weights, checked against the data."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from paring.data._classes import numbered
from paring.errors import ArgumentError, CheckpointError
from paring.networks._find import Named
from paring.networks._make import make

if TYPE_CHECKING:
    from torch import nn

    from paring.data import Dataset


class ChannelsError(ArgumentError):
    """The network takes pictures with another number of channels, which is its ``channels``."""

    channels = 0


def build(named: Named, data: Dataset) -> nn.Module:
    """The network with weights, in eval mode, checked against the data.

    Raises:
        ArgumentError: if it cannot be built or does not answer with one number per class.
        CheckpointError: if the checkpoint is of another network, or holds what is not a finite number.
    """
    module, classes = fitted(named, data)
    if len(classes) != len(data.classes):
        raise _other_answers(named, len(classes), len(data.classes))
    return module


def fitted(named: Named, data: Dataset) -> tuple[nn.Module, tuple[str, ...]]:
    """The network likewise, and the names of its classes.

    Where the data's classes are numbers, there may be more of them than the labels tell: trained weights say how many.
    Data without labels have no classes at all.

    Raises:
        ChannelsError: if it wants gray pictures and these are in color, or the reverse.
        ArgumentError, CheckpointError: as :func:`build`.
    """
    names = data.classes
    if named.classes and named.classes != names:
        raise CheckpointError(
            "checkpoint knows other classes than the data",
            where=named.weights,
            found=f"{len(named.classes)} classes ({', '.join(named.classes[:5])}, ...)",
            expected=f"{len(names)} classes ({', '.join(names[:5])}, ...)",
        )
    open_ended = numbered(names) and (named.weights is not None or named.own_weights)
    module = make(named.net, len(names) or None)
    if named.weights is not None:
        module = _loaded(module, named, len(names) if open_ended else None)
    module = in_float32(module, named.net).eval()
    check_finite(module, named)
    answers = _answers(module, named, data)
    if answers != len(names) and not (open_ended and answers > len(names)):
        raise _other_answers(named, answers, len(names))
    return module, names if answers == len(names) else tuple(map(str, range(answers)))


def _loaded(module: nn.Module, named: Named, least: int | None) -> nn.Module:
    """With the checkpoint's weights; of a checkpoint for more classes than ``least``, if there is such a number, the
    network is built for as many."""
    from paring import zoo

    assert named.weights is not None
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        report = zoo.load_weights(module, named.weights, strict=named.strict)
    if least is not None and report.classes > least:
        module = make(named.net, report.classes)
        zoo.load_weights(module, named.weights, strict=named.strict)
        return module
    for one in met:
        warnings.warn(str(one.message), one.category, stacklevel=4)
    return module


def in_float32(module: nn.Module, where: object = None) -> nn.Module:
    """The network in single precision, changed in place, which is said where it had another."""
    import torch

    others = {
        str(tensor.dtype).removeprefix("torch.")
        for tensor in module.state_dict().values()
        if tensor.is_floating_point() and tensor.dtype is not torch.float32
    }
    if others:
        place = where or type(module).__name__
        warnings.warn(f"{place}: weights in {' and '.join(sorted(others))} are taken in float32", stacklevel=3)
        module = module.float()
    return module


def check_finite(module: nn.Module, named: Named) -> None:
    """Weights that are no numbers would only show after the training as an error of 90 %; lazy ones have none yet."""
    import torch

    from paring.layers import check_built

    check_built(module)

    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            kind = ArgumentError if named.weights is None else CheckpointError
            raise kind(
                "weights are not finite numbers",
                where=f"{named.weights or named.net}, {name}",
                found=f"{int((~torch.isfinite(tensor)).sum()):,} of {tensor.numel():,} not",
                fix="Take a checkpoint from before the training diverged",
            )


def _answers(module: nn.Module, named: Named, data: Dataset) -> int:
    """One image through the network: does it take the shape, and with how many numbers does it answer?"""
    import torch
    from torch import nn

    image = torch.from_numpy(data.prepared(0, 1)).permute(0, 3, 1, 2)
    try:
        with torch.inference_mode():
            answer = module(image)
    except Exception as error:
        convolutions = (layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
        first = next(convolutions, None)
        if first is not None and first.in_channels in (1, 3) and first.in_channels != image.shape[1]:
            wrong = ChannelsError(
                "network takes pictures with another number of channels",
                where=named.net,
                found=image.shape[1],
                expected=first.in_channels,
            )
            wrong.channels = first.in_channels
            raise wrong from error
        raise ArgumentError(
            "network does not take the data's images",
            where=named.net,
            found=f"{tuple(image.shape[1:])} (C, H, W): {(str(error) or type(error).__name__).splitlines()[0]}",
            fix="Choose another --size, or another network",
        ) from error
    if not isinstance(answer, torch.Tensor) or answer.ndim != 2 or len(answer) != 1:
        found = tuple(answer.shape[1:]) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise _other_answers(named, found, len(data.classes))
    return answer.shape[1]


def _other_answers(named: Named, found: object, expected: int) -> ArgumentError:
    return ArgumentError(
        "network does not answer with one number per class", where=named.net, found=found, expected=expected
    )
