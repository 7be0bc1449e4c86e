"""Binary-Weight-Networks: the signs of a filter and one number for all of it, the best such number.

Rastegari, Ordonez, Redmon, Farhadi, "XNOR-Net", ECCV 2016, arXiv 1603.05279, section 3.1. For the n weights W of each
output filter

    B = sign(W), sign(0) = +1,      alpha = mean |W|,      W~ = alpha B,

which has the least squared error among all ``alpha B``, and backward

    dC/dW_i = dC/dW~_i (1/n + alpha [|W_i| <= 1]).

The arithmetic is that of :func:`paring.layers.binary_weight`, here for the weight of any layer that keeps its real
inputs. Between steps the authors' code takes from each filter its mean over the input channels and clips it to [-1, 1]:
:func:`paring.training.run` does, and :func:`paring.methods.low_bit.center_and_clip_weights` for another loop.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.forms import Integer
from paring.layers import binary_weight, weight_scale
from paring.layers._binary import GRADIENTS
from paring.methods._amounts import Amount, Targets
from paring.methods._registry import Trial, method
from paring.methods._report import Report, Row
from paring.parametrize import FormParametrization, attach
from paring.parametrize._discrete import formless
from paring.parametrize._select import WEIGHTED


class BinaryWeight(FormParametrization):
    """``weight = alpha sign(original)``, alpha of each output filter, with the paper's gradient.

    Args:
        released: 1 for the gradient of the authors' code; see :func:`paring.layers.binary_weight`.
    """

    kind = "binarize_weights"
    centered = True

    def __init__(self, released: int = 0) -> None:
        super().__init__()
        self.released = released

    @classmethod
    def blank(cls, shape: tuple[int, ...], released: int = 0) -> BinaryWeight:
        """One to load a state into."""
        return cls(released)

    def options(self) -> dict[str, int]:
        return {"released": self.released}

    def forward(self, original: Tensor) -> Tensor:
        """The weight, of ``original``'s shape."""
        sign, alpha = binary_weight(original, GRADIENTS[self.released])
        return sign * alpha.reshape(-1, *[1] * (original.ndim - 1))

    def right_inverse(self, weight: Tensor) -> Tensor:
        """A weight is its own original."""
        return weight

    def clipped(self, original: Tensor) -> Tensor:
        """``original`` within [-1, 1]."""
        return original.clamp(-1, 1)

    def form(self, original: Tensor) -> Integer:
        """One bit a weight; two if a filter is all zero, which no sign can say."""
        alpha = weight_scale(original).numpy(force=True)
        signs = np.where(original.numpy(force=True) >= 0, 1, -1).astype(np.int8)
        if alpha.all():
            return Integer(signs, alpha, 1)
        signs[alpha == 0] = 0
        return Integer(signs, np.where(alpha == 0, np.float32(1), alpha), 2)


def _checked_gradient(gradient: str) -> str:
    if gradient not in GRADIENTS:
        raise ArgumentError("unknown gradient", found=repr(gradient), expected=" or ".join(GRADIENTS))
    return gradient


GRADIENT = Amount("gradient", "gradient", " or ".join(GRADIENTS), _checked_gradient, usual="paper")


@method(
    "the signs of real weights, with a scale for each filter (BWN)",
    kind="few bits",
    form="integer, 1 bit",
    page="binary.md",
    amounts=(GRADIENT,),
    trial=Trial(("paper",), "a sign and its filter's scale"),
)
def binarize_weights(module: nn.Module, targets: Targets = None, *, gradient: Targets = None) -> Report:
    """Make the selected weights binary from now on, to be trained.

    Args:
        module: the network, changed in place.
        targets: patterns (:func:`paring.parametrize.select`), alone or to the gradient: ``"paper"``, or ``"released"``
            for the one of the authors' code, which is 0 in a layer of one input channel.
        gradient: one for all of them.

    Returns:
        bits a weight of each layer before and after. Training centers and clips the real weights.

    Raises:
        ArgumentError: if a gradient cannot be, a pattern matches nothing, a weight has a form already, or what is
            selected is not the weight of a layer with output filters.
    """
    chosen = formless(module, GRADIENT.targets(targets, gradient))
    for name, (place, kind) in chosen.items():
        if place.tensor != "weight" or not isinstance(place.module, WEIGHTED):
            raise ArgumentError(
                "no weight with output filters",
                where=name,
                found=type(place.module).__name__,
                expected="the weight of a convolution or fully connected layer",
            )
        if kind == "released" and getattr(place.module, place.tensor).shape[1] == 1:
            raise ArgumentError(
                "the released gradient trains no layer of one input channel", where=name, fix="Choose paper"
            )
    for place, kind in chosen.values():
        attach(place, BinaryWeight(GRADIENTS.index(kind)))
    return Report(
        method="binarize_weights",
        unit="bits a weight",
        rows=tuple(Row(name, 32, 1, "signs with a scale for each filter") for name in chosen),
        summary=f"{len(chosen)} weights are signs with a scale for each filter",
        network=module,
    )
