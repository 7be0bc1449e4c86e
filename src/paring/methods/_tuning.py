"""What is done to each layer while both networks walk by: its integers chosen anew."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from paring.forms import Integer, largest_code
from paring.graph import Node
from paring.methods._emit import Plan
from paring.methods._layerwise import MAX_COLUMNS, SOLVABLE, LeastSquares
from paring.methods._walk import scales_of
from paring.methods.adaround import adaround
from paring.methods.gptq import gptq

#: How a weight is rounded to its codes.
ROUNDINGS = ("nearest", "adaround", "gptq")


class Tuner:
    """The ``tune`` of a walk.

    Args:
        plan: changed in place, layer by layer.
        rounding: ``nearest`` leaves the codes, ``adaround`` and ``gptq`` choose them anew.
        options: further arguments of the rounding.

    Attributes:
        notes: layer to why its codes stayed as they were, where they did.
    """

    def __init__(self, plan: Plan, rounding: str, options: dict[str, float] | None = None) -> None:
        self.plan, self.rounding = plan, rounding
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
        problem = LeastSquares.of(node, weight)
        bias = torch.from_numpy(self.plan.biases[node.name].astype(np.float32))
        wanted = answer - bias.view(1, -1, *[1] * (answer.ndim - 2))
        problem.add(node, rough, wanted)
        scales = scales_of(form, len(weight)).view(problem.weight.shape[:2])
        choose = {"adaround": adaround, "gptq": gptq}[self.rounding]
        with torch.enable_grad():
            codes = choose(problem, scales, largest_code(form.bits), **self.options)  # type: ignore[operator]
        codes_array = codes.reshape(weight.shape).to(torch.int8).numpy()
        self.plan.weights[name] = Integer(codes_array, form.scales, form.bits, form.axis)
