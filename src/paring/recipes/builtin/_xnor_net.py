"""XNOR-Net: layers compute with the signs of weights and inputs: one bit a weight in the file.

Rastegari, Ordonez, Redmon, Farhadi, "XNOR-Net", ECCV 2016, arXiv 1603.05279, sections 3.2 and 3.3: batch norm, sign,
binary convolution in the place of each layer. The layers that compute first and last stay real.

The default, ``sign``, is the network that the authors released, whose code leaves the inputs' scale K out; ``scaled``
is the formula of section 3.2, with K. The paper counts K for less than one point of top-1.
"""

from __future__ import annotations

from collections.abc import Sequence

from paring.recipes import steps
from paring.recipes._registry import recipe
from paring.recipes.run import RecipeContext
from paring.recipes.steps._base import Step


@recipe("binary weights and inputs")
def xnor_net(
    subject: RecipeContext,
    *,
    layers: str | Sequence[str] | None = None,
    kind: str = "sign",
    gradient: str = "paper",
    epochs: int = 30,
    lr: float = 1e-3,
    augment: str | None = None,
) -> list[Step]:
    """The steps.

    Args:
        subject: the network and the data.
        layers: patterns on the layers to work on; all but the first and the last if not given.
        kind: ``sign`` (XNOR-Net as released), ``scaled`` (with K, as in the paper) or ``bnn`` (no alpha).
        gradient: ``paper``, or ``released`` for the one of the authors' code.
        epochs: of tuning; 0 for none.
        lr: of tuning.
        augment: augmentation while tuning.

    Raises:
        ArgumentError: if an option cannot be or a pattern matches nothing.
    """
    one = steps.binarize(subject.targets(layers, kind), exclude_ends=layers is None, gradient=gradient)
    return [one, *subject.tuning(epochs, lr, augment)]
