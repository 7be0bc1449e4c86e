"""Binary-Weight-Networks: signs of weights and one scale for each filter, real inputs.

Rastegari, Ordonez, Redmon, Farhadi, "XNOR-Net", ECCV 2016, arXiv 1603.05279, section 3.1. The first convolution and the
last layer stay real. Between training steps filters are centered and clipped, as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence

from paring.recipes import steps
from paring.recipes._registry import recipe
from paring.recipes.run import RecipeContext
from paring.recipes.steps._base import Step


@recipe("binary weights, a scale for each filter")
def bwn(
    subject: RecipeContext,
    *,
    layers: str | Sequence[str] | None = None,
    gradient: str = "paper",
    epochs: int = 20,
    lr: float = 1e-3,
    augment: str | None = None,
) -> list[Step]:
    """The steps.

    Args:
        subject: the network and the data.
        layers: patterns on the layers to work on; if not given, all but the last and a convolution that comes first.
        gradient: ``paper``, or ``released`` for the one of the authors' code.
        epochs: of tuning; 0 for none.
        lr: of tuning.
        augment: augmentation while tuning.

    Raises:
        ArgumentError: if an option cannot be or a pattern matches nothing.
    """
    targets = subject.targets(layers, gradient, exclude_ends=True)
    return [steps.binarize_weights(targets), *subject.tuning(epochs, lr, augment)]
