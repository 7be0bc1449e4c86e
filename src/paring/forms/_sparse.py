"""Sparse: a pruned weight; the zeros cost a mask symbol, the survivors a number each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from paring.errors import FormatError
from paring.forms._base import Form, StreamSpec, checked_params, checked_shape, float_dtype, frozen


class Sparse(Form):
    """A weight of which most entries are exactly zero (Han 2015, arXiv 1506.02626).

    Args:
        mask: bool or 0/1 array of the weight's shape; 1 keeps the weight.
        values: the kept weights in C order, shape ``(nonzeros,)``; a kept weight may itself be zero.
        bits: 32 or 16, the width of ``values``.

    Raises:
        FormatError: if ``values`` is not as long as the mask has ones.
    """

    kind = "sparse"
    param_names = ("bits", "kept")

    def __init__(self, mask: np.ndarray, values: np.ndarray, bits: int = 32) -> None:
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ and np.any(mask > 1):
            raise FormatError("mask symbol is out of range", found=int(mask.max()), expected="0 or 1")
        self.shape = checked_shape(mask.shape)
        self.mask = frozen(mask, np.uint8, self.shape)
        self.bits = bits
        kept = int(np.count_nonzero(self.mask))
        self.values = frozen(values, float_dtype(self.kind, bits), (kept,))

    @classmethod
    def from_dense(cls, weight: np.ndarray, bits: int = 32) -> Sparse:
        """The sparse form of a dense array: its zeros are dropped."""
        weight = np.asarray(weight, np.float32)
        mask = weight != 0
        return cls(mask, weight[mask], bits)

    def dense(self) -> np.ndarray:
        out = np.zeros(self.shape, np.float32)
        out[self.mask.astype(bool)] = self.values.astype(np.float32)
        return out

    def params(self) -> dict[str, int]:
        return {"bits": self.bits, "kept": len(self.values)}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"mask": self.mask, "values": self.values}

    @classmethod
    def specs(cls, shape: tuple[int, ...], params: Mapping[str, int]) -> tuple[StreamSpec, ...]:
        bits, kept = checked_params(cls.kind, params, cls.param_names)
        mask = StreamSpec("mask", checked_shape(shape), 2, np.dtype(np.uint8))
        if not 0 <= kept <= mask.count:
            raise FormatError(
                "sparse form keeps more weights than it has", found=kept, expected=f"at most {mask.count}"
            )
        return (mask, StreamSpec("values", (kept,), 0, float_dtype(cls.kind, bits)))

    @classmethod
    def from_arrays(cls, shape: tuple[int, ...], params: Mapping[str, int], arrays: Mapping[str, np.ndarray]) -> Sparse:
        bits, _ = checked_params(cls.kind, params, cls.param_names)
        form = cls(np.asarray(arrays["mask"]).reshape(shape), arrays["values"], bits)
        if form.params() != dict(params):
            raise FormatError("mask and parameter disagree", found=form.params(), expected=dict(params))
        return form
