"""HashedNets: the weights of a layer share few values, and a hash function says which one each takes.

Chen, Wilson, Tyree, Weinberger, Chen, "Compressing neural networks with the hashing trick", ICML 2015, arXiv
1504.04788. The file holds the values alone; where they go is computed. The first convolution and the last layer stay as
they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paring.errors import ArgumentError
from paring.recipes import steps
from paring.recipes._registry import recipe
from paring.recipes.run import RecipeContext
from paring.recipes.steps._base import Step


@recipe("weights share few values by a hash function")
def hashed(
    subject: RecipeContext,
    *,
    keep: float | Mapping[str, float] = 0.125,
    layers: str | Sequence[str] | None = None,
    bits: int = 32,
    epochs: int = 20,
    lr: float = 1e-3,
    augment: str | None = None,
) -> list[Step]:
    """The steps.

    Args:
        subject: the network and the data.
        keep: share of a layer's weights that stays as real values; or pattern to this share, of the layers to work
            on.
        layers: patterns on the layers to work on; if not given, all but the last and a convolution that comes first.
        bits: width of a value, 32 or 16.
        epochs: of tuning; 0 for none.
        lr: of tuning.
        augment: augmentation while tuning.

    Raises:
        ArgumentError: if a number cannot be or a pattern matches nothing.
    """
    if isinstance(keep, Mapping) and layers is not None:
        raise ArgumentError("layers are named twice", found="keep and layers", fix="Leave layers out, or give one keep")
    named, share = (keep, None) if isinstance(keep, Mapping) else (layers, keep)
    targets = subject.targets(named, share, exclude_ends=True)
    return [steps.hash(targets, bits=bits), *subject.tuning(epochs, lr, augment)]
