"""Masks that tighten while a network trains."""

from __future__ import annotations

from math import ceil

import numpy as np
import torch
from torch import Tensor, nn

from paring.methods.pruning import Pruned, apply_masks, cubic, global_masks, magnitude_mask
from paring.methods.pruning._magnitude import values
from paring.parametrize import places, select, weights
from paring.recipes._settings import Settings
from paring.training.input import generator


class Pruner:
    """A ``before_step`` hook: at ``settings.rounds`` evenly spaced steps, keep less.

    After round ``r`` of ``R`` the fraction kept is ``cubic(1, last, r / R)``; the last mask falls at step
    ``(R - 1) / R`` of the stage, so that the rest of it already retrains.

    With ``settings.drop_idle``, idle weights go too, some twenty times on the way, so that their places are left to
    weights that do something.

    Args:
        network: with :class:`Pruned` parametrizations on all weights that may be pruned.
        optimizer: forgets the moments of pruned weights.
        settings: ``keep``, ``keep_layers``, ``rounds``, ``bits``, ``drop_idle``.
        steps: steps of the whole stage.
        images: prepared training images to find idle weights with.
        seed: of that search.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: Settings,
        steps: int,
        images: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        self.network, self.optimizer, self.settings = network, optimizer, settings
        self.images, self.seed = images if settings.drop_idle else None, seed
        self.own = select(network, settings.keep_layers)
        self.pool = [name for name in weights(network) if name not in self.own]
        rounds = min(settings.rounds, steps)
        self.at = {ceil(r * steps / rounds): (r + 1) / rounds for r in range(rounds)}
        self.sweeps = set(list(self.at)[:: max(len(self.at) // 20, 1)])

    def __call__(self, step: int) -> None:
        """Tighten the masks if this is one of the steps."""
        if step not in self.at:
            return
        if self.images is not None and step in self.sweeps:
            drop_idle(self.network, self.images, self.seed, bits=self.settings.bits)
        progress = self.at[step]
        present = values(self.network, [*self.pool, *self.own])
        masks = global_masks({n: present[n] for n in self.pool}, cubic(1.0, self.settings.keep, progress))
        for name, keep in self.own.items():
            masks[name] = magnitude_mask(present[name], cubic(1.0, keep, progress))
        apply_masks(self.network, masks, bits=self.settings.bits)
        self._forget()

    def _forget(self) -> None:
        for module in self.network.modules():
            for chain in getattr(module, "parametrizations", {}).values():
                if isinstance(chain[0], Pruned):
                    for moment in self.optimizer.state.get(chain.original, {}).values():
                        if isinstance(moment, Tensor) and moment.shape == chain[0].mask.shape:
                            moment.mul_(chain[0].mask)


def drop_idle(network: nn.Module, images: Tensor, seed: int, *, bits: int = 32) -> int:
    """Prune weights and biases that change no answer: those whose gradient is exactly zero on all these images.

    A unit nothing reads, or one that never fires, leaves such weights behind; magnitude alone keeps them. The
    gradient is that of a random combination of the answers, so it does not vanish because an answer is right.

    Args:
        network: with :class:`Pruned` parametrizations.
        images: prepared, ``(N, C, H, W)``.
        seed: of the random combination.
        bits: width the survivors are trained in.

    Returns:
        number of parameters dropped that were not zero.
    """
    network.eval()
    found = places(network)
    tensors = {}
    for name, place in found.items():
        chain = getattr(place.module, "parametrizations", {})
        if place.tensor in chain and isinstance(chain[place.tensor][0], Pruned):
            tensors[name] = chain[place.tensor].original
    reach = {name: np.zeros(tuple(tensor.shape), bool) for name, tensor in tensors.items()}
    random = generator(seed, "idle")
    for start in range(0, len(images), 512):
        network.zero_grad()
        answers = network(images[start : start + 512])
        (answers * torch.randn(answers.shape, generator=random)).sum().backward()
        for name, tensor in tensors.items():
            if tensor.grad is not None:
                reach[name] |= tensor.grad.numpy() != 0
    network.zero_grad()
    network.train()
    return int(apply_masks(network, reach, bits=bits).removed)
