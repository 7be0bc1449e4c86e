"""Ternary weights: minus alpha, zero or alpha, trained through real ones.

Li, Zhang, Liu, "Ternary weight networks", 2016, arXiv 1605.04711. The threshold is ``0.75 mean |W|`` of a layer (0.7 in
the paper's first versions). The first convolution and the last layer stay real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paring.recipes import steps
from paring.recipes._registry import recipe
from paring.recipes.run import RecipeContext
from paring.recipes.steps._base import Step


@recipe("ternary weights")
def twn(
    subject: RecipeContext,
    *,
    layers: str | Sequence[str] | Mapping[str, float] | None = None,
    factor: float = 0.75,
    per_channel: bool = False,
    epochs: int = 20,
    lr: float = 1e-3,
    augment: str | None = None,
) -> list[Step]:
    """The steps.

    Args:
        subject: the network and the data.
        layers: patterns on the layers to work on; if not given, all but the last and a convolution that comes first.
        factor: of the threshold.
        per_channel: an alpha for each output channel.
        epochs: of tuning; 0 for none.
        lr: of tuning.
        augment: augmentation while tuning.

    Raises:
        ArgumentError: if a number cannot be or a pattern matches nothing.
    """
    targets = subject.targets(layers, factor, exclude_ends=True)
    return [steps.ternarize(targets, per_channel=per_channel), *subject.tuning(epochs, lr, augment)]
