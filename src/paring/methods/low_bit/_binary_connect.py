"""BinaryConnect: weights of one bit in every forward and backward pass, real ones that collect the updates.

Courbariaux, Bengio, David, "BinaryConnect: training deep neural networks with binary weights during propagations",
NIPS 2015, arXiv 1511.00363. With real weights w in [-H, H] the layer computes with

    deterministic    w_b = H sign(w), sign(0) = +1
    stochastic       w_b = +H with probability p = clip((w / H + 1) / 2, 0, 1), else -H

    w <- clip(w - rate dC/dw_b, -H, H)

H is 1 in the paper, whose networks have batch norms to set the scale right; the authors' code also offers Glorot's
``H = sqrt(1.5 / (inputs + outputs))``, counted over the window of a convolution. :func:`paring.training.run` clips
after each of the optimizer's steps; another loop calls :func:`paring.methods.low_bit.clip_weights` there.

Stochastic weights are drawn anew in each forward pass in training mode, from torch's default generator: the training
loop seeds that by (seed, step), so that a resumed run draws the same ones. In eval mode, and in the file, weights are
the deterministic ones. (The authors evaluate their stochastic networks with the real weights, which saves no byte.)
"""

from __future__ import annotations

from math import isfinite, sqrt

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.forms import Integer
from paring.methods._amounts import Amount, Targets
from paring.methods._registry import Trial, method
from paring.methods._report import Report, Row
from paring.parametrize import FormParametrization, attach
from paring.parametrize._discrete import formless, straight_through
from paring.parametrize._select import value


def hard_sigmoid(x: Tensor) -> Tensor:
    """``clip((x + 1) / 2, 0, 1)``, any shape: the probability of +1."""
    return ((x + 1) / 2).clamp(0, 1)


def stochastic_sign(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """+1 with probability :func:`hard_sigmoid` of ``x``, else -1; of ``x``'s shape, without gradient."""
    drawn = torch.rand(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    return torch.where(drawn < hard_sigmoid(x.detach()), 1.0, -1.0).to(x.dtype)


class BinaryConnect(FormParametrization):
    """``weight = H sign(original)``, or drawn in training mode; the gradient passes straight through.

    Args:
        scale: H.
        stochastic: 1 to draw the signs in training mode.
    """

    kind = "binary_connect"
    centered = False
    scale: Tensor

    def __init__(self, scale: float = 1.0, stochastic: int = 0) -> None:
        super().__init__()
        self.stochastic = stochastic
        self.register_buffer("scale", torch.tensor(float(scale)))

    @classmethod
    def blank(cls, shape: tuple[int, ...], stochastic: int = 0) -> BinaryConnect:
        """One to load a state into."""
        return cls(stochastic=stochastic)

    def options(self) -> dict[str, int]:
        return {"stochastic": self.stochastic}

    def forward(self, original: Tensor) -> Tensor:
        """The weight, of ``original``'s shape."""
        if self.stochastic and self.training:
            sign = stochastic_sign(original / self.scale)
        else:
            sign = torch.where(original >= 0, 1.0, -1.0).to(original.dtype)
        return straight_through(original, sign * self.scale)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The weight, clipped."""
        return self.clipped(weight)

    def clipped(self, original: Tensor) -> Tensor:
        """``original`` within [-H, H]."""
        return torch.clamp(original, -self.scale, self.scale)

    def form(self, original: Tensor) -> Integer:
        return Integer.from_dense(original.numpy(force=True), self.scale.numpy(force=True), 1)


def _checked_scale(scale: float | str) -> float | str:
    if scale != "glorot" and (isinstance(scale, str | bool) or not (isfinite(scale) and scale > 0)):
        raise ArgumentError("invalid scale of binary weights", found=scale, expected="1 or glorot")
    return scale if scale == "glorot" else float(scale)


def _read_scale(text: str) -> float | str:
    return text if text == "glorot" else float(text)


SCALE = Amount("scale", "scale of binary weights", "1 or glorot", _checked_scale, _read_scale, usual=1.0)


@method(
    "the signs of real weights, with one scale for a layer",
    kind="few bits",
    form="integer, 1 bit",
    page="binary.md",
    amounts=(SCALE,),
    trial=Trial((1.0,), "scale of the signs"),
)
def binary_connect(
    module: nn.Module, targets: Targets = None, *, scale: Targets = None, stochastic: bool = False
) -> Report:
    """Make the selected weights binary, to be trained: :func:`paring.training.run` clips the real ones.

    Args:
        module: the network, changed in place; the real weights are clipped to [-H, H].
        targets: H, for all layers or by patterns (:func:`paring.parametrize.select`): 1, the paper's; another positive
            number; or ``"glorot"``, for networks without batch norms. Patterns alone mean 1.
        scale: the same, named.
        stochastic: draw the signs while training.

    Returns:
        bits a weight of each layer before and after, and its H. Training clips the real weights.

    Raises:
        ArgumentError: if an H cannot be, a pattern matches nothing or a weight has a form already.
    """
    scales = {}
    chosen = formless(module, SCALE.targets(targets, scale))
    for name, (place, target) in chosen.items():
        scales[name] = _scale(name, value(place).shape, target)
    for name, (place, _) in chosen.items():
        attach(place, BinaryConnect(scales[name], int(stochastic)).to(value(place).device))
    rows = tuple(Row(name, 32, 1, f"H {h:g}") for name, h in scales.items())
    return Report(
        method="binary_connect",
        unit="bits a weight",
        rows=rows,
        summary=f"{len(rows)} weights are signs",
        network=module,
    )


def _scale(name: str, shape: torch.Size, target: float | str) -> float:
    if target == "glorot":
        if len(shape) < 2:
            raise ArgumentError("Glorot's scale needs inputs and outputs", where=name, found=tuple(shape))
        return sqrt(1.5 / ((shape[0] + shape[1]) * shape[2:].numel()))
    return float(target)
