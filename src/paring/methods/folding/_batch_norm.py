"""Folding: batch norms into their neighbors and linear layers into one another, wherever that is exact.

In use a batch norm is a scale and a shift per channel (Jacob et al., CVPR 2018, arXiv 1712.05877, section 3.2, fold it
before they quantize):

    behind a layer       W' = W gamma / s,   b' = beta + (b - mean) gamma / s,   s = sqrt(var + eps)
    in front of a layer  W' = W gamma / s,   b' = b + sum W (beta - mean gamma / s)

and two linear layers with nothing between are one: ``W = W2 W1, b = W2 b1 + b2``. Which layers are neighbors is read
off the exported program, not off names, so an answer that is also used elsewhere is seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from paring.errors import ArgumentError
from paring.layers import absorb_batch_norm, fold_batch_norm
from paring.methods._registry import method
from paring.methods._report import Report, Row
from paring.methods.folding._merge import merge_layers
from paring.methods.folding._neighbors import Use, uses


@dataclass(frozen=True)
class Folded(Row):
    """What became of one layer; before and after are 1, or 0 where it is gone.

    Attributes:
        into: path of the layer that does its work now, empty if it stayed.
    """

    into: str = ""


def _folded(into: str, reason: str = "") -> Folded:
    return Folded("", 1, int(not into), f"into {into}" if into else "", reason, into)


def _report(method: str, module: nn.Module, outcomes: dict[str, Folded], what: str) -> Report[Folded]:
    rows = tuple(replace(row, name=path) for path, row in outcomes.items())
    summary = f"{sum(bool(row.into) for row in rows)} of {len(rows)} {what}"
    return Report(method=method, unit="layers", rows=rows, summary=summary, network=module)


@method(
    "batch norms go into the layers beside them",
    kind="folding",
    form="fewer layers",
    page="folding.md",
    structure=True,
)
def fold_batch_norms(module: nn.Module, example: Tensor) -> Report[Folded]:
    """Fold every batch norm that can be into the layer behind or in front of it; ``nn.Identity`` takes its place.

    Args:
        module: the network, changed in place; its answers in eval mode stay the same up to rounding.
        example: prepared images ``(N, C, H, W)`` to trace it with.

    Returns:
        a row for each batch norm: where it went, or why it stayed.

    Raises:
        GraphError: if the network cannot be traced.
    """
    outcomes: dict[str, Folded] = {}
    used = uses(module, example)
    for path, norm in used.items():
        if not norm.norm:
            continue
        outcomes[path] = _fold(module, used, norm)
        if outcomes[path].into:
            _put(module, path, nn.Identity())
    for path, child in module.named_modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and path not in outcomes:
            outcomes[path] = _folded("", "the network does not use it on the example")
    return _report("fold_batch_norms", module, outcomes, "batch norms were folded")


def _fold(module: nn.Module, used: dict[str, Use], norm: Use) -> Folded:
    """Into the layer before if possible, else into the one after."""
    if norm.calls > 1:
        return _folded("", "it is used more than once")
    reasons = []
    for there, behind in ((norm.before, True), (norm.after, False)):
        if not there or used[there].norm:
            continue
        layer, batch_norm = module.get_submodule(there), module.get_submodule(norm.path)
        if reason := _occupied(used[there], layer, behind):
            reasons.append(reason)
            continue
        try:
            assert isinstance(layer, nn.Linear | _ConvNd)
            made = fold_batch_norm(layer, batch_norm) if behind else absorb_batch_norm(batch_norm, layer)
        except ArgumentError as error:
            reasons.append(error.what)
            continue
        _put(module, there, made)
        return _folded(there)
    return _folded("", "; ".join(reasons) or "no layer with weights stands next to it")


def _occupied(use: Use, layer: nn.Module, behind: bool) -> str:
    if parametrize.is_parametrized(layer):
        return f"{use.path} has a trainable form"
    if use.calls > 1:
        return f"{use.path} is used more than once"
    if behind and use.readers > 1:
        return f"the answer of {use.path} is also used elsewhere"
    return ""


@method(
    "linear layers in a row become one",
    kind="folding",
    form="fewer layers",
    page="folding.md",
    structure=True,
)
def merge_chains(module: nn.Module, example: Tensor, *, only_smaller: bool = True) -> Report[Folded]:
    """Merge linear layers whose answers go only to the next linear layer; ``nn.Identity`` takes the first's place.

    Args:
        module: the network, changed in place; its answers stay the same up to rounding.
        example: prepared images to trace it with.
        only_smaller: leave layers apart that have fewer weights than one (a low-rank chain, a depthwise convolution
            with its pointwise one).

    Returns:
        a row for each layer that is followed directly by another: where it went, or why it stayed.

    Raises:
        GraphError: if the network cannot be traced.
    """
    outcomes: dict[str, Folded] = {}
    used = uses(module, example)
    for path, use in used.items():  # in order, so a merged layer can be merged again
        if use.norm or not use.after or used[use.after].norm:
            continue
        outcomes[path] = _merge(module, use, used[use.after], only_smaller)
        if outcomes[path].into:
            _put(module, path, nn.Identity())
    return _report("merge_chains", module, outcomes, "layers were merged into the next")


def _merge(module: nn.Module, first: Use, second: Use, only_smaller: bool) -> Folded:
    layers = module.get_submodule(first.path), module.get_submodule(second.path)
    for use, layer in zip((first, second), layers, strict=True):
        if reason := _occupied(use, layer, behind=False):
            return _folded("", reason)
    try:
        made = merge_layers(*layers)
    except ArgumentError as error:
        return _folded("", error.what)
    apart = sum(p.numel() for layer in layers for p in layer.parameters())
    together = sum(p.numel() for p in made.parameters())
    if only_smaller and together > apart:
        return _folded("", f"one layer would have {together:,} parameters, the two have {apart:,}")
    _put(module, second.path, made)
    return _folded(second.path)


def _put(module: nn.Module, path: str, made: nn.Module) -> None:
    """Replace a layer under every path it has."""
    old = module.get_submodule(path)
    for name, child in list(module.named_modules(remove_duplicate=False)):
        if child is old and name:
            parent, _, last = name.rpartition(".")
            setattr(module.get_submodule(parent), last, made)
