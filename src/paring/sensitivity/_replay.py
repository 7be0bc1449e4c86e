"""Answers of a network of which one layer was changed, without computing again what comes before that layer.

One pass of the unchanged network keeps what its convolution and fully connected layers give, in the order of their
calls. When a layer is changed, every call before its first is answered from what was kept; the rest of the network
runs as it is, so that nothing needs to be known about how it is wired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from paring.errors import ArgumentError

#: Layers whose answers are worth keeping.
_COSTLY = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Replay:
    """A network, in eval mode, with images and what its layers gave to them.

    Args:
        network: layers of it may be replaced between calls of :meth:`answers`, which leave it as it is.
        images: ``(N, ...)``, prepared.
        batch: images at a time.
        memory: most bytes kept; batches for which there is no room are computed from their beginning.

    Attributes:
        scores: the unchanged network's answers, float32 ``(N, classes)`` on the processor.

    Raises:
        ArgumentError: if the network does not answer with one row of numbers per image.
    """

    def __init__(self, network: nn.Module, images: Tensor, batch: int, memory: int) -> None:
        self.network, self.device = network, next(network.parameters()).device
        self.layers = [layer for layer in network.modules() if isinstance(layer, _COSTLY)]
        self.batches = images.split(batch)
        self.calls: list[int] = []
        self.kept: list[list[Tensor]] = []
        answers = []
        for images_ in self.batches:
            kept: list[Tensor] = []
            answers.append(_checked(self._recorded(images_, kept), len(images_)))
            memory -= sum(tensor.nbytes for tensor in kept)
            self.kept.append(kept if memory >= 0 else [])
        self.scores = torch.cat(answers)

    def answers(self, changed: Iterable[nn.Module] = (), network: nn.Module | None = None) -> Tensor:
        """Answers of the network as it is now.

        Args:
            changed: the layers, as they were, that were replaced.
            network: another one altogether, to be run as it is.

        Returns:
            float32 ``(N, classes)`` on the processor.
        """
        if network is not None:
            return self._all(lambda images, kept: network(images))
        gone = {id(layer) for layer in changed}
        first = next((number for number, layer in enumerate(self.calls) if layer in gone), len(self.calls))
        return self._all(lambda images, kept: self._replayed(images, kept[:first]))

    @torch.no_grad()
    def _all(self, answer: Callable[[Tensor, list[Tensor]], Any]) -> Tensor:
        pairs = zip(self.batches, self.kept, strict=True)
        return torch.cat([_checked(answer(images.to(self.device), kept), len(images)) for images, kept in pairs])

    @torch.no_grad()
    def _recorded(self, images: Tensor, kept: list[Tensor]) -> Any:
        calls: list[int] = []

        def record(layer: nn.Module, *inputs: Any, **named: Any) -> Tensor:
            calls.append(id(layer))
            answer = type(layer).forward(layer, *inputs, **named)
            kept.append(answer.clone())  # what follows may work in place
            return answer

        with _instead(self.layers, record):
            answer = self.network(images.to(self.device))
        if self.calls and calls != self.calls:  # which layers are called depends on the images
            kept.clear()
        self.calls = self.calls or calls
        return answer

    def _replayed(self, images: Tensor, kept: list[Tensor]) -> Any:
        tape = iter(kept)

        def replay(layer: nn.Module, *inputs: Any, **named: Any) -> Tensor:
            known = next(tape, None)
            return type(layer).forward(layer, *inputs, **named) if known is None else known.clone()

        with _instead(self.layers, replay):
            return self.network(images)


@contextmanager
def _instead(layers: Iterable[nn.Module], forward: Callable[..., Tensor]) -> Iterator[None]:
    """While the block lasts, ``forward(layer, ...)`` is called instead of the layers' own."""
    layers = list(layers)
    for layer in layers:
        layer.__dict__["forward"] = lambda *inputs, layer=layer, **named: forward(layer, *inputs, **named)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["forward"]


def _checked(answer: Any, count: int) -> Tensor:
    if not isinstance(answer, Tensor) or answer.ndim != 2 or len(answer) != count:
        found = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise ArgumentError("network does not answer with a row of numbers per image", found=found)
    return answer.detach().float().cpu()
