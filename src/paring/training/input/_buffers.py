"""Memory for batches that is used again, so that the system need not hand out, and clear, fresh pages for each one."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from weakref import finalize

import numpy as np
import torch
from torch import Tensor

#: Most buffers that wait for use; more were needed only while somebody held on to old batches.
_SPARE = 2


class Buffers:
    """Float32 batches of images whose memory comes back when the last tensor that looks into it is gone.

    Attributes:
        spare: memory that waits for use.
    """

    def __init__(self) -> None:
        self.spare: list[np.ndarray] = []

    def take(self, shape: Sequence[int], layout: torch.memory_format = torch.contiguous_format) -> Tensor:
        """An uninitialized float32 tensor ``(N, C, H, W)`` on the CPU, laid out as told."""
        size, spare = prod(shape), self.spare
        fitting = next((number for number, memory in enumerate(spare) if memory.size == size), None)
        memory = np.empty(size, np.float32) if fitting is None else spare.pop(fitting)
        lent = memory[:]  # torch's storage holds this object, and it alone, until nobody needs the storage
        finalize(lent, _returned, spare, memory).atexit = False
        flat = torch.from_numpy(lent)
        n, channels, height, width = shape
        if layout == torch.channels_last:
            return flat.view(n, height, width, channels).permute(0, 3, 1, 2)
        return flat.view(shape)


def _returned(spare: list[np.ndarray], memory: np.ndarray) -> None:
    del spare[: len(spare) + 1 - _SPARE]
    spare.append(memory)
