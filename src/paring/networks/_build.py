"""A named network with its weights, checked against the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paring.errors import ArgumentError, CheckpointError
from paring.networks._find import Named
from paring.networks._make import make

if TYPE_CHECKING:
    from torch import nn

    from paring.data import Dataset


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
    module = make(named.net, classes)
    if named.weights is not None:
        from paring import zoo

        zoo.load_weights(module, named.weights)
    module.eval()
    check_finite(module, named)
    _check_answers(module, named, data)
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
