"""Weights that torch's own utilities compute: weight norm, spectral norm, pruning masks.

A recipe works on plain weights. So at its door what these compute is written into the weight, and they are gone.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from paring.layers import duplicate
from paring.parametrize._select import FormParametrization, hooked, own_class


def settled(module: nn.Module, stacklevel: int = 2) -> nn.Module:
    """A copy of the network, out of its wrappers, whose weights are plain or wear trainable forms of Paring's.

    Warns:
        UserWarning: if weights were under anything else, with their names.
    """
    made = duplicate(module)
    settle(made, stacklevel + 1)
    return made


def settle(module: nn.Module, stacklevel: int = 2) -> list[str]:
    """Write what weight norm, spectral norm, masks and other parametrizations of torch compute into the weights.

    The network is changed in place and answers as it does in eval mode. Trainable forms of Paring's stay.

    Returns:
        names of the weights that are plain now.

    Warns:
        UserWarning: with these names, if there are any.
    """
    plain: list[str] = []
    made: dict[nn.Module, torch.Tensor] = {}
    for path, child in list(module.named_modules()):
        names = [*_unhook(child), *_unwind(child, made)]
        plain += [f"{path}.{name}" if path else name for name in names]
    if plain:
        warnings.warn(
            f"what torch computes these weights by (weight norm, spectral norm, masks) is folded into them: "
            f"{', '.join(plain)}",
            stacklevel=stacklevel + 1,
        )
    return plain


def _unhook(child: nn.Module) -> list[str]:
    """Take away what computes a weight before each forward pass; the last added first."""
    done = []
    for hook, name in reversed(hooked(child)):
        if isinstance(hook, WeightNorm):
            remove_weight_norm(child, name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(child, name)
        else:
            prune.remove(child, name)
        done.append(name)
    return done


def _unwind(child: nn.Module, made: dict[nn.Module, torch.Tensor]) -> list[str]:
    """The same for ``torch.nn.utils.parametrize``; a parametrization that modules share leaves one parameter."""
    if not parametrize.is_parametrized(child):
        return []
    chains: Any = child.parametrizations
    found = [name for name, chain in chains.items() if not any(isinstance(p, FormParametrization) for p in chain)]
    for name in found:
        chain = chains[name]
        if chain not in made:
            chain.eval()  # spectral norm goes on iterating while it trains
            made[chain] = _value(child, name, chain)
    for name in found:
        chain = chains[name]
        own_class(child)
        delattr(type(child), name)
        del chains[name]
        value = made[chain]
        if isinstance(value, nn.Parameter):
            child.register_parameter(name, value)
        else:
            child.register_buffer(name, value)
    if found and not len(chains):
        child.__class__ = type(child).__bases__[0]
        del child.parametrizations
    return found


def _value(child: nn.Module, name: str, chain: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        value = getattr(child, name).detach().clone()
    trained = list(chain.parameters())
    return nn.Parameter(value, any(p.requires_grad for p in trained)) if trained else value
