"""What structured pruning asks of a torch network: gradients of gates on channels, and batch norms' scales."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from paring.errors import ArgumentError
from paring.parametrize import places
from paring.parametrize._select import value


def gate_gradients(
    network: nn.Module,
    loss: Callable[[nn.Module, Any], Tensor],
    batches: Iterable[Any],
    makers: Iterable[tuple[str, int]],
) -> dict[str, np.ndarray]:
    """Mean over batches of ``(dL/dz)^2``, where ``z = 1`` multiplies one channel that a weight makes.

    ``dL/dz = sum of g w`` over the channel's slice of the weight, and of the bias beside it (Molchanov et al. 2019,
    arXiv 1906.10771, equation 8 and its gates). In eval mode: in training mode a batch norm behind the layer would
    make every such sum zero.

    Args:
        network: whose parameters have the graph's names: the captured module itself, or the rebuilt one.
        loss: ``(network, batch) -> scalar``.
        batches: anything ``loss`` takes; a few hundred images are enough.
        makers: :attr:`paring.graph.Couplings.makers`.

    Returns:
        weight name to float64 ``(channels,)``.

    Raises:
        ArgumentError: if there is no batch, or none of the weights is in the network.
    """
    there = places(network)
    axes = {name: axis for name, axis in makers if name in there}
    if not axes:
        raise ArgumentError("network has none of the graph's weights", expected="the module that was captured")
    biases = {name: name[: -len("weight")] + "bias" for name in axes if name.endswith("weight")}
    wanted = list(dict.fromkeys([*axes, *(b for b in biases.values() if b in there)]))
    tensors = [getattr(there[name].module, there[name].tensor) for name in wanted]
    if any(not isinstance(tensor, nn.Parameter) for tensor in tensors):
        raise ArgumentError("a weight already has a form", fix="Prune channels before anything else")
    total = {name: np.zeros(value(there[name]).shape[axis]) for name, axis in axes.items()}
    count, was = 0, network.training
    network.eval()
    try:
        for batch in batches:
            grads = torch.autograd.grad(loss(network, batch), tensors, allow_unused=True)
            products = {
                name: (grad * tensor).detach().double()
                for name, tensor, grad in zip(wanted, tensors, grads, strict=True)
                if grad is not None
            }
            for name, axis in axes.items():
                total[name] += _gate(products, name, axis, biases.get(name)).square().numpy(force=True)
            count += 1
    finally:
        network.train(was)
    if not count:
        raise ArgumentError("no batch to take gradients on")
    return {name: array / count for name, array in total.items()}


def _gate(products: dict[str, Tensor], name: str, axis: int, bias: str | None) -> Tensor:
    if name not in products:  # no answer depends on it
        return torch.zeros((), dtype=torch.float64)
    gate = products[name].movedim(axis, 0).flatten(1).sum(1)
    return gate + products[bias] if bias in products and products[bias].shape == gate.shape else gate


def batch_norm_scales(module: nn.Module) -> dict[str, np.ndarray]:
    """Every batch norm's gamma by its path, float32 ``(channels,)``; those without one are left out."""
    return {
        path: norm.weight.numpy(force=True).copy()
        for path, norm in module.named_modules()
        if isinstance(norm, _BatchNorm) and norm.weight is not None
    }
