"""Scales that are trained: their gradients, and which values of a quantized graph have one in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from paring.graph import OPS, Graph


class _Slowed(torch.autograd.Function):
    """The identity; its gradient is multiplied."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def trained_scale(parameter: Tensor, count: int, most: int) -> Tensor:
    """A scale as it is used: positive, its gradient multiplied by ``1 / sqrt(count most)``."""
    if not parameter.requires_grad:
        return parameter
    return _Slowed.apply(parameter, (count * most) ** -0.5).abs().clamp_min(2.0**-100)


def scale_groups(graph: Graph) -> dict[str, str]:
    """Every value that is codes to the node whose scale it has; concatenations have one scale with their parts."""
    group: dict[str, str] = {}
    codes = graph.quant_params
    for node in graph.nodes:
        if node.name not in codes:
            continue
        if not OPS[node.op].moves_data:
            group[node.name] = node.name
            continue
        first = group[node.inputs[0]]
        others = {group[name] for name in node.inputs}
        group[node.name] = first
        group = {name: first if maker in others else maker for name, maker in group.items()}
    return group


def around_tables(graph: Graph, group: Mapping[str, str]) -> set[str]:
    """Groups that a table reads or makes."""
    return {group[name] for node in graph.nodes if node.op == "lookup" for name in (node.name, *node.inputs)}
