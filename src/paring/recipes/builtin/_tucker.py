"""Low rank: layers become chains of smaller ones, and the network is tuned.

Kim, Park, Yoo, Choi, Yang, Shin, "Compression of deep convolutional neural networks for fast and low power mobile
applications", ICLR 2016, arXiv 1511.06530: Tucker-2 on convolutions (SVD on fully connected and 1x1 layers), ranks by
variational Bayesian matrix factorization or, here by default, by each layer's share of MACs, fine-tuning of the whole.
Layers whose chain would be no smaller stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paring.errors import ArgumentError
from paring.recipes import steps
from paring.recipes._registry import recipe
from paring.recipes.run import RecipeContext
from paring.recipes.steps._base import Step


@recipe("layers become chains of smaller ones with half the MACs")
def tucker(
    subject: RecipeContext,
    *,
    amount: float | None = None,
    by: str = "macs",
    layers: str | Sequence[str] | Mapping[str, float] | None = None,
    scheme: str = "auto",
    epochs: int = 10,
    lr: float = 5e-4,
    augment: str | None = None,
) -> list[Step]:
    """The steps.

    Args:
        subject: the network and the data.
        amount: the amount that ``by`` speaks of, for each layer; by default half of its MACs or parameters, 0.9 of its
            energy, an error of 0.3.
        by: how ranks are found: ``macs``, ``parameters``, ``energy``, ``error``, or the paper's ``vbmf``, which asks
            no amount, and takes too much from a network that has little to spare.
        layers: patterns on the layers to work on, or pattern to an ``amount`` of its own; if not given, all but the
            first, whose inputs are few, and the last, whose rank is at most the number of classes.
        scheme: ``auto`` (Tucker on convolutions, SVD on matrices), ``svd``, ``spatial``, ``tucker`` or ``cp``.
        epochs: of tuning; 0 for none.
        lr: of tuning.
        augment: augmentation while tuning.

    Raises:
        ArgumentError: if a number cannot be or a pattern matches nothing.
    """
    each = amount if amount is not None else {"energy": 0.9, "error": 0.3, "vbmf": None}.get(by, 0.5)
    if by == "vbmf" and (amount is not None or isinstance(layers, Mapping)):
        raise ArgumentError("VBMF finds the ranks by itself", found="an amount", fix="Leave amount or by out")
    targets = subject.targets(layers, each, exclude_ends=True)
    return [steps.factorize(targets, scheme=scheme, by=by), *subject.tuning(epochs, lr, augment)]
