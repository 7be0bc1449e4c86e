"""A moving average of the weights, which often answers better than the last weights do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError

#: Buffers of a normalization that are averaged as parameters are.
_STATISTICS = ("running_mean", "running_var")


class EMA:
    """Exponential moving average of a network's state (Polyak, Juditsky 1992; Szegedy et al. 2016, section 8).

    After step ``n`` (from 0) each floating-point parameter and each running statistic ``a`` of a normalization moves
    towards the network's ``w``: ``a = d a + (1 - d) w`` with ``d = min(decay, (1 + n) / (10 + n))``, TensorFlow's rule,
    so that the first random weights are soon forgotten. Other tensors (masks, indices, counters, the share of weights
    that a method keeps by now) are copied. A tensor that is new or has another shape begins with the network's present
    value, so a method may change the network on the way.

    Args:
        network: whose state is averaged.
        decay: above 0 and below 1.

    Raises:
        ArgumentError: on another decay.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ArgumentError("invalid decay of the weights' average", found=decay, expected="above 0, below 1")
        self.decay = decay
        self.state = _copied(network)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take the weights after step ``step`` (from 0) in."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        parameters = {name for name, _ in network.named_parameters(remove_duplicate=False)}
        fresh: dict[str, Tensor] = {}
        for name, tensor in network.state_dict().items():
            mine = self.state.get(name)
            moves = tensor.is_floating_point() and (name in parameters or name.rpartition(".")[2] in _STATISTICS)
            if mine is None or mine.shape != tensor.shape or not moves:
                fresh[name] = tensor.detach().clone()
            else:
                fresh[name] = mine.lerp_(tensor, share)
        self.state = fresh

    def restore(self, state: Mapping[str, Tensor], network: nn.Module) -> None:
        """Put a kept ``state`` back, on the devices of ``network``'s tensors."""
        own = network.state_dict()
        self.state = {name: tensor.to(own[name].device) for name, tensor in state.items() if name in own}

    @contextmanager
    def in_place_of(self, network: nn.Module) -> Iterator[None]:
        """While it lasts, ``network`` holds the average; then its own weights again, to the bit."""
        own = _copied(network)
        try:
            network.load_state_dict(self.state)
            yield
        finally:
            network.load_state_dict(own)


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
