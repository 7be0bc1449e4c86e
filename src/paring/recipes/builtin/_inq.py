"""INQ: weights become powers of two or zero, the largest first, while the rest adapts.

Zhou, Yao, Guo, Xu, Chen, "Incremental network quantization", ICLR 2017, arXiv 1702.03044: half of each layer's weights,
then half of what is left, and so on, with training between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paring.recipes import steps
from paring.recipes._registry import recipe
from paring.recipes.run import RecipeContext
from paring.recipes.steps._base import Step


@recipe("weights become powers of two, the largest first")
def inq(
    subject: RecipeContext,
    *,
    bits: int = 5,
    layers: str | Sequence[str] | Mapping[str, int] | None = None,
    portions: Sequence[float] = (0.5, 0.75, 0.875, 1.0),
    epochs: int = 4,
    lr: float = 5e-4,
    augment: str | None = None,
) -> list[Step]:
    """The steps.

    Args:
        subject: the network and the data.
        bits: of a code, one of them for zero; 5 leaves 16 powers.
        layers: patterns on the layers to work on, or pattern to ``bits`` of its own; all if not given.
        portions: of the weights that are frozen by and by; the last one is 1.
        epochs: of tuning after each portion but the last; 0 for none.
        lr: of tuning.
        augment: augmentation while tuning.

    Raises:
        ArgumentError: if a number cannot be or a pattern matches nothing.
    """
    targets, found = subject.targets(layers, bits), []
    for portion in portions:
        found.append(steps.inq(targets, portion=portion))
        found += subject.tuning(epochs, lr, augment) if portion < 1 else []
    return found
