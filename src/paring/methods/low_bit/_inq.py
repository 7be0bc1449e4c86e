"""Incremental network quantization: weights become powers of two or zero, the largest first, while the rest adapts.

Zhou, Yao, Guo, Xu, Chen, "Incremental network quantization: towards lossless CNNs with low-precision weights", ICLR
2017, arXiv 1702.03044. A layer of ``b`` bits takes its weights from

    {0, +-2^n1, .., +-2^n2},      n1 = floor(log2(4 max|W| / 3)),      n2 = n1 + 1 - 2^(b - 1) / 2,

and a weight becomes the power ``B`` with ``(A + B) / 2 <= |w| < 3 B / 2``, A being the next smaller level or 0, or zero
if it is below all of these. Of the ``b`` bits one is for zero and ``b - 1`` for ``2^(b - 1)`` signed powers. In steps,
the part of the weights with the largest magnitudes is rounded and frozen and what is left is trained on, until nothing
is left.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite

import numpy as np
import torch
from torch import Tensor, nn

from paring.errors import ArgumentError
from paring.forms import Codebook, Dense, Sparse
from paring.methods._amounts import Targets, bits_of
from paring.methods._registry import Trial, method
from paring.methods._report import Report, Row
from paring.methods.pruning import MovementPruned, Pruned, magnitude_mask
from paring.parametrize import FormParametrization, attach, places, select
from paring.parametrize._select import parametrization, value
from paring.parametrize._untouched import untouched


def power_exponents(largest: float, bits: int) -> tuple[int, int]:
    """``(n1, n2)``, exponents of the largest and the smallest power (equations 2 and 3).

    Args:
        largest: largest magnitude of the layer's weights, above 0.
        bits: width of a code, 2 to 8.

    Raises:
        ArgumentError: if either cannot be.
    """
    bits = _checked_bits(bits)
    if not (isfinite(largest) and largest > 0):
        raise ArgumentError("weights have no largest magnitude", found=largest, expected="a number above 0")
    n1 = _nearest_exponents(np.float64(largest))
    return int(n1), int(n1) + 1 - 2 ** (bits - 2)


def power_levels(n1: int, n2: int) -> np.ndarray:
    """``{0, +-2^n2, .., +-2^n1}``, float32 ascending, shape ``(2 (n1 - n2 + 1) + 1,)``."""
    powers = np.ldexp(np.float32(1), np.arange(n2, n1 + 1))
    return np.concatenate([-powers[::-1], np.zeros(1, np.float32), powers])


def nearest_powers(weight: np.ndarray, n1: int, n2: int) -> np.ndarray:
    """Every weight's level (equation 4); what lies beyond ``3/2 * 2^n1`` takes ``2^n1``, where the paper says nothing.

    Exact: exponents are read off the numbers, no logarithm is taken. Halfway between two powers goes to the larger.

    Args:
        weight: float array of any shape, finite.
        n1: exponent of the largest power.
        n2: exponent of the smallest one.

    Returns:
        float32 of the same shape.

    Raises:
        ArgumentError: if a weight is not finite.
    """
    weight = np.asarray(weight)
    if not np.isfinite(weight).all():
        raise ArgumentError("a weight is not a finite number", fix="Train the network without divergence first")
    magnitude = np.abs(weight)
    powers = np.ldexp(np.float32(1), np.clip(_nearest_exponents(magnitude), n2, n1))
    return np.where(magnitude >= np.ldexp(0.5, n2), np.copysign(powers, weight), 0).astype(np.float32)


def _nearest_exponents(magnitude: np.ndarray) -> np.ndarray:
    """``floor(log2(4 |w| / 3))``: the exponent itself from three quarters of its power on, else one less."""
    mantissa, exponent = np.frexp(magnitude)
    return exponent - (mantissa < 0.75)


def _checked_bits(bits: int) -> int:
    if bits != int(bits) or not 2 <= bits <= 8:
        raise ArgumentError("invalid width of a power of two", found=f"{bits} bits", expected="2 to 8")
    return int(bits)


def _checked_portion(portion: float) -> float:
    if not 0 <= portion <= 1:
        raise ArgumentError("invalid portion of weights to quantize", found=f"{portion:.6g}", expected="0 to 1")
    return float(portion)


class INQ(FormParametrization):
    """``weight = where(frozen, values, original)``: the frozen part is powers of two, the gradient reaches the rest.

    Args:
        frozen: bool tensor of the weight's shape.
        values: the frozen weights' levels, the weight's shape; the rest is not read.
        bits: width of a code.
        n1: exponent of the largest power, chosen once, at the beginning.
        pruned: how many weights were zero at the beginning; they stay so and count in no portion.
    """

    kind = "inq"
    frozen: Tensor
    values: Tensor

    def __init__(self, frozen: Tensor, values: Tensor, bits: int, n1: int, pruned: int = 0) -> None:
        super().__init__()
        self.bits, self.n1, self.pruned = _checked_bits(bits), int(n1), int(pruned)
        self.register_buffer("frozen", frozen.bool())
        self.register_buffer("values", values)

    @classmethod
    def blank(cls, shape: tuple[int, ...], bits: int = 5, n1: int = 0, pruned: int = 0) -> INQ:
        """One with nothing frozen, to load a state into."""
        return cls(torch.zeros(shape, dtype=torch.bool), torch.zeros(shape), bits, n1, pruned)

    def options(self) -> dict[str, int]:
        return {"bits": self.bits, "n1": self.n1, "pruned": self.pruned}

    @property
    def n2(self) -> int:
        """Exponent of the smallest power."""
        return self.n1 + 1 - 2 ** (self.bits - 2)

    @property
    def portion(self) -> float:
        """What part of the weights that were not pruned is frozen, 0..1."""
        alive = self.frozen.numel() - self.pruned
        return (int(self.frozen.sum()) - self.pruned) / alive if alive else 1.0

    def forward(self, original: Tensor) -> Tensor:
        """The weight, of ``original``'s shape."""
        return torch.where(self.frozen, self.values.to(original.dtype), original)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """A weight is its own original; what is frozen was chosen when this was made."""
        return weight

    @torch.no_grad()
    def advance(self, original: Tensor, portion: float) -> None:
        """Round and freeze the largest of the free weights until ``portion`` is frozen.

        Raises:
            ArgumentError: if a weight is not finite.
        """
        weight = self.forward(original).numpy(force=True)
        frozen = self.frozen.numpy(force=True)
        count = self.pruned + round(portion * (weight.size - self.pruned))
        # what is frozen stays so: it counts as larger than everything
        new = magnitude_mask(np.where(frozen, inf, np.abs(weight)), count / weight.size) & ~frozen
        levels = torch.from_numpy(nearest_powers(weight, self.n1, self.n2)).to(self.values)
        chosen = torch.from_numpy(new).to(self.frozen.device)
        self.values.copy_(torch.where(chosen, levels, self.values))
        self.frozen.logical_or_(chosen)

    def form(self, original: Tensor) -> Codebook | Sparse | Dense:
        """A codebook of the powers in use once all is frozen; until then there are as many values as free weights."""
        with torch.no_grad():
            dense = self.forward(original).float().numpy(force=True)
        if bool(self.frozen.all()):
            levels = np.unique(dense)
            with np.errstate(over="ignore"):
                half = np.array_equal(levels.astype(np.float16).astype(np.float32), levels)
            return Codebook.from_assignment(levels, np.searchsorted(levels, dense), 16 if half else 32)
        # a mask costs up to a bit a weight, a zero in a dense form 32
        return Sparse.from_dense(dense) if np.count_nonzero(dense) < dense.size * 31 / 32 else Dense(dense)


BITS = bits_of("bits", "a power of two", 2, 8, usual=5)


@method(
    "weights become powers of two or zero, the largest first, while the rest is trained (INQ)",
    kind="few bits",
    form="codebook",
    page="inq.md",
    amounts=(BITS,),
    trial=Trial((5, 4, 3, 2), "bits of a power of two", {"portion": 1.0}),
)
def inq(module: nn.Module, targets: Targets = None, *, bits: Targets = None, portion: float = 0.5) -> Report:
    """Begin, or go on: round and freeze the largest weights of each selected layer up to a portion; then train.

    The paper's portions are 0.5, 0.75, 0.875, 1 (AlexNet: 0.3, 0.6, 0.8, 1), with training after each but the last.
    Weights that are exactly zero at the beginning (pruned ones) stay zero and count in no portion.

    Args:
        module: the network, changed in place. The parameters stay the same objects, so an optimizer may live on.
        targets: width in bits, 2 to 8, for all layers or by patterns (:func:`paring.parametrize.select`); patterns
            alone mean 5.
        bits: the same, named.
        portion: part of each layer's weights to be frozen after this call, those of earlier calls included, 0..1.

    Returns:
        for each layer how many weights it has and how many are still free; what was pruned counts as frozen.

    Raises:
        ArgumentError: if a width or the portion cannot be, a pattern matches nothing, a weight has another form, has
            begun with another width, is further already, is shared between modules, zero everywhere or not finite.
            Nothing is changed then.
    """
    portion = _checked_portion(portion)
    chosen = select(module, BITS.targets(targets, bits))
    there = places(module)
    untouched(module, [name for name in chosen if parametrization(there[name]) is None])
    for name, width in chosen.items():
        form, weight = parametrization(there[name]), value(there[name])
        if isinstance(form, INQ):
            _check_advance(name, form, width, portion)
        elif form is not None and not isinstance(form, Pruned | MovementPruned):
            raise ArgumentError(
                f"weight is already {form.kind}", where=name, fix="Bake it first: paring.parametrize.detach"
            )
        elif not weight.any():
            raise ArgumentError("every weight is zero", where=name, fix="Leave this layer out")
        if not weight.isfinite().all():
            raise ArgumentError("a weight is not a finite number", where=name, fix="Train without divergence first")
    rows = []
    for name, width in chosen.items():
        form = parametrization(there[name])
        if not isinstance(form, INQ):
            form = _begun(value(there[name]), width)
            attach(there[name], form)
        form.advance(there[name].module.parametrizations[there[name].tensor].original, portion)  # type: ignore[union-attr,index]
        whole, frozen = form.frozen.numel(), int(form.frozen.sum())
        rows.append(Row(name, whole, whole - frozen, f"{frozen:,} frozen, {width} bits"))
    report = Report(method="inq", unit="free weights", rows=tuple(rows), summary="", network=module)
    summary = f"{report.removed:,} weights of {len(rows)} layers are powers of two or zero"
    return replace(report, summary=summary)


def _begun(weight: Tensor, bits: int) -> INQ:
    """The trainable form with nothing but the zeros frozen."""
    n1, _ = power_exponents(float(weight.abs().max()), bits)
    zero = weight == 0
    return INQ(zero, torch.zeros_like(weight), bits, n1, int(zero.sum()))


def _check_advance(name: str, form: INQ, bits: int, portion: float) -> None:
    if form.bits != bits:
        raise ArgumentError("weight has begun with another width", where=name, found=bits, expected=form.bits)
    alive = form.frozen.numel() - form.pruned
    if round(portion * alive) < int(form.frozen.sum()) - form.pruned:
        raise ArgumentError(
            "more is frozen already", where=name, found=f"{portion:.6g}", expected=f"{form.portion:.6g} to 1"
        )
