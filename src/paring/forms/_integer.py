"""Integer: codes of 1 to 8 bits, and a scale for all of them or for each channel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from paring.errors import FormatError
from paring.forms._base import Form, StreamSpec, checked_params, checked_shape, frozen, symbol_dtype


class Integer(Form):
    """Symmetric uniform quantization of weights: ``w = scale[channel] * code`` (Jacob 2018, arXiv 1712.05877, section
    2.1, with zero point 0; per channel as in Krishnamoorthi 2018, arXiv 1806.08342, section 3.1).

    With ``n = 2**(bits - 1) - 1``, codes are ``-n .. n``: -128 never occurs, and codes of 2 bits are ternary. With
    ``bits=1`` they are -1 and +1, binary. The dense value is the float32 product of the scale and the code.

    Args:
        codes: integers of the weight's shape.
        scales: shape ``(channels,)``, positive and finite; rounded to float32. One scale is shared by all weights.
        bits: 1 to 8.
        axis: which axis the scales go along if there are several: 0, the outputs; 1, the outputs of a transposed
            convolution. 0 if there is one scale.

    Attributes:
        codes: int8, the weight's shape.
        scales: float32 ``(channels,)``.

    Raises:
        FormatError: if a rule above is broken, or the largest code times a scale overflows.
    """

    kind = "integer"
    param_names = ("bits", "channels", "axis")

    def __init__(self, codes: np.ndarray, scales: np.ndarray, bits: int = 8, axis: int = 0) -> None:
        codes, scales = np.asarray(codes), np.atleast_1d(np.asarray(scales))
        self.shape = checked_shape(codes.shape)
        self.bits, self.axis = bits, axis
        book, symbols = self.specs(self.shape, {"bits": bits, "channels": len(scales), "axis": axis})
        with np.errstate(over="ignore"):
            self.scales = frozen(scales, book.dtype, book.shape)
            fits = np.all(self.scales > 0) and np.all(np.isfinite(self.scales * np.float32(largest_code(bits))))
        if not fits:
            raise FormatError("scale is not positive or not finite", found=float(self.scales.min()), expected="above 0")
        if not np.issubdtype(codes.dtype, np.integer):
            raise FormatError("codes are not integers", found=codes.dtype)
        most = largest_code(bits)
        if codes.min() < -most or codes.max() > most or (bits == 1 and not codes.all()):
            raise FormatError(
                "code is out of range",
                found=f"{int(codes.min())} .. {int(codes.max())}",
                expected="-1 or 1" if bits == 1 else f"{-most} .. {most}",
            )
        self.codes = frozen(codes, np.int8, symbols.shape)

    @classmethod
    def from_dense(cls, weight: np.ndarray, scales: np.ndarray, bits: int = 8, axis: int = 0) -> Integer:
        """The nearest codes: ``clamp(round(weight / scale), -n, n)``, ties to even; with ``bits=1`` the sign, + for 0.

        The quotient is taken in float64.
        """
        weight = np.asarray(weight, np.float64)
        scales = np.atleast_1d(np.asarray(scales, np.float32))
        if bits == 1:
            return cls(np.where(weight >= 0, 1, -1), scales, bits, axis)
        most = largest_code(bits)
        codes = np.clip(np.rint(weight / along(scales, weight.ndim, axis).astype(np.float64)), -most, most)
        return cls(codes.astype(np.int8), scales, bits, axis)

    def dense(self) -> np.ndarray:
        return self.codes.astype(np.float32) * along(self.scales, len(self.shape), self.axis)

    @property
    def nonzeros(self) -> int:
        return int(np.count_nonzero(self.codes))

    def params(self) -> dict[str, int]:
        return {"bits": self.bits, "channels": len(self.scales), "axis": self.axis}

    def arrays(self) -> dict[str, np.ndarray]:
        """Symbols stand as every coder likes them: 0 is zero, then the negative codes upwards, then the positive ones;
        of one bit, 0 is -1 and 1 is +1.
        """
        symbols = np.zeros(256, np.uint8)  # by code + 128
        symbols[_codes_by_symbol(self.bits).astype(np.int16) + 128] = np.arange(len(_codes_by_symbol(self.bits)))
        return {"scales": self.scales, "symbols": symbols[self.codes.view(np.uint8) ^ 128]}

    @classmethod
    def specs(cls, shape: tuple[int, ...], params: Mapping[str, int]) -> tuple[StreamSpec, ...]:
        bits, channels, axis = checked_params(cls.kind, params, cls.param_names)
        shape = checked_shape(shape)
        if not 1 <= bits <= 8:
            raise FormatError("integer form has an unknown width", found=f"{bits} bits", expected="1 to 8")
        along_axis = axis in (0, 1) and axis < len(shape) and channels == shape[axis]
        if not (along_axis or (channels == 1 and axis == 0)):
            expected = "1, or as many as its axis 0 or 1 is long"
            raise FormatError("scales do not fit the weight", found=f"{channels} along axis {axis}", expected=expected)
        if channels == 1 and axis != 0:  # one spelling
            raise FormatError("a single scale goes along axis 0", found=axis)
        alphabet = 2 * largest_code(bits) + (bits > 1)
        return (
            StreamSpec("scales", (channels,), 0, np.dtype(np.float32)),
            StreamSpec("symbols", shape, alphabet, symbol_dtype(alphabet)),
        )

    @classmethod
    def from_arrays(
        cls, shape: tuple[int, ...], params: Mapping[str, int], arrays: Mapping[str, np.ndarray]
    ) -> Integer:
        bits, _, axis = checked_params(cls.kind, params, cls.param_names)
        book, spec = cls.specs(shape, params)
        scales = np.asarray(arrays["scales"])
        if scales.shape != book.shape:
            raise FormatError("integer form has the wrong number of scales", found=scales.shape, expected=book.shape)
        symbols = np.asarray(arrays["symbols"]).reshape(shape)
        if symbols.max() >= spec.alphabet:
            raise FormatError("symbol is out of range", found=int(symbols.max()), expected=f"below {spec.alphabet}")
        return cls(_codes_by_symbol(bits)[symbols], scales, bits, axis)


def _codes_by_symbol(bits: int) -> np.ndarray:
    """The code that each symbol stands for, int8."""
    most = largest_code(bits)
    return np.array([-1, 1] if bits == 1 else [0, *range(-most, 0), *range(1, most + 1)], np.int8)


def largest_code(bits: int) -> int:
    """``2**(bits - 1) - 1``, and 1 for one bit: codes lie in minus this .. this."""
    return max(1, (1 << (bits - 1)) - 1)


def along(scales: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """The scales shaped so that they broadcast over a weight of ``rank`` axes along ``axis``."""
    if len(scales) == 1:
        return scales.reshape([1] * rank)
    return scales.reshape([-1 if i == axis else 1 for i in range(rank)])
