"""What is done to each layer while both networks walk by: its integers chosen anew."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from paring.capture import rebuild
from paring.forms import Integer, largest_code
from paring.graph import Node
from paring.methods._least_squares import MAX_COLUMNS, SHARES, SOLVABLE, LeastSquares, held_out_damping
from paring.methods.integer._adaround import adaround
from paring.methods.integer._gptq import gptq, refit
from paring.methods.integer._plan import Plan
from paring.methods.integer._walk import scales_of

#: How a weight is rounded to its codes.
ROUNDINGS = ("nearest", "adaround", "gptq")
#: Weights of fewer bits than this get the scales that suit their codes best.
REFITTED = 6
#: A bias so many times the answers behind it leaves too few of their digits in float32.
_LARGE_BIAS = 4096
#: Fewest images of which some are held out to choose the damping.
FEWEST = 8


class Tuner:
    """The ``tune`` of a walk.

    Args:
        plan: changed in place, layer by layer.
        rounding: ``nearest`` leaves the codes, ``adaround`` and ``gptq`` choose them anew.
        options: further arguments of the rounding.
        centered: biases will make up for the error of the mean, so that only the rest is fitted.

    Attributes:
        notes: layer to why its codes stayed as they were, where they did.
    """

    def __init__(
        self, plan: Plan, rounding: str, options: dict[str, float] | None = None, centered: bool = False
    ) -> None:
        self.plan, self.rounding, self.centered = plan, rounding, centered
        self.options = options or {}
        self.notes: dict[str, str] = {}
        self._users = plan.graph.weight_users()

    def __call__(self, node: Node, exact: Tensor, rough: Tensor, answer: Tensor) -> None:
        if self.rounding == "nearest":
            return
        name = node.weights["weight"]
        weight = torch.from_numpy(self.plan.graph.weights[name].dense())
        columns = weight[0].numel()
        if node.op not in SOLVABLE:
            self.notes[node.name] = f"{node.op}: rounded to nearest"
        elif columns > MAX_COLUMNS:
            self.notes[node.name] = f"{columns} columns are more than {MAX_COLUMNS}: rounded to nearest"
        elif len(self._users[name]) > 1:
            self.notes[node.name] = "weight is shared: rounded to nearest"
        else:
            self._solve(node, weight, rough, self._without_bias(node, exact, answer))

    def _without_bias(self, node: Node, exact: Tensor, answer: Tensor) -> Tensor:
        """The float layer's answers less its bias; computed anew where a large bias has rounded them away."""
        bias = torch.from_numpy(self.plan.biases[node.name].astype(np.float32))
        wanted = answer - bias.view(1, -1, *[1] * (answer.ndim - 2))
        if bias.abs().max() > _LARGE_BIAS * wanted.square().mean().sqrt():
            weights = {"weight": torch.from_numpy(self.plan.graph.weights[node.weights["weight"]].dense())}
            return rebuild(self.plan.graph).compute(node, exact, weights=weights)
        return wanted

    def _solve(self, node: Node, weight: Tensor, rough: Tensor, wanted: Tensor) -> None:
        name = node.weights["weight"]
        form = self.plan.weights[name]
        problem, damping = self._problem(node, weight, rough, wanted)
        scales = scales_of(form, len(weight)).view(problem.weight.shape[:2])
        most = largest_code(form.bits)
        codes, damping = self._choose(node, problem, damping, scales, most)
        h, c = problem.damped(damping)
        nearest = torch.from_numpy(form.codes.astype(np.float32)).reshape(problem.weight.shape)
        before, after = (_loss(h, c, chosen * scales[:, :, None]) for chosen in (nearest, codes))
        if not after <= before:  # also where one is no number
            self.notes[node.name] = f"{self.rounding} found nothing better on these images: rounded to nearest"
            return
        kept = form.scales
        if self.rounding == "gptq" and len(kept) > 1 and form.bits < REFITTED:
            codes, scales = refit(h, c, codes, scales, most)
            kept = scales.reshape(-1).numpy()
        codes_array = codes.reshape(weight.shape).to(torch.int8).numpy()
        self.plan.weights[name] = Integer(codes_array, kept, form.bits, form.axis)

    def _choose(
        self, node: Node, problem: LeastSquares, damping: float | None, scales: Tensor, most: int
    ) -> tuple[Tensor, float | None]:
        """Codes, and the damping with which the second moments have a factor; codes of NaN if none gives one."""
        choose = {"adaround": adaround, "gptq": gptq}[self.rounding]
        options = {"damping": damping, **self.options}
        first = options.pop("damping")
        for share in (first, *(share for share in SHARES if share > (first or 0))):
            try:
                with torch.enable_grad():
                    codes = choose(problem, scales, most, damping=share, **options)  # type: ignore[operator]
            except torch.linalg.LinAlgError:
                continue
            if share != first:
                self.notes[node.name] = f"inputs hardly vary: {self.rounding} with damping {share:g}"
            return codes, share
        return torch.full_like(problem.weight, torch.nan), first

    def _problem(self, node: Node, weight: Tensor, inputs: Tensor, wanted: Tensor) -> tuple[LeastSquares, float | None]:
        """The layer's second moments, and the damping that a quarter of the images, held out, speaks for."""
        held = torch.arange(len(inputs)) % 4 == 3  # none of fewer than 4 images
        parts = []
        for rows in (~held, held):
            part = LeastSquares.of(node, weight)
            part.add(node, inputs[rows], wanted[rows])
            parts.append(part)
        whole = parts[0] + parts[1]
        if self.centered:
            whole, *parts = (part.centered() for part in (whole, *parts))
        if "damping" in self.options or len(inputs) < FEWEST:
            return whole, None
        return whole, held_out_damping(*parts)


def _loss(h: Tensor, c: Tensor, weight: Tensor) -> float:
    """``tr(W h W^T) - 2 tr(W c^T)`` over all groups."""
    weight = weight.double()
    return float(((weight @ h.double() - 2 * c.double()) * weight).sum())
