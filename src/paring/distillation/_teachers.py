"""Teachers of every kind as networks that take the student's images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from paring.capture import rebuild
from paring.container import Contents, read
from paring.errors import ArgumentError
from paring.graph import Graph
from paring.image import Preparation
from paring.layers import bare


class Renormalized(nn.Module):
    """A network on images that were normalized for another: ``x' = (x std + mean - own mean) / own std``."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, own: Preparation, given: Preparation) -> None:
        super().__init__()
        self.network = network
        mean, std = (torch.tensor([getattr(p, key) for p in (own, given)]).double() for key in ("mean", "std"))
        view = (1, own.channels, 1, 1)
        self.register_buffer("scale", (std[1] / std[0]).float().view(view))
        self.register_buffer("shift", ((mean[1] - mean[0]) / std[0]).float().view(view))

    def forward(self, images: Tensor) -> Tensor:
        """What the network answers to images ``(N, C, H, W)`` that were normalized as ``given``."""
        return self.network(images * self.scale + self.shift)


def teacher(
    source: nn.Module | Graph | Contents | str | Path,
    preparation: Preparation,
    *,
    own: Preparation | None = None,
    classes: tuple[str, ...] = (),
    where: object = None,
) -> nn.Module:
    """A teacher as a network, in eval mode, that takes images prepared as the student's are.

    Args:
        source: a network, a graph, or a `.pare` file or its contents, rebuilt with the exact values of its weights.
        preparation: how the student's images are prepared.
        own: how the teacher was trained to have them, where ``source`` does not say; ``None`` for the same way.
        classes: the data's; compared with those the file names.
        where: what errors call it; the file if not given.

    Raises:
        ArgumentError: if the teacher wants images of another size, knows other classes, or answers with several
            tensors.
        FormatError: if the file is refused.
        GraphError: if the graph is not well formed.
    """
    if isinstance(source, str | Path):
        where, source = where or source, read(source)
    if isinstance(source, Contents):
        own = source.preparation or own
        if classes and source.classes and source.classes != classes:
            raise ArgumentError(
                "teacher knows other classes than the data",
                where=where,
                found=f"{len(source.classes)} classes ({', '.join(source.classes[:5])}, ...)",
                expected=f"{len(classes)} classes ({', '.join(classes[:5])}, ...)",
            )
        source = source.graph
    if isinstance(source, Graph):
        if len(source.outputs) != 1 or len(source.inputs) != 1:
            raise ArgumentError("teacher needs one input and one output", where=where, found=len(source.outputs))
        source = rebuild(source)
    source = bare(source)
    if own is not None:
        source = _fitted(source, own, preparation, where)
    return source.eval()


def _fitted(network: nn.Module, own: Preparation, given: Preparation, where: object) -> nn.Module:
    """The network itself if it was trained on images prepared as ``given``, else with its normalization before it."""
    if (*own.shape, own.resize) != (*given.shape, given.resize):
        raise ArgumentError(
            "teacher wants other images than the student",
            where=where,
            found=f"{own.height}x{own.width}x{own.channels}, shorter side {own.resize or 'not'} scaled before",
            expected=f"{given.height}x{given.width}x{given.channels}, shorter side {given.resize or 'not'} scaled",
            fix="Bring the student's images to the teacher's size (--size)",
        )
    if (own.mean, own.std) == (given.mean, given.std):
        return network
    return Renormalized(network, own, given)
