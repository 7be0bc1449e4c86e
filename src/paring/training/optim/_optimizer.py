"""Optimizers by name, over the parameters that are to be trained."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import nn, optim
from torch.nn.modules.batchnorm import _BatchNorm

from paring.errors import ArgumentError

#: Names :func:`optimizer` knows.
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
#: Layers whose scale and shift are not weights.
_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def optimizer(
    parameters: nn.Module | Iterable[nn.Parameter],
    name: str = "sgd",
    *,
    lr: float = 0.01,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decay_biases: bool = True,
    betas: tuple[float, float] = (0.9, 0.999),
    alpha: float = 0.9,
    eps: float | None = None,
) -> optim.Optimizer:
    """``sgd``, ``adam``, ``adamw`` or ``rmsprop`` over the parameters that need a gradient and are not empty.

    Weight decay is an L2 penalty in the gradient, except for ``adamw``, where it shrinks the weights on its own
    (Loshchilov, Hutter 2019, arXiv 1711.05101). PyTorch's RMSProp adds ``eps`` outside of the root; TensorFlow's,
    which the Inception papers ran with ``eps`` 1, inside.

    Args:
        parameters: a network, or parameters.
        name: one of :data:`OPTIMIZERS`.
        lr: learning rate, positive.
        momentum: of sgd and rmsprop, 0 to below 1.
        nesterov: look ahead (sgd with momentum; Sutskever et al. 2013).
        weight_decay: at least 0.
        decay_biases: False leaves biases and the scales of normalization out of the decay; given parameters instead
            of a network, those with fewer than two axes.
        betas: of adam and adamw.
        alpha: rmsprop's decay of the mean square.
        eps: added to a root; the optimizer's usual one (1e-8) if not given.

    Raises:
        ArgumentError: on another name, or a number that cannot be.
    """
    if name not in OPTIMIZERS:
        raise ArgumentError("unknown optimizer", found=repr(name), expected=" or ".join(OPTIMIZERS))
    if not 0 < lr < math.inf:
        raise ArgumentError("invalid learning rate", found=lr, expected="a positive number")
    if not 0 <= momentum < 1:
        raise ArgumentError("invalid momentum", found=momentum, expected="0 to below 1")
    if not 0 <= weight_decay < math.inf:
        raise ArgumentError("invalid weight decay", found=weight_decay, expected="0 or more")
    if nesterov and (name != "sgd" or not momentum):
        raise ArgumentError("Nesterov's step needs sgd with momentum", found=f"{name}, momentum {momentum:g}")
    groups = _groups(parameters, weight_decay, decay_biases)
    small: dict[str, Any] = {} if eps is None else {"eps": eps}
    if name == "sgd":
        return optim.SGD(groups, lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)
    if name == "rmsprop":
        return optim.RMSprop(groups, lr, alpha=alpha, momentum=momentum, weight_decay=weight_decay, **small)
    kind = optim.AdamW if name == "adamw" else optim.Adam
    return kind(groups, lr, betas=betas, weight_decay=weight_decay, **small)


def _groups(parameters: nn.Module | Iterable[nn.Parameter], weight_decay: float, decay_biases: bool) -> list[Any]:
    """One group, or two where some parameters are spared."""
    if isinstance(parameters, nn.Module):
        excluded = _spared(parameters)
        given = list(parameters.parameters())
    else:
        given = list(parameters)
        excluded = {id(parameter) for parameter in given if parameter.ndim < 2}
    wanted = [parameter for parameter in given if parameter.requires_grad and parameter.numel()]
    if not wanted:
        raise ArgumentError("network has nothing to train", expected="parameters that need a gradient")
    if decay_biases or not weight_decay:
        return wanted
    groups = [
        {"params": [p for p in wanted if id(p) not in excluded], "weight_decay": weight_decay},
        {"params": [p for p in wanted if id(p) in excluded], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _spared(network: nn.Module) -> set[int]:
    """Biases, and all parameters of normalizations; a shared bias has its parametrization's path in its name."""
    found = set()
    for path, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            full = f"{path}.{name}"
            if isinstance(module, _NORMS) or name == "bias" or ".parametrizations.bias." in f".{full}":
                found.add(id(parameter))
    return found
