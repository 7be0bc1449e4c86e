"""Q-CNN: sub-vectors of weights share centroids that are fitted to the layers' answers.

Wu, Leng, Wang, Hu, Cheng, "Quantized convolutional neural networks for mobile devices", CVPR 2016, arXiv 1512.06473.
Codebooks and codes are chosen on calibration images layer after layer, each on the inputs that the layers before it now
produce (the paper's error correction); then the centroids are tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from paring.errors import ArgumentError
from paring.parametrize import select
from paring.recipes import steps
from paring.recipes._registry import recipe
from paring.recipes.run import RecipeContext
from paring.recipes.steps._base import Step


@recipe("sub-vectors of weights share centroids, fitted to answers")
def q_cnn(
    subject: RecipeContext,
    *,
    layers: str | Sequence[str] | None = None,
    centroids: int | None = None,
    length: int | None = None,
    calibrate: int = 128,
    bits: int = 32,
    epochs: int = 5,
    lr: float = 2e-4,
    augment: str | None = None,
) -> list[Step]:
    """The steps.

    Args:
        subject: the network and the data.
        layers: patterns on the layers to work on; if not given, all with four input channels a group and 64 sub-vectors
            in a sub-space (outputs times places of the kernel): fewer have nothing to share.
        centroids: of each sub-space; by default 128 in convolutions and 32 in fully connected layers, the paper's for
            AlexNet, or a quarter of the sub-vectors where that is less.
        length: of a sub-vector; by default the longest that divides the input channels, up to 8 in convolutions and 4
            in fully connected layers.
        calibrate: training images that codes are fitted to; 0 fits them to the weights.
        bits: width of a centroid's components, 32 or 16.
        epochs: of tuning; 0 for none.
        lr: of tuning.
        augment: augmentation while tuning.

    Raises:
        ArgumentError: if a number cannot be, a pattern matches nothing or no layer can be quantized.
    """
    if layers is None:
        shapes = {name: subject.shape(name) for name in subject.layers}
        layers = [name for name, (out, into, *sides) in shapes.items() if into >= 4 and out * prod(sides) >= 64]
        if not layers:
            raise ArgumentError("no layer has enough sub-vectors to share", fix="Name the layers: layers=[...]")
    chosen = select(subject.network, subject.targets(layers, None))
    targets = {name: _target(subject.shape(name.rpartition(".")[0]), length, centroids) for name in chosen}
    return [steps.product_quantize(targets, calibrate=calibrate, bits=bits), *subject.tuning(epochs, lr, augment)]


def _target(shape: tuple[int, ...], length: int | None, centroids: int | None) -> list[int]:
    """Length and centroids for a weight ``(out, in / groups, ...)``."""
    convolution = len(shape) > 2
    if length is None:
        length = next(size for size in range(8 if convolution else 4, 0, -1) if shape[1] % size == 0)
    if centroids is None:
        centroids = max(min(128 if convolution else 32, shape[0] * prod(shape[2:]) // 4), 2)
    return [length, centroids]
