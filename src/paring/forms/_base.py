"""What every form has in common: a shape, an exact dense value, and symbol streams that a coder can take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from paring.errors import FormatError

#: Largest number of elements one weight tensor may have; refused before memory is asked for.
MAX_ELEMENTS = 1 << 31
#: Largest number of axes of a weight tensor.
MAX_RANK = 8

_FLOAT_DTYPES: dict[int, np.dtype] = {32: np.dtype(np.float32), 16: np.dtype(np.float16)}


@dataclass(frozen=True)
class StreamSpec:
    """What a stream of a form looks like, known before a single byte of it is decoded.

    Attributes:
        name: the stream's name within its form.
        shape: the array's shape; an indices stream has the weight's own shape, so that a coder can use neighbors.
        alphabet: symbols are integers in ``[0, alphabet)``; 0 marks a stream of floating-point numbers.
        dtype: array type; ``uint8`` / ``uint16`` / ``uint32`` for symbols, ``float32`` or ``float16`` for numbers.
    """

    name: str
    shape: tuple[int, ...]
    alphabet: int
    dtype: np.dtype

    @property
    def count(self) -> int:
        """Number of values in the stream."""
        return prod(self.shape)


@dataclass(frozen=True)
class Stream:
    """One array of a form with the :class:`StreamSpec` it obeys."""

    spec: StreamSpec
    values: np.ndarray


def symbol_dtype(alphabet: int) -> np.dtype:
    """The smallest unsigned type that holds symbols ``0 .. alphabet - 1``."""
    for dtype in (np.uint8, np.uint16, np.uint32):
        if alphabet - 1 <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    raise FormatError("alphabet is too large", found=alphabet, expected="at most 2**32 symbols")


class Form(ABC):
    """How one weight tensor is kept.

    A form is immutable. ``kind`` is its name in the file and in tables; ``shape`` is the weight's shape in the
    field's usual layout: ``(out, in / groups, kh, kw)`` for a convolution, ``(out, in)`` for a fully connected layer.
    """

    kind: ClassVar[str]
    #: Names of the parameters, in the order in which a file lists them.
    param_names: ClassVar[tuple[str, ...]]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of weights."""
        return prod(self.shape)

    @property
    def nonzeros(self) -> int:
        """Number of weights that are not zero."""
        return int(np.count_nonzero(self.dense()))

    @abstractmethod
    def dense(self) -> np.ndarray:
        """The exact value: a new C-contiguous float32 array of ``shape``."""

    @abstractmethod
    def params(self) -> dict[str, int]:
        """The small non-negative integers that, with the shape, fix every stream's length."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """The streams' arrays by name, in the order of :meth:`specs`."""

    @classmethod
    @abstractmethod
    def specs(cls, shape: tuple[int, ...], params: Mapping[str, int]) -> tuple[StreamSpec, ...]:
        """What the streams of a form of this shape look like.

        Raises:
            FormatError: if ``params`` are not the kind's own or cannot be (more non-zeros than weights).
        """

    @classmethod
    @abstractmethod
    def from_arrays(cls, shape: tuple[int, ...], params: Mapping[str, int], arrays: Mapping[str, np.ndarray]) -> Form:
        """The inverse of :meth:`params` and :meth:`arrays`.

        Raises:
            FormatError: if an array breaks a rule of the form.
        """

    def streams(self) -> tuple[Stream, ...]:
        """The streams with their specs, ready for a coder."""
        arrays = self.arrays()
        return tuple(Stream(spec, arrays[spec.name]) for spec in self.specs(self.shape, self.params()))

    def equals(self, other: Form) -> bool:
        """Bit-for-bit equality of kind, shape, parameters and arrays (NaN equals the same NaN)."""
        if type(self) is not type(other) or self.shape != other.shape or self.params() != other.params():
            return False
        mine, theirs = self.arrays(), other.arrays()
        return all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "scalar"
        return f"{type(self).__name__}({shape}, {', '.join(f'{k}={v}' for k, v in self.params().items())})"


def float_dtype(kind: str, bits: int) -> np.dtype:
    """The IEEE type of this width.

    Raises:
        FormatError: if there is none among those a form may use (32 and 16 bits).
    """
    if bits not in _FLOAT_DTYPES:
        raise FormatError(f"form {kind!r} has an unknown number width", found=f"{bits} bits", expected="32 or 16")
    return _FLOAT_DTYPES[bits]


def checked_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` as a tuple of ints.

    Raises:
        FormatError: on a negative or zero axis, too many axes or too many elements.
    """
    shape = tuple(int(axis) for axis in shape)
    if len(shape) > MAX_RANK:
        raise FormatError("weight has too many axes", found=len(shape), expected=f"at most {MAX_RANK}")
    if any(axis < 1 for axis in shape):
        raise FormatError("weight has an empty axis", found=shape, expected="every axis at least 1")
    if prod(shape) > MAX_ELEMENTS:
        raise FormatError("weight is too large", found=f"{prod(shape)} elements", expected=f"at most {MAX_ELEMENTS}")
    return shape


def checked_params(kind: str, params: Mapping[str, int], names: tuple[str, ...]) -> tuple[int, ...]:
    """The values of ``names`` in ``params``, which must hold exactly these.

    Raises:
        FormatError: if a name is missing or unknown.
    """
    if set(params) != set(names):
        raise FormatError(f"form {kind!r} has the wrong parameters", found=sorted(params), expected=sorted(names))
    return tuple(int(params[name]) for name in names)


def frozen(array: np.ndarray, dtype: np.dtype | type, shape: tuple[int, ...]) -> np.ndarray:
    """A read-only C-contiguous copy of ``array`` with this type and shape.

    Raises:
        FormatError: if the shape differs.
    """
    array = np.array(array, dtype=dtype, order="C", copy=True)
    if array.shape != tuple(shape):
        raise FormatError("array has the wrong shape", found=array.shape, expected=tuple(shape))
    array.flags.writeable = False
    return array
