"""Which rounded activations disturb a network's answers most, to first order, from a few images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from paring.capture import rebuild
from paring.methods.integer._plan import Plan
from paring.methods.integer._roles import Roles
from paring.methods.integer._walk import fake_quantize

#: Random directions among the answers for each image; errors average out over images, too.
_PROBES = 8
#: Images at a time, whose maps are held.
_BATCH = 4


def output_noise(plan: Plan, images: Tensor, seed: int = 0) -> dict[str, float]:
    """For each value with codes, the power of what rounding it alone does to the answers over the answers' power.

    With ``e`` the error of rounding a value and ``J`` the answers' derivative by it, the answers are off by ``J e``,
    and ``|J e|^2 = E (r . J e)^2`` for random signs ``r`` (Hutchinson 1990): a backward pass for each ``r``.

    Args:
        plan: with the codes of activations.
        images: ``(N, C, H, W)`` or ``(N, F)``, prepared; a dozen.
        seed: of the random signs.
    """
    draw = torch.Generator().manual_seed(seed)
    noise, power = dict.fromkeys(plan.codes, 0.0), 0.0
    for part in images.split(_BATCH):
        errors, shifts, answers = _forward(plan, part)
        power += float(answers.detach().double().square().sum()) * _PROBES
        for probe in range(_PROBES):
            signs = torch.randint(2, answers.shape, generator=draw).float() * 2 - 1
            kept = probe + 1 < _PROBES
            grads = torch.autograd.grad((answers * signs).sum(), list(shifts.values()), None, kept, allow_unused=True)
            for name, grad in zip(shifts, grads, strict=True):
                if grad is not None:
                    noise[name] += float((grad * errors[name]).flatten(1).double().sum(1).square().sum())
    return {name: value / max(power, 1e-300) for name, value in noise.items()}


def _forward(plan: Plan, images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Errors of rounding each value, a zero that was added to it, and all answers ``(N, ...)``."""
    network = rebuild(plan.graph).eval().requires_grad_(False)
    errors: dict[str, Tensor] = {}
    shifts: dict[str, Tensor] = {}
    values: dict[str, Tensor] = {}

    def put(name: str, value: Tensor) -> None:
        if name in plan.codes:
            errors[name] = fake_quantize(value.detach(), plan.codes[name]) - value.detach()
            shifts[name] = torch.zeros_like(value, requires_grad=True)
            value = value + shifts[name]
        values[name] = value

    put(next(iter(plan.graph.inputs)), images.unsqueeze(2) if images.ndim == 3 else images)
    with torch.enable_grad():
        for node in plan.graph.nodes:
            put(node.name, network.compute(node, *(values[name] for name in node.inputs)))
    return errors, shifts, torch.cat([values[name].flatten(1) for name in plan.graph.outputs], 1)


def noisiest(roles: Roles, noise: Mapping[str, float], count: int) -> list[str]:
    """The layers that would take most noise away by keeping their sums: their own, and that of additions they feed."""
    readers: dict[str, list[str]] = {}
    adds = {node.name for node in roles.graph.nodes if roles.role[node.name] == "add"}
    for node in roles.graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node.name)
    gains = {}
    for node in roles.graph.nodes:
        if roles.role[node.name] == "layer":
            value = roles.settled(node.name)
            fed = [roles.settled(name) for name in readers.get(value, []) if name in adds]
            gains[node.name] = sum(noise.get(name, 0.0) for name in (value, *fed))
    return sorted(gains, key=lambda name: -gains[name])[:count]
