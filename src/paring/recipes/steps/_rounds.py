"""Steps that prune while the network trains, in rounds, and drop what is idle afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.methods.pruning import Pruned, apply_masks, cubic, global_masks, magnitude_mask
from paring.methods.pruning._magnitude import prune, values
from paring.parametrize import halve, places, select, weights
from paring.recipes.steps._base import Change, State, Step
from paring.recipes.steps._training import trained, tuning_options
from paring.training.input import generator

#: Training images that idle weights are looked for on, and most bytes of them at once.
PROBE, PROBE_BYTES = 4096, 256 << 20
#: Options that are not those of the training.
_OURS = ("keep", "layers", "rounds", "drop_idle", "bits")


def prune_in_rounds(
    keep: float = 1.0,
    *,
    layers: Mapping[str, float] | None = None,
    rounds: int = 100,
    drop_idle: bool = False,
    bits: int = 32,
    **tuning: Any,
) -> Step:
    """Train while masks tighten, so that the weights which stay adapt all along.

    After round ``r`` of ``R`` the share kept is ``cubic(1, keep, r / R)`` (Zhu, Gupta 2017, arXiv 1710.01878); rounds
    are evenly spaced, the last mask falls at ``(R - 1) / R`` of the training.

    Args:
        keep: share of all weights together that stays in the end, chosen by one threshold on their magnitude.
        layers: pattern to the share a layer keeps on its own; these are left out of ``keep``.
        rounds: how many times the masks are tightened.
        drop_idle: also drop idle weights (see :func:`drop_idle`), biases included, some twenty times on the way, so
            that their places are left to weights that do something.
        bits: width the survivors, and all that is not pruned, are trained in: 32 or 16.
        tuning: of the training, as for :func:`paring.recipes.steps.tune`.

    Raises:
        ArgumentError: if a number is out of range or a setting is unknown.
    """
    if rounds < 1:
        raise ArgumentError("invalid number of pruning rounds", found=rounds, expected="1 or more")
    own = {"keep": keep, "layers": dict(layers or {}), "rounds": rounds, "drop_idle": drop_idle, "bits": bits}
    return Step("prune", {**own, **tuning_options(**tuning)}, _prune_in_rounds)


def _prune_in_rounds(state: State, options: Mapping[str, Any]) -> Change:
    network, bits = state.network, options["bits"]
    own = select(network, options["layers"])
    named = {*weights(network), *own, *(places(network) if options["drop_idle"] else ())}
    everything = [name for name in places(network) if name in named]
    prune(network, dict.fromkeys(everything, 1.0), bits=bits)
    if bits == 16:
        halve(network, [name for name in places(network) if name not in everything])
    state.changed()
    pruner = Pruner(
        network,
        options["keep"],
        own,
        rounds=options["rounds"],
        bits=bits,
        images=_probe(state) if options["drop_idle"] else None,
        seed=state.seed,
    )
    rest = {name: value for name, value in options.items() if name not in _OURS}
    change = trained(state, rest, pruner)
    found = [getattr(place.module, place.tensor) for place in weights(network).values()]
    kept, total = sum(int(torch.count_nonzero(one)) for one in found), sum(one.numel() for one in found)
    return replace(change, words=f"kept {kept:,} of {total:,} weights, {change.words}")


def drop_idle(*, bits: int = 32) -> Step:
    """Prune weights and biases that change no answer on some 4,096 training images; see :func:`drop_idle_weights`.

    Args:
        bits: width of the survivors, 32 or 16.
    """
    return Step("drop-idle", {"bits": bits}, _drop_idle)


def _drop_idle(state: State, options: Mapping[str, Any]) -> Change:
    dropped = drop_idle_weights(state.network, _probe(state), state.seed, bits=options["bits"])
    state.changed()
    return Change(f"{dropped:,} idle weights became zero")


def _probe(state: State) -> Tensor:
    """Prepared training images, fewer where they are large."""
    return state.calibration(max(min(PROBE, PROBE_BYTES // (4 * prod(state.shape))), 1)).images


class Pruner:
    """A hook of a training that tightens masks as :func:`prune_in_rounds` says.

    It keeps no state of its own: the masks are in the network and what is due is a function of the step, so a training
    that goes on from a checkpoint prunes as one that was never stopped.

    Args:
        network: with :class:`Pruned` parametrizations on all weights that may be pruned.
        keep: share of all weights together.
        own: parameter name to the share it keeps on its own.
        rounds: how many times.
        bits: width the survivors are trained in.
        images: prepared training images to find idle weights with; None: they stay.
        seed: of that search.
    """

    def __init__(
        self,
        network: nn.Module,
        keep: float,
        own: Mapping[str, float],
        *,
        rounds: int,
        bits: int = 32,
        images: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        self.network, self.keep, self.own, self.rounds, self.bits = network, keep, dict(own), rounds, bits
        self.images, self.seed = images, seed
        self.pool = [name for name in weights(network) if name not in self.own]

    def begin(self, optimizer: torch.optim.Optimizer, steps: int) -> None:
        """The training has so many steps; its optimizer is to forget the moments of pruned weights."""
        self.optimizer, rounds = optimizer, min(self.rounds, steps)
        self.at = {ceil(r * steps / rounds): (r + 1) / rounds for r in range(rounds)}
        self.sweeps = set(list(self.at)[:: max(len(self.at) // 20, 1)])

    def __call__(self, step: int) -> None:
        """Tighten the masks if this is one of the steps."""
        if step not in self.at:
            return
        if self.images is not None and step in self.sweeps:
            drop_idle_weights(self.network, self.images, self.seed, bits=self.bits)
        progress = self.at[step]
        present = values(self.network, [*self.pool, *self.own])
        masks = global_masks({n: present[n] for n in self.pool}, cubic(1.0, self.keep, progress))
        for name, keep in self.own.items():
            masks[name] = magnitude_mask(present[name], cubic(1.0, keep, progress))
        apply_masks(self.network, masks, bits=self.bits)
        self._forget()

    def _forget(self) -> None:
        for original, form in _pruned(self.network).values():
            for moment in self.optimizer.state.get(original, {}).values():
                if isinstance(moment, Tensor) and moment.shape == form.mask.shape:
                    moment.mul_(form.mask)


def drop_idle_weights(network: nn.Module, images: Tensor, seed: int, *, bits: int = 32) -> int:
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

    Raises:
        ArgumentError: if no weight was pruned before.
    """
    was = network.training
    network.eval()
    tensors = {name: original for name, (original, _) in _pruned(network).items()}
    if not tensors:
        raise ArgumentError("idle weights are looked for among pruned ones", found="none", fix="Prune before")
    reach = {name: np.zeros(tuple(tensor.shape), bool) for name, tensor in tensors.items()}
    random = generator(seed, "idle")
    for start in range(0, len(images), 512):
        some = images[start : start + 512].to(next(iter(tensors.values())).device)
        answers = network(some)
        mixed = (answers * torch.randn(answers.shape, generator=random).to(answers.device)).sum()
        # Not backward(): gradients of a network whose processes train together are collected where they arise.
        slopes: Sequence[Tensor | None] = torch.autograd.grad(mixed, list(tensors.values()), allow_unused=True)
        for name, slope in zip(tensors, slopes, strict=True):
            if slope is not None:
                reach[name] |= slope.numpy(force=True) != 0
    network.train(was)
    return int(apply_masks(network, reach, bits=bits).removed)


def _pruned(network: nn.Module) -> dict[str, tuple[Tensor, Pruned]]:
    """Parameters that may be pruned: the weight behind the mask, and the mask's form."""
    found = {}
    for name, place in places(network).items():
        chain = getattr(place.module, "parametrizations", {})
        if place.tensor in chain and isinstance(chain[place.tensor][0], Pruned):
            found[name] = (chain[place.tensor].original, chain[place.tensor][0])
    return found
