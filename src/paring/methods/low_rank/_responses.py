"""Mean and covariance of layers' answers over calibration images, in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from paring.errors import ArgumentError

#: Images run at a time.
_SIZE = 50


@dataclass
class Responses:
    """A layer's answers without its bias.

    Attributes:
        count: positions seen.
        mean: float64 ``(out,)``.
        scatter: float64 ``(out, out)``, sum of the outer products around the mean.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    def add(self, rows: np.ndarray) -> None:
        """Take in ``(n, out)`` answers, merged around their own mean."""
        mean = rows.mean(0)
        centered, apart = rows - mean, mean - self.mean
        total = self.count + len(rows)
        self.scatter += centered.T @ centered + np.outer(apart, apart) * (self.count * len(rows) / total)
        self.mean += apart * (len(rows) / total)
        self.count = total

    def of_group(self, number: int, groups: int) -> np.ndarray:
        """The covariance ``(out / groups, out / groups)`` of one group's answers."""
        size = len(self.mean) // groups
        some = slice(number * size, (number + 1) * size)
        return self.scatter[some, some] / self.count

    def energies(self, groups: int) -> np.ndarray:
        """Eigenvalues of the groups' covariances, descending, summed over groups."""
        parts = [np.linalg.eigvalsh(self.of_group(number, groups))[::-1] for number in range(groups)]
        return np.maximum(np.sum(parts, 0), 0)


@torch.no_grad()
def responses(module: nn.Module, layers: Mapping[str, nn.Module], images: Tensor) -> dict[str, Responses]:
    """Statistics of every layer's answers to the images; the network's mode is put back afterwards.

    Raises:
        ArgumentError: if there are no images, or they do not reach a layer.
    """
    if not len(images):
        raise ArgumentError("no calibration images", found=tuple(images.shape))
    found: dict[str, Responses] = {}

    def listen(path: str, layer: nn.Module):
        def take(_: nn.Module, __: object, output: Tensor) -> None:
            rows = output if isinstance(layer, nn.Linear) else output.movedim(1, -1)
            values = rows.reshape(-1, rows.shape[-1]).double()
            if isinstance(layer.bias, Tensor):
                values = values - layer.bias.double()
            out = values.shape[1]
            found.setdefault(path, Responses(0, np.zeros(out), np.zeros((out, out)))).add(values.numpy(force=True))

        return take

    was = module.training
    hooks = [layer.register_forward_hook(listen(path, layer)) for path, layer in layers.items()]
    module.eval()
    try:
        for start in range(0, len(images), _SIZE):
            module(images[start : start + _SIZE])
    finally:
        module.train(was)
        for hook in hooks:
            hook.remove()
    if missing := [path for path in layers if path not in found]:
        raise ArgumentError("the calibration images do not reach this layer", where=missing[0])
    return found
