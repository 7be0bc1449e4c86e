"""Dense: every weight as a floating-point number, 32 or 16 bits wide."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from paring.errors import FormatError
from paring.forms._base import Form, StreamSpec, checked_params, checked_shape, float_dtype, frozen


class Dense(Form):
    """A weight kept as plain numbers; biases, batch-norm vectors and layers no method touched.

    Args:
        values: array of any float type and shape; rounded to nearest, ties to even, when ``bits`` is 16.
        bits: 32 (IEEE binary32) or 16 (IEEE binary16).

    Raises:
        FormatError: if ``bits`` is neither, or a finite value overflows binary16.
    """

    kind = "dense"
    param_names = ("bits",)

    def __init__(self, values: np.ndarray, bits: int = 32) -> None:
        values = np.asarray(values)
        self.shape = checked_shape(values.shape)
        self.bits = bits
        spec = self.specs(self.shape, self.params())[0]
        with np.errstate(over="ignore"):
            self.values = frozen(values, spec.dtype, self.shape)
        if bits == 16 and np.any(np.isinf(self.values) & np.isfinite(values)):
            raise FormatError("value overflows 16-bit floating point", expected="magnitudes below 65520")

    def dense(self) -> np.ndarray:
        return self.values.astype(np.float32)

    def params(self) -> dict[str, int]:
        return {"bits": self.bits}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"values": self.values}

    @classmethod
    def specs(cls, shape: tuple[int, ...], params: Mapping[str, int]) -> tuple[StreamSpec, ...]:
        (bits,) = checked_params(cls.kind, params, cls.param_names)
        return (StreamSpec("values", checked_shape(shape), 0, float_dtype(cls.kind, bits)),)

    @classmethod
    def from_arrays(cls, shape: tuple[int, ...], params: Mapping[str, int], arrays: Mapping[str, np.ndarray]) -> Dense:
        (bits,) = checked_params(cls.kind, params, cls.param_names)
        values = np.asarray(arrays["values"])
        if values.shape != tuple(shape):
            raise FormatError("array has the wrong shape", found=values.shape, expected=tuple(shape))
        return cls(values, bits)
