"""What the names of a traced network mean during lowering: activations over graph values, and constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from paring.capture._program import BATCH
from paring.capture._view import Dim, size_of, whole


@dataclass(eq=False)
class Value:
    """A torch tensor that depends on the input: a graph value and how it lies over it.

    ``storage`` is shared by tensors that may share memory, which is what in-place calls need to know. ``picked``
    lists the channels an index picked out; the convolution that follows works it into its weight. ``compared`` marks
    the answer to ``value >= compared``; the ``where`` that follows makes a sign of it.
    """

    name: str
    dims: tuple[Dim, ...]
    storage: object = field(default_factory=object)
    picked: torch.Tensor | None = None
    compared: float | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Torch's shape, batch included."""
        return tuple(size_of(dim) for dim in self.dims)

    @property
    def ndim(self) -> int:
        """Number of torch axes."""
        return len(self.dims)

    def seen(self, dims: Sequence[Dim]) -> Value:
        """The same memory under other axes."""
        return Value(self.name, tuple(dims), self.storage)


@dataclass(frozen=True, eq=False)
class Const:
    """A tensor that does not depend on the input.

    ``name`` is its path if it is a parameter or buffer as it stands, ``flipped`` the path of the one it transposes.
    ``origin`` are the paths of the parameters it is computed from, None where that is not followed. ``entries`` is how
    many of its numbers are parameters, where others are zeros filled in here.
    """

    tensor: torch.Tensor
    name: str | None = None
    flipped: str | None = None
    origin: frozenset[str] | None = None
    entries: int | None = None

    def __repr__(self) -> str:
        """For a refusal: its path and shape, not a page of numbers."""
        return f"a constant of shape {tuple(self.tensor.shape)}" + (f", {self.name}" if self.name else "")


def unique(name: str, taken: Any) -> str:
    """``name``, or with _2, _3, ... behind it."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """A float32 numpy view or copy on the CPU."""
    return tensor.detach().to(device="cpu", dtype=torch.float32).numpy()


def plain_dims(inner: tuple[int, ...], ndim: int) -> tuple[Dim, ...]:
    """(N, C, H, W), (N, C, W) or (N, F) over a graph value of this shape."""
    batch = whole("n", BATCH)
    if len(inner) == 1:
        return (batch, whole("c", inner[0]), *[()] * (ndim - 2))
    height, width, channels = inner
    spatial = [whole("h", height), whole("w", width)][4 - ndim :]
    return (batch, whole("c", channels), *spatial)


def advice(op: str) -> str:
    """What to do about an operator that a graph does not have."""
    if "lstm" in op or "gru" in op or "attention" in op:
        return "Paring captures convolutional networks"
    if op in ("_local_scalar_dense", "item"):
        return "Let nothing depend on the numbers inside a tensor"
    if "log_softmax" in op:
        return "Return the logits and take the logarithm of softmax outside of the network"
    if "instance_norm" in op or "group_norm" in op or "layer_norm" in op:
        return (
            "Its statistics are those of each image, so nothing can fold it: train with BatchNorm2d in its place, "
            "or capture the part before it"
        )
    return "Replace it by operators of the table in docs/reference/capture.md, or capture the part before it"
