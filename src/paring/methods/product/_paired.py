"""The float network and the changed one in one pass of any module, so that a layer is fitted to what it will see.

The images go through twice in one batch: its first half is the float network, its second half the one whose layers
have been changed so far. At each layer the two halves part, the layer is changed, and they join again, each with its
own weight. No graph is needed, so it works on every module whose answers to an image do not depend on the rest of the
batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError

#: ``(path, layer, its input in the changed network, its float answer)`` to the layer's new weight.
Change = Callable[[str, nn.Module, Tensor, Tensor], Tensor]


@torch.no_grad()
def walk_layers(
    module: nn.Module, layers: Mapping[str, nn.Module], images: Tensor, change: Change
) -> dict[str, tuple[float, float]]:
    """Change layers one after the other in the order in which they compute.

    The module itself is left as it was, in weights and mode. Maps of all images, twice, are held at a time.

    Args:
        module: the network.
        layers: path to layer, each with a ``weight``.
        images: what the network takes, ``(N, ...)``, on its device.
        change: called once for each layer, at its first use if it has several.

    Returns:
        path to the squared norms of the float answer and of what the changed answer is off.

    Raises:
        ArgumentError: if there are no images or they are not finite, they do not reach a layer, or a layer's input and
            output do not have an entry for each image.
    """
    if not len(images):
        raise ArgumentError("no calibration images", found=tuple(images.shape))
    if not images.isfinite().all():
        raise ArgumentError("a calibration image holds what is not a finite number")
    weights: dict[str, Tensor] = {}
    norms: dict[str, tuple[float, float]] = {}

    def listen(path: str, layer: nn.Module):
        def take(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if len(output) % 2 or len(inputs[0]) != len(output):
                raise ArgumentError("layer's inputs are no batch of images", where=path, found=tuple(inputs[0].shape))
            exact, rough = output[: len(output) // 2], inputs[0][len(output) // 2 :]
            if path not in weights:
                weights[path] = change(path, layer, rough, exact)
            noisy = _with_weight(layer, weights[path], rough)
            signal, noise = norms.get(path, (0.0, 0.0))
            norms[path] = signal + float(exact.norm()) ** 2, noise + float((exact - noisy).norm()) ** 2
            return torch.cat([exact, noisy])

        return take

    modes = {child: child.training for child in module.modules()}
    hooks = [layer.register_forward_hook(listen(path, layer)) for path, layer in layers.items()]
    module.eval()
    try:
        module(torch.cat([images, images]))
    finally:
        for hook in hooks:
            hook.remove()
        for child, training in modes.items():
            child.training = training
    if missing := [path for path in layers if path not in weights]:
        raise ArgumentError("the calibration images do not reach this layer", where=missing[0])
    return norms


def _with_weight(layer: nn.Module, weight: Tensor, x: Tensor) -> Tensor:
    """The layer's answer with another weight; hooks are not called."""
    assert isinstance(layer.weight, Tensor)
    kept = layer.weight.data
    layer.weight.data = weight
    try:
        return layer.forward(x)
    finally:
        layer.weight.data = kept
