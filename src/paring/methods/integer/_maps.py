"""Maps of many images, in memory that is used again."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor


class Maps:
    """Where values of ``count`` images are put, each in one block until it is let go of.

    The system fills every fresh page with zeros before it hands it over. For maps of a hundred images that took as
    long as computing them, so blocks go round. (Huge pages do not help: on a virtual machine they took four times as
    long as small ones.)

    Args:
        shapes: ``(H, W, C)`` or ``(F,)`` of every value for one image.
        count: of images.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], count: int) -> None:
        self._shapes, self._count = shapes, count
        self._free: list[Tensor] = []
        self._used: dict[int, Tensor] = {}

    def new(self, value: str) -> Tensor:
        """Float32 ``(N, C, H, W)`` or ``(N, F)`` for a value, holding anything."""
        shape = self._shapes[value]
        shape = (shape[2], *shape[:2]) if len(shape) == 3 else shape
        size = self._count * prod(shape)
        fitting = [block for block in self._free if len(block) >= size]
        if fitting:
            block = min(fitting, key=len)
        else:
            if self._free:  # none is large enough, so one goes: not more is held than without any of this
                self._drop(max(self._free, key=len))
            block = torch.empty(size)
        self._drop(block)
        made = block[:size].view(self._count, *shape)
        self._used[made.data_ptr()] = block
        return made

    def release(self, values: Tensor) -> None:
        """Let go of what :meth:`new` gave; nothing happens with a tensor from elsewhere."""
        block = self._used.pop(values.data_ptr(), None)
        if block is not None:
            self._free.append(block)

    def _drop(self, block: Tensor) -> None:
        self._free = [other for other in self._free if other is not block]
