"""Integers after training: a hundred images and a few seconds, no labels; training only where epochs are given.

Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018,
arXiv 1712.05877; Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018, arXiv
1806.08342. Below 6 bits weights are rounded by GPTQ (Frantar et al. 2023, arXiv 2210.17323), and the first and the
last layer keep 8 bits: they hold few of the weights and most of the loss. With epochs the integers are then trained
through their rounding (quantization-aware training, section 3 of both papers on integers).
"""

from __future__ import annotations

from collections.abc import Sequence

from paring.errors import ArgumentError
from paring.recipes import steps
from paring.recipes._registry import recipe
from paring.recipes.run import RecipeContext
from paring.recipes.steps._base import Step


@recipe("integer weights and activations after training; no training")
def int8(
    subject: RecipeContext,
    *,
    bits: int = 8,
    layers: str | Sequence[str] | None = None,
    calibrate: int = 128,
    rounding: str | None = None,
    observer: str = "lp",
    activations: int = 8,
    float_outputs: int = 0,
    epochs: int = 0,
    lr: float = 2e-4,
    augment: str | None = None,
) -> list[Step]:
    """The steps.

    Args:
        subject: the network and the data.
        bits: of the weights, 2 to 8.
        layers: patterns on the layers that become integers; all of them if not given. The others stay float.
        calibrate: training images that ranges are read off; 0: no image is looked at, batch norms tell (DFQ).
        rounding: ``nearest``, ``gptq`` or ``adaround``; by default ``nearest`` from 6 bits up, ``gptq`` below.
        observer: how ranges are read: ``lp``, ``mse``, ``minmax``, ``percentile`` or ``entropy``.
        activations: bits of what goes between layers, 2 to 8.
        float_outputs: so many layers, those whose rounded answers disturb the network's most, keep their sums in float.
        epochs: of training through the rounding, batch norms frozen as they are; 0 for none.
        lr: of that training, with Adam; a larger one moves too many codes of few bits at once.
        augment: augmentation in it.

    Raises:
        ArgumentError: if a number cannot be or a pattern matches nothing.
    """
    if not 2 <= bits <= 8:
        raise ArgumentError("invalid width of weights", found=bits, expected="2 to 8 bits")
    if not 2 <= activations <= 8:
        raise ArgumentError("invalid width of activations", found=activations, expected="2 to 8 bits")
    if epochs < 0:
        raise ArgumentError("invalid number of epochs", found=epochs, expected="0 or more")
    weights: dict[str, int | None] = {"*": bits}
    if layers is not None:
        weights = {"*": None, **subject.targets(layers, bits)}
    elif bits < 6:
        weights |= dict.fromkeys((subject.layers[0], subject.layers[-1]), 8)
    chosen = rounding or ("nearest" if bits >= 6 else "gptq")
    training = subject.tuning(epochs, lr, augment)
    step = steps.quantize(
        equalized=None if calibrate else "relu",
        weights=weights,
        activations=activations,
        calibrate=calibrate,
        rounding=chosen,
        observer=observer,
        float_outputs=float_outputs,
        aware=bool(training),
        norm_delay=0,  # their statistics are those of a trained network; in few epochs others only unsettle the scales
    )
    return [step, *training]
