"""Product: sub-vectors of a weight that share a few centroids; product quantization, residual stages included."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from paring.errors import FormatError
from paring.forms._base import (
    MAX_ELEMENTS,
    Form,
    StreamSpec,
    checked_params,
    checked_shape,
    float_dtype,
    frozen,
    symbol_dtype,
)

#: Most centroids of a sub-space, and most residual stages.
MAX_CENTROIDS, MAX_STAGES = 65536, 16


class Product(Form):
    """Product codes (Jegou 2011; for weights Gong 2014, arXiv 1412.6115, and Wu 2016, arXiv 1512.06473).

    Axis 1 of the weight, its input channels, is cut into ``in / d`` sub-spaces of length ``d``, each with ``k``
    centroids of its own, shared by all outputs and all places of the kernel. With residual stages ``r = 0 .. R - 1``,

        w[o, m d + t, y, x] = ((C[0, m, B[0, o, m, y, x], t] + C[1, m, B[1, ...], t]) + C[2, ...]) + ...

    in binary32, stage after stage, each sum rounded to nearest.

    Args:
        codebooks: ``C``, shape ``(R, in / d, k, d)``, finite.
        codes: ``B``, integers in ``0 .. k - 1``, shape ``(R, out, in / d, *places)``.
        bits: 32 or 16, the width of a stored component.

    Raises:
        FormatError: if a rule above is broken.
    """

    kind = "product"
    param_names = ("bits", "length", "centroids", "stages")

    def __init__(self, codebooks: np.ndarray, codes: np.ndarray, bits: int = 32) -> None:
        codebooks, codes = np.asarray(codebooks), np.asarray(codes)
        if codebooks.ndim != 4 or codes.ndim < 3 or codebooks.shape[:2] != (codes.shape[0], codes.shape[2]):
            raise FormatError(
                "codebooks and codes do not fit",
                found=f"{codebooks.shape} and {codes.shape}",
                expected="(stages, spaces, centroids, length) and (stages, out, spaces, ...)",
            )
        self.bits = bits
        self.stages, spaces, self.centroids, self.length = codebooks.shape
        self.shape = checked_shape((codes.shape[1], spaces * self.length, *codes.shape[3:]))
        book, symbols = self.specs(self.shape, self.params())
        with np.errstate(over="ignore"):
            self.codebooks = frozen(codebooks, book.dtype, book.shape)
        if not np.isfinite(self.codebooks).all():
            raise FormatError("a centroid is not finite", expected=f"finite numbers of {bits} bits")
        if codes.min() < 0 or codes.max() >= self.centroids:
            raise FormatError(
                "code is out of range", found=f"{codes.min()} .. {codes.max()}", expected=f"0 .. {self.centroids - 1}"
            )
        self.codes = frozen(codes.reshape(symbols.shape), symbols.dtype, symbols.shape)

    def dense(self) -> np.ndarray:
        out, places = self.shape[0], self.shape[2:]
        spaces = self.shape[1] // self.length
        codes = self.codes.reshape(self.stages, out, spaces, -1)
        which = np.arange(spaces)[:, None]
        values = np.zeros((out, spaces, codes.shape[-1], self.length), np.float32)
        for stage, book in enumerate(self.codebooks.astype(np.float32)):
            found = book[which, codes[stage]]
            values = found if stage == 0 else values + found
        return np.ascontiguousarray(values.swapaxes(2, 3)).reshape(out, self.shape[1], *places)

    def params(self) -> dict[str, int]:
        return {"bits": self.bits, "length": self.length, "centroids": self.centroids, "stages": self.stages}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"codebooks": self.codebooks, "codes": self.codes}

    @classmethod
    def specs(cls, shape: tuple[int, ...], params: Mapping[str, int]) -> tuple[StreamSpec, ...]:
        bits, length, k, stages = checked_params(cls.kind, params, cls.param_names)
        shape = checked_shape(shape)
        if len(shape) < 2:
            raise FormatError("product codes need a weight of two axes or more", found=shape)
        if not 1 <= length <= shape[1] or shape[1] % length:
            raise FormatError("sub-vector does not divide the inputs", found=length, expected=f"divisor of {shape[1]}")
        if not 1 <= k <= MAX_CENTROIDS:
            raise FormatError("sub-space has too many centroids or none", found=k, expected=f"1 to {MAX_CENTROIDS}")
        if not 1 <= stages <= MAX_STAGES:
            raise FormatError("too many residual stages or none", found=stages, expected=f"1 to {MAX_STAGES}")
        spaces = shape[1] // length
        if stages * k * shape[1] > MAX_ELEMENTS:
            raise FormatError("codebooks are too large", found=stages * k * shape[1], expected=f"{MAX_ELEMENTS}")
        return (
            StreamSpec("codebooks", (stages, spaces, k, length), 0, float_dtype(cls.kind, bits)),
            StreamSpec("codes", (stages * shape[0], spaces, *shape[2:]), k, symbol_dtype(k)),
        )

    @classmethod
    def from_arrays(
        cls, shape: tuple[int, ...], params: Mapping[str, int], arrays: Mapping[str, np.ndarray]
    ) -> Product:
        book, symbols = cls.specs(shape, params)
        codebooks, codes = np.asarray(arrays["codebooks"]), np.asarray(arrays["codes"])
        if codebooks.shape != book.shape or codes.shape != symbols.shape:
            raise FormatError("array has the wrong shape", found=(codebooks.shape, codes.shape))
        codes = codes.reshape(params["stages"], shape[0], *symbols.shape[1:])
        return cls(codebooks, codes, params["bits"])
