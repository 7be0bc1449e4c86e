"""HashedNets: the weights of a layer share few values, and a hash function says which one each takes.

Chen, Wilson, Tyree, Weinberger, Chen, "Compressing neural networks with the hashing trick", ICML 2015, arXiv
1504.04788. The file holds the values alone; where they go is computed. The first convolution and the last layer stay as
they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paring.recipes import steps
from paring.recipes.run import RecipeContext
from paring.recipes.steps._base import Step


def hashed(
    subject: RecipeContext,
    *,
    keep: float = 0.125,
    layers: str | Sequence[str] | Mapping[str, float] | None = None,
    bits: int = 32,
    epochs: int = 20,
    lr: float = 1e-3,
    augment: str | None = None,
) -> list[Step]:
    """The steps.

    Args:
        subject: the network and the data.
        keep: values of a layer, as a share of its weights.
        layers: patterns on the layers to work on, or pattern to a ``keep`` of its own; if not given, all but the last
            and a convolution that comes first.
        bits: width of a value, 32 or 16.
        epochs: of tuning; 0 for none.
        lr: of tuning.
        augment: augmentation while tuning.

    Raises:
        ArgumentError: if a number cannot be or a pattern matches nothing.
    """
    targets = subject.targets(layers, keep, exclude_ends=True)
    return [steps.hash(targets, bits=bits), *subject.tuning(epochs, lr, augment)]
