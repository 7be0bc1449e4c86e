"""DoReFa-Net: weights of k bits through tanh, activations of k bits between 0 and 1, trained straight through.

Zhou, Wu, Ni, Zhou, Wen, Zou, "DoReFa-Net", 2016, arXiv 1606.06160, sections 2.3 and 2.4. With ``n = 2^k - 1``,

    quantize_k(r) = round(n r) / n,                  its gradient taken for that of the identity,
    W' = 2 quantize_k(tanh(W) / (2 max|tanh W|) + 1/2) - 1,
    W' = sign(W) mean|W|          for k = 1, one mean for the layer, the gradient of the identity.

The levels are ``(2 q - n) / n``, q = 0 .. n: odd numbers of steps, from -1 to 1, and **none is zero**. They are made as
``float32(2 q - n) * s`` with ``s = float32(1 / n)``, which is within a unit in the last place of the formula and
symmetric about zero. Activations are :class:`paring.layers.ClippedQuantizer`'s. The quantization of gradients, the
paper's third number, is not here: nothing of it reaches the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.forms import Codebook, Integer
from paring.layers import round_through
from paring.methods._amounts import Targets, bits_of
from paring.methods._registry import Trial, method
from paring.methods._report import Report, Row
from paring.methods.low_bit._activations import quantize_activations
from paring.parametrize import FormParametrization, attach, select, weights
from paring.parametrize._select import value
from paring.parametrize._untouched import untouched


def quantize_unit(r: Tensor, bits: int) -> Tensor:
    """The code ``round((2^bits - 1) r)`` of numbers in 0..1, ties to even, any shape; gradient ``2^bits - 1``."""
    return round_through(r * ((1 << bits) - 1))


def unit_weight(weight: Tensor) -> Tensor:
    """``tanh(W) / (2 max|tanh W|) + 1/2``, in 0..1, the weight's shape; 1/2 where every weight is zero.

    Differentiable as it stands, the maximum included.
    """
    squashed = torch.tanh(weight)
    tiny = torch.finfo(squashed.dtype).tiny
    return squashed / (2 * squashed.abs().amax().clamp_min(tiny)) + 0.5


class _SignMean(torch.autograd.Function):
    """``sign(W) mean|W|``, sign(0) = +1; the gradient is that of the identity."""

    @staticmethod
    def forward(ctx, weight: Tensor) -> Tensor:
        # in float64, lest the mean depend on the number of threads
        mean = weight.abs().mean(dtype=torch.float64).to(weight.dtype)
        return torch.where(weight >= 0, mean, -mean)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        return grads[0]


class DoReFa(FormParametrization):
    """``weight = (2 q - n) step`` with codes q of the original's tanh; of one bit, ``sign(original) mean|original|``.

    Args:
        bits: width of a code, 1 to 8.
        step: distance of two levels is twice this, shape ``()``; ``1 / n`` in the paper. Not read for one bit.
    """

    kind = "dorefa"
    step: Tensor

    def __init__(self, bits: int, step: Tensor | None = None) -> None:
        super().__init__()
        self.bits = _checked_bits(bits)
        self.most = (1 << self.bits) - 1
        self.register_buffer("step", torch.tensor(1 / self.most) if step is None else step)

    @classmethod
    def blank(cls, shape: tuple[int, ...], bits: int = 2) -> DoReFa:
        """One to load a state into."""
        return cls(bits)

    def options(self) -> dict[str, int]:
        return {"bits": self.bits}

    def codes(self, original: Tensor) -> Tensor:
        """``2 q - n``, odd whole numbers from -n to n, ``original``'s shape and type."""
        return 2 * quantize_unit(unit_weight(original), self.bits) - self.most

    def forward(self, original: Tensor) -> Tensor:
        """The weight, of ``original``'s shape."""
        if self.bits == 1:
            return _SignMean.apply(original)
        return self.codes(original) * self.step

    def right_inverse(self, weight: Tensor) -> Tensor:
        """A weight is its own original."""
        return weight

    @torch.no_grad()
    def form(self, original: Tensor) -> Codebook | Integer:
        """Of one bit, signs and a scale; up to seven, odd codes of a bit more and a scale; of eight, a codebook.

        Integers take about as many bytes as a codebook of the same levels, fewer in small layers, and can go on to
        integer layers.
        """
        dense = self.forward(original).float().numpy(force=True)
        if self.bits == 1 and dense.any():
            return Integer.from_dense(dense, np.abs(dense.reshape(-1)[:1]), 1)
        if 1 < self.bits < 8:
            codes = self.codes(original).to(torch.int8).numpy(force=True)
            return Integer(codes, self.step.numpy(force=True).reshape(1), self.bits + 1)
        levels = np.unique(dense)
        return Codebook.from_assignment(levels, np.searchsorted(levels, dense))


BITS = bits_of("bits", "a weight", 1, 8)


@method(
    "weights of k bits through tanh, activations of k bits between 0 and 1 (DoReFa-Net)",
    kind="few bits",
    form="integer",
    page="dorefa.md",
    amounts=(BITS,),
    trial=Trial((8, 4, 3, 2, 1), "bits of a weight", {"exclude": (), "keep_scale": True}),
)
def dorefa(
    module: nn.Module,
    targets: Targets = None,
    *,
    bits: Targets = None,
    exclude: Iterable[str] | None = None,
    keep_scale: bool = False,
    activations: int | None = None,
    high: float = 1.0,
    example: Any = None,
) -> Report:
    """Quantize the weights of the selected layers to so many bits from now on; then train.

    As in the paper, the first and the last layer stay as they are: of the network's fully connected and convolution
    layers (:func:`paring.parametrize.weights`) those that come first and last in the order in which the modules were
    registered, which is that of ``print(network)``. Where that is not the order in which they run, name them in
    ``exclude``.

    The paper's weights reach from -1 to 1 whatever they were before; a batch norm behind the layer makes up for that,
    and a network that has none should be trained from scratch or with ``keep_scale``.

    Args:
        module: the network, changed in place.
        targets: width in bits, 1 to 8, for all layers or by patterns (:func:`paring.parametrize.select`).
        bits: the same, named.
        exclude: patterns of layers to leave alone; ``None`` for the first and the last, ``()`` for none.
        keep_scale: not in the paper: multiply the levels by one number a layer, chosen now, that gives the quantized
            weight the mean square of the weight as it is. One bit has a scale already.
        activations: width of what ReLU modules give (:func:`quantize_activations`); None: they stay float.
        high: where these are cut off.
        example: an input, or its shape, to find the activations that stay float.

    Returns:
        bits a weight of each selected layer, before and after; 32 for those left alone.

    Raises:
        ArgumentError: if a width cannot be, a pattern matches nothing, nothing is left to quantize, a weight has
            another form, is shared between modules, zero everywhere or not finite. Nothing is changed then.
    """
    chosen = select(module, BITS.targets(targets, bits))
    left = _ends(module) if exclude is None else set(select(module, dict.fromkeys(exclude, True)))
    todo = {name: width for name, width in chosen.items() if name not in left}
    if not todo:
        fix = "Pass exclude=() to quantize the first and the last layer, too" if exclude is None else "Exclude fewer"
        raise ArgumentError("nothing is left to quantize", found=", ".join(chosen), fix=fix)
    there = untouched(module, todo)
    for name in todo:
        weight = value(there[name])
        if not weight.isfinite().all():
            raise ArgumentError("a weight is not a finite number", where=name, fix="Train without divergence first")
        if not weight.any():
            raise ArgumentError("every weight is zero", where=name, fix="Leave this layer out")
    for name, width in todo.items():
        weight = value(there[name])
        form = DoReFa(width).to(weight.device)
        if keep_scale and width > 1:
            form.step.mul_(weight.square().mean().sqrt() / form(weight).square().mean().sqrt())
        attach(there[name], form)
    reason = "the first or the last layer" if exclude is None else "excluded"
    rows = tuple(Row(name, 32, todo.get(name, 32), "", "" if name in todo else reason) for name in chosen)
    summary, notes = f"{len(todo)} weights have {_range(todo.values())} bits", tuple[str, ...]()
    if activations is not None:
        done = quantize_activations(module, activations, high=high, example=example)
        summary += f", {len(done.replaced)} activations {activations}"
        notes = tuple(str(done).splitlines())
    return Report(method="dorefa", unit="bits a weight", rows=rows, summary=summary, notes=notes, network=module)


def _range(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _ends(module: nn.Module) -> set[str]:
    """The weights of the first and the last layer in the order of registration."""
    names = list(weights(module))
    return {names[0], names[-1]} if names else set()


def _checked_bits(bits: int) -> int:
    if bits != int(bits) or not 1 <= bits <= 8:
        raise ArgumentError("invalid width of a weight", found=f"{bits} bits", expected="1 to 8")
    return int(bits)
