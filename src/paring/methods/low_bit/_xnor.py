"""XNOR-Net and Binarized Neural Networks: layers of any network compute with the signs of weights and inputs.

Rastegari, Ordonez, Redmon, Farhadi, "XNOR-Net", ECCV 2016, arXiv 1603.05279; Courbariaux, Hubara, Soudry, El-Yaniv,
Bengio, "Binarized neural networks", NIPS 2016, arXiv 1602.02830. In a layer's place comes a block:

    "scaled"  batch norm, sign, B, alpha, K       XNOR-Net
    "sign"    batch norm, sign, B, alpha          XNOR-Net as its authors released it
    "bnn"     batch norm, sign, B, batch norm     a Binarized Neural Network: no alpha

The batch norm in front is what makes the signs mean something: behind a ReLU nothing is negative. The arithmetic and
the gradients are those of :mod:`paring.layers`. As in the papers the first and the last layer stay real: they hold few
weights and most of the accuracy. All there is to a block's weight in a file is its signs, one bit each, with alpha and
the batch norms beside them as channel factors; sums of signs stay exact integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from paring.capture._capture import as_plain, examples_for
from paring.errors import ArgumentError, CheckpointError
from paring.layers import BinaryConv2d, BinaryLinear, bare
from paring.methods._amounts import Amount, Targets
from paring.methods._registry import method, must_be_module
from paring.methods._report import Report, Row
from paring.parametrize import replace_layers, replaceable
from paring.parametrize._select import WEIGHTED

#: What a block does with its inputs, and whether its filters have an alpha.
KINDS = {"scaled": ("scaled", True), "sign": ("sign", True), "bnn": ("sign", False)}


class SignBlock(nn.Sequential):
    """``norm``, the binary ``layer`` and, for ``"bnn"``, the norm ``behind`` it, which takes the place of the bias.

    Args:
        layer: an ``nn.Conv2d`` or ``nn.Linear``, whose weight is copied and whose bias, too, unless for ``"bnn"``.
        kind: see :data:`KINDS`.
        gradient: see :func:`paring.layers.binary_weight`.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, kind: str, gradient: str = "paper") -> None:
        super().__init__()
        inputs, alpha = KINDS[kind]
        self.kind = kind
        has_bias = alpha and layer.bias is not None
        common: dict[str, Any] = {"inputs": inputs, "gradient": gradient, "alpha": alpha}
        norm: type[nn.Module]
        if isinstance(layer, nn.Conv2d):
            norm, before, behind = nn.BatchNorm2d, layer.in_channels, layer.out_channels
            common.update(kernel_size=layer.kernel_size, stride=layer.stride, padding=_sides(layer))
            common.update(dilation=layer.dilation, groups=layer.groups)
            made: Any = BinaryConv2d(before, behind, bias=has_bias, **common)
        else:
            norm, before, behind = nn.BatchNorm1d, layer.in_features, layer.out_features
            made = BinaryLinear(before, behind, has_bias, **common)
        with torch.no_grad():
            made.weight.copy_(layer.weight)
            if has_bias:
                made.bias.copy_(layer.bias)
        self.norm = norm(before, eps=1e-4)  # the authors' eps
        self.layer = made
        if not alpha:
            self.behind = norm(behind, eps=1e-4)
        self.to(layer.weight.device, layer.weight.dtype)
        self.train(layer.training)


def _checked_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ArgumentError("unknown kind", found=repr(kind), expected=" or ".join(KINDS))
    return kind


KIND = Amount("kind", "kind", " or ".join(KINDS), _checked_kind, usual="sign")


@method(
    "layers compute with the signs of weights and inputs (XNOR-Net, BNN)",
    kind="few bits",
    form="integer, 1 bit",
    page="binary.md",
    amounts=(KIND,),
    structure=True,
)
def binarize(
    module: nn.Module,
    targets: Targets = None,
    example: Any = None,
    *,
    kind: Targets = None,
    exclude_ends: bool = True,
    gradient: Literal["paper", "released"] = "paper",
) -> Report:
    """Put a binary block into each selected layer's place, to be trained.

    Args:
        module: the network, changed in place; make the optimizer afterwards.
        targets: patterns (:func:`paring.parametrize.select`), alone or to ``"scaled"``, ``"sign"`` or ``"bnn"``;
            ``"sign"`` if nothing is said.
        example: an input, or its shape ``(C, H, W)``, to find the layers that compute first and last.
        kind: one for all of them.
        exclude_ends: with an ``example``, the network is run on it once, and the layers that compute first and last
            stay real. Without one every selected layer becomes binary.
        gradient: ``"paper"`` or ``"released"``; see :func:`paring.layers.binary_weight`.

    Returns:
        bits a weight before and after, with the reason where a layer stays real. Training centers and clips the real
        weights (:func:`paring.training.run`).

    Raises:
        ArgumentError: if a kind cannot be, a pattern matches nothing, a layer has a form or shares its weight, or no
            selected layer could become binary.
    """
    must_be_module(module, "binarized")
    chosen = replaceable(module, KIND.targets(targets, kind), "binary")
    ends = _ends(module, example) if example is not None and exclude_ends else {}
    rows, blocks = [], {}
    for path, (layer, how) in chosen.items():
        reason = ends.get(path) or obstacle(layer, gradient)
        if reason:
            rows.append(Row(path, 32, 32, "", reason))
        else:
            rows.append(Row(path, 32, 1, how))
            blocks[path] = SignBlock(layer, how, gradient)
    if not blocks:
        words = "; ".join(f"{row.name}: {row.reason}" for row in rows[:3])
        raise ArgumentError("no layer could become binary", found=words)
    replace_layers(module, blocks)
    return Report(
        method="binarize",
        unit="bits a weight",
        rows=tuple(rows),
        summary=f"{len(blocks)} of {len(rows)} layers compute with signs",
        network=module,
    )


def obstacle(layer: Any, gradient: str = "paper") -> str:
    """Why a layer cannot become binary; empty if it can."""
    if isinstance(layer, BinaryConv2d | BinaryLinear):
        return "is binary already"
    if type(layer) not in (nn.Conv2d, nn.Linear):
        return f"is a {type(layer).__name__}; nn.Conv2d and nn.Linear have a binary counterpart"
    if gradient == "released" and layer.weight.shape[1] == 1:
        return "has one input channel, which the released gradient does not train"
    if isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
        return f"pads with {layer.padding_mode}"
    if isinstance(layer, nn.Conv2d) and _sides(layer) is None:
        return "pads more on one side than on the other"
    return ""


def describe_blocks(module: nn.Module) -> dict[str, dict[str, str]]:
    """What :func:`rebuild_blocks` needs, JSON values."""
    return {
        path: {"kind": block.kind, "gradient": block.layer.gradient}
        for path, block in module.named_modules()
        if isinstance(block, SignBlock)
    }


def rebuild_blocks(module: nn.Module, description: Mapping[str, Mapping[str, str]]) -> None:
    """Give a plain network the blocks of :func:`describe_blocks`; load the state dict next.

    Raises:
        CheckpointError: if a layer is not there or cannot take its block.
    """
    blocks = {}
    for path, words in description.items():
        try:
            layer = module.get_submodule(path)
            reason = obstacle(layer, words["gradient"])
            if reason or words["kind"] not in KINDS:
                raise ArgumentError("layer cannot be binary", found=reason or words["kind"])
            blocks[path] = SignBlock(layer, words["kind"], words["gradient"])  # type: ignore[arg-type]
        except (ArgumentError, AttributeError, KeyError) as error:
            raise CheckpointError(
                "checkpoint has a block this network cannot take", where=path, found=f"{dict(words)}, {error}"
            ) from None
    replace_layers(module, blocks)


def _ends(module: nn.Module, example: Any) -> dict[str, str]:
    """The layers that compute first and last, with what they are."""
    module = bare(module)
    calls: list[str] = []
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs, path=path: calls.append(path))
        for path, layer in module.named_modules()
        if isinstance(layer, WEIGHTED)
    ]
    try:
        with as_plain(module), torch.no_grad():
            module(*examples_for(module, example))
    finally:
        for hook in hooks:
            hook.remove()
    if not calls:
        raise ArgumentError("no layer computes on the example", fix="Give an input that reaches the network's layers")
    return {calls[-1]: "computes last and stays real", calls[0]: "computes first and stays real"}


def _sides(layer: nn.Conv2d) -> tuple[int, int] | None:
    """(rows, columns) of zeros on each side; None if the sides differ."""
    if layer.padding == "valid":
        return 0, 0
    if isinstance(layer.padding, str):
        total = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return None if total[0] % 2 or total[1] % 2 else (total[0] // 2, total[1] // 2)
    return int(layer.padding[0]), int(layer.padding[1])
