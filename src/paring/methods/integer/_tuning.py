"""What is done to each layer while both networks walk by: its integers chosen anew."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from paring.forms import Integer, largest_code
from paring.graph import Node
from paring.methods._least_squares import MAX_COLUMNS, SOLVABLE, LeastSquares, held_out_damping
from paring.methods.integer._adaround import adaround
from paring.methods.integer._gptq import gptq, refit
from paring.methods.integer._plan import Plan
from paring.methods.integer._walk import scales_of

#: How a weight is rounded to its codes.
ROUNDINGS = ("nearest", "adaround", "gptq")
#: Weights of fewer bits than this get the scales that suit their codes best.
REFITTED = 6
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
            self._solve(node, weight, rough, answer)

    def _solve(self, node: Node, weight: Tensor, rough: Tensor, answer: Tensor) -> None:
        name = node.weights["weight"]
        form = self.plan.weights[name]
        bias = torch.from_numpy(self.plan.biases[node.name].astype(np.float32))
        wanted = answer - bias.view(1, -1, *[1] * (answer.ndim - 2))
        problem, damping = self._problem(node, weight, rough, wanted)
        scales = scales_of(form, len(weight)).view(problem.weight.shape[:2])
        choose = {"adaround": adaround, "gptq": gptq}[self.rounding]
        most = largest_code(form.bits)
        with torch.enable_grad():
            codes = choose(problem, scales, most, **{"damping": damping, **self.options})  # type: ignore[operator]
        kept = form.scales
        if self.rounding == "gptq" and len(kept) > 1 and form.bits < REFITTED:
            codes, scales = refit(*problem.damped(damping), codes, scales, most)
            kept = scales.reshape(-1).numpy()
        codes_array = codes.reshape(weight.shape).to(torch.int8).numpy()
        self.plan.weights[name] = Integer(codes_array, kept, form.bits, form.axis)

    def _problem(self, node: Node, weight: Tensor, inputs: Tensor, wanted: Tensor) -> tuple[LeastSquares, float | None]:
        """The layer's second moments, and the damping that a quarter of the images, held out, speaks for."""
        held = torch.arange(len(inputs)) % 4 == 3
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
