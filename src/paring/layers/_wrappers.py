"""Networks in the wrappers of other tools, and copies of them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from paring.errors import ArgumentError

#: Classes that hold the network as ``module`` and put that before every name of its state dict.
_WRAPPERS = {"DataParallel", "DistributedDataParallel", "FullyShardedDataParallel", "AveragedModel"}


def bare(module: nn.Module) -> nn.Module:
    """The network inside ``torch.compile``, the parallel wrappers and averages of weights: its names have no prefix.

    It is the network itself, not a copy: what is trained or pruned is seen through the wrapper, too.
    """
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and not _WRAPPERS.isdisjoint(kind.__name__ for kind in type(module).__mro__):
            inner = getattr(module, "module", None)
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def duplicate(module: nn.Module) -> nn.Module:
    """A copy of the bare network.

    A tensor that its last forward pass left on a module (old ``weight_norm`` and ``torch.nn.utils.prune`` keep the
    weight so) belongs to that pass's gradient, which torch refuses to copy; the copy gets its numbers.
    """
    module = bare(module)
    memo: dict[int, object] = {}
    for child in module.modules():
        for value in vars(child).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return copy.deepcopy(module, memo)


def check_layers(module: nn.Module) -> None:
    """See that a network has layers to work on.

    Raises:
        ArgumentError: if it is TorchScript, or a lazy layer has not seen an input yet.
    """
    if isinstance(module, torch.jit.ScriptModule):
        cure = "Give the module that it was made of, or a program of torch.export"
        raise ArgumentError("a TorchScript network has no layers to work on", found=type(module).__name__, fix=cure)
    check_built(module)


def check_built(module: nn.Module) -> None:
    """See that no layer waits for its first input to know its shape.

    Raises:
        ArgumentError: naming the first one's weight.
    """
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(tensor):
            cure = "Run one example through the network first: network(x)"
            raise ArgumentError("lazy layer has no weight yet", where=name, fix=cure)
