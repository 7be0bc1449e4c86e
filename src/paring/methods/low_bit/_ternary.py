"""Ternary weights: every weight of a layer is minus alpha, zero or alpha, and is trained through a real one.

Li, Zhang, Liu, "Ternary weight networks", NIPS workshop 2016 and ICASSP 2023, arXiv 1605.04711. For the n weights W of
a layer

    Delta = c mean |W|,      T_i = sign(W_i) where |W_i| > Delta, else 0,      alpha = mean of |W_i| over |W_i| > Delta

and the layer computes with ``alpha T``. For a given T that alpha has the least squared error, and Delta is close to the
best one: c is 2/3 for uniform weights, 0.75 for normal ones. The gradient at ``alpha T`` updates W, which is kept in
full precision. c is 0.75 in the paper's last version, 0.7 in its first ones and in the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from paring.forms import Integer
from paring.methods._amounts import Amount, Targets, number
from paring.methods._registry import Trial, method
from paring.methods._report import Report, Row
from paring.parametrize import FormParametrization, attach
from paring.parametrize._discrete import formless, straight_through
from paring.parametrize._select import Place, value


def ternary_weight(weight: Tensor, factor: float | Tensor = 0.75, axis: int | None = None) -> tuple[Tensor, Tensor]:
    """Codes and scales of a weight, by the formulas above.

    Each channel is summed up in the weight's own precision, channels in double; the memory layout does not matter.

    Args:
        weight: real, of any shape but ``()``.
        factor: c.
        axis: None for one Delta and alpha in all, or the axis along which each channel has its own.

    Returns:
        T of the weight's shape, holding -1, 0 and 1, and alpha of shape ``(channels,)``, ``(1,)`` for one in all. Both
        have the weight's dtype, and so has Delta; alpha is rounded to float32, and 1 where every code is 0.
    """
    moved = weight.detach().movedim(axis or 0, 0)
    rows = moved.reshape(len(moved), -1)
    size = rows.abs()

    def total(numbers: Tensor) -> Tensor:
        by_channel = numbers.sum(1).double()
        return by_channel if axis is not None else by_channel.sum().reshape(1)

    limit = total(size) / (rows.numel() if axis is None else rows.shape[1]) * factor
    above = size.sub(limit.to(weight.dtype)[:, None]).clamp_(min=0).sign_()  # 1 or 0; faster than a mask of bools
    count = total(above)
    alpha = total(size.mul_(above)) / count.clamp(min=1)
    alpha = torch.where(count > 0, alpha, 1.0).float().to(weight.dtype)
    code = above.mul_(rows.sign()).add_(0.0)  # no zero is negative
    return code.reshape(moved.shape).movedim(0, axis or 0), alpha


class Ternary(FormParametrization):
    """``weight = alpha T``, both computed from the real original; the gradient passes straight through.

    Args:
        factor: c.
        axis: of the channels that have an alpha each; -1 for one alpha in all.
    """

    kind = "ternary"
    factor: Tensor

    def __init__(self, factor: float = 0.75, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis
        self.register_buffer("factor", torch.tensor(float(factor), dtype=torch.float64))

    @classmethod
    def blank(cls, shape: tuple[int, ...], axis: int = -1) -> Ternary:
        """One to load a state into."""
        return cls(axis=axis)

    def options(self) -> dict[str, int]:
        return {"axis": self.axis}

    def ternary(self, original: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and scales; see :func:`ternary_weight`."""
        return ternary_weight(original, self.factor, None if self.axis < 0 else self.axis)

    def forward(self, original: Tensor) -> Tensor:
        """The weight, of ``original``'s shape."""
        code, alpha = self.ternary(original)
        if self.axis >= 0:
            alpha = alpha.reshape([-1 if i == self.axis else 1 for i in range(original.ndim)])
        return straight_through(original, code * alpha)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """A weight is its own original."""
        return weight

    def form(self, original: Tensor) -> Integer:
        code, alpha = self.ternary(original)
        axis = self.axis if len(alpha) > 1 else 0
        return Integer(code.to(torch.int8).numpy(force=True), alpha.numpy(force=True), 2, axis)


FACTOR = Amount(
    "factor",
    "threshold factor",
    "about 0.7",
    number(0, 1e30),
    float,
    lambda value: f"{value:g}",
    usual=0.75,
)


@method(
    "every weight becomes minus alpha, zero or alpha",
    kind="few bits",
    form="integer, 2 bits",
    page="ternary.md",
    amounts=(FACTOR,),
    trial=Trial((0.75,), "threshold, in mean magnitudes"),
)
def ternarize(
    module: nn.Module, targets: Targets = None, *, factor: Targets = None, per_channel: bool = False
) -> Report:
    """Make the selected weights ternary from now on, to be trained.

    Args:
        module: the network, changed in place.
        targets: c, 0.75 or 0.7 in the paper, for all layers or by patterns (:func:`paring.parametrize.select`); or
            patterns alone, for 0.75.
        factor: the same, named.
        per_channel: an alpha and a Delta for each output channel instead of each layer. Not the paper's; closer to W
            for 4 bytes a channel.

    Returns:
        non-zero weights of each layer before and after.

    Raises:
        ArgumentError: if a c cannot be, a pattern matches nothing or a weight has a form already.
    """
    rows, zeros = [], []
    for name, (place, c) in formless(module, FACTOR.targets(targets, factor)).items():
        before = int(torch.count_nonzero(value(place)))
        form = Ternary(c, _output_axis(place) if per_channel else -1).to(value(place).device)
        attach(place, form)
        made = value(place)
        after = int(torch.count_nonzero(made))
        zeros.append(1 - after / made.numel())
        rows.append(Row(name, before, after, f"{zeros[-1]:.1%} zeros"))
    summary = f"{len(rows)} weights have three values, {min(zeros):.0%} to {max(zeros):.0%} zeros"
    return Report(method="ternarize", unit="non-zero weights", rows=tuple(rows), summary=summary, network=module)


def _output_axis(place: Place) -> int:
    return 1 if isinstance(place.module, _ConvTransposeNd) and place.tensor == "weight" else 0
