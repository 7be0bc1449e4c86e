"""Adaptive binary arithmetic coding with context mixing.

Every value becomes binary decisions: is it zero, its sign, its magnitude from zero outward. For each decision several
counters, chosen by what the weight's surroundings say, give a probability; a small gated network of weights mixes them
in the logistic domain (Mattern 2012; Mahoney's PAQ is where the idea comes from) and a binary arithmetic coder spends
``-log2 p`` bits. All arithmetic is on integers, so every machine writes and reads the same bytes.
``docs/reference/format.md`` specifies it to the bit.

One :class:`Encoder` codes any number of arrays into one code and keeps what it has learned from one to the next, which
is what makes networks of small layers small; :func:`encode` and :func:`decode` are the one-array case.
"""

from __future__ import annotations

from math import prod

import numpy as np

from paring.coding import reference
from paring.coding._native import CodeError, native
from paring.errors import FormatError
from paring.forms import symbol_dtype

#: Largest alphabet.
MAX_ALPHABET = 1 << 16
_BITS = {np.dtype(np.float32): np.uint32, np.dtype(np.float16): np.uint16}


def encode(values: np.ndarray, alphabet: int, negatives: int | None = None) -> bytes:
    """Code one array of symbols.

    Args:
        values: integers in ``0 .. alphabet - 1``, of the weight's shape: ``(out, in)``, ``(out, in / groups, kh, kw)``.
            Symbol 0 is zero; symbols from 1 on stand in ascending order of value.
        alphabet: number of symbols.
        negatives: how many of the symbols from 1 on are negative; half of them (rounded down) if not given.

    Raises:
        FormatError: if a symbol is out of range.
    """
    encoder = Encoder()
    encoder.symbols(values, alphabet, negatives)
    return encoder.finish()


def decode(data: bytes, shape: tuple[int, ...], alphabet: int, negatives: int | None = None) -> np.ndarray:
    """The array that :func:`encode` was given, in the smallest unsigned type that holds the alphabet.

    Raises:
        FormatError: if ``data`` is not exactly one code of such an array.
    """
    decoder = Decoder(data)
    values = decoder.symbols(shape, alphabet, negatives)
    decoder.finish()
    return values


class Encoder:
    """Codes arrays into one code; what one array taught serves the next."""

    def __init__(self) -> None:
        self._coder = (native or reference).Encoder()

    @property
    def position(self) -> int:
        """Bytes that are settled so far; the rest of what was coded is at most a few bytes."""
        return self._coder.position

    def symbols(self, values: np.ndarray, alphabet: int, negatives: int | None = None) -> None:
        """Code an array of symbols; arguments as in :func:`encode`."""
        values = np.asarray(values)
        if values.size and (values.min() < 0 or values.max() >= alphabet):
            raise FormatError("symbol is out of range", found=int(values.max()), expected=f"0 .. {alphabet - 1}")
        values = np.ascontiguousarray(values, symbol_dtype(alphabet))
        self._coder.symbols(values, *_axes(values.shape), alphabet, _negatives(alphabet, negatives))

    def numbers(self, values: np.ndarray) -> None:
        """Code a float32 or float16 array, bit for bit."""
        values = np.ascontiguousarray(values)
        self._coder.numbers(values.ravel().view(_BITS[values.dtype]))

    def teach(self, data: bytes) -> None:
        """Let :meth:`text` learn from bytes that the decoder has too; they are not coded."""
        self._coder.teach(np.frombuffer(data, np.uint8))

    def text(self, data: bytes) -> None:
        """Code a byte string."""
        self._coder.text(np.frombuffer(data, np.uint8))

    def finish(self) -> bytes:
        """End the code. The encoder must not be used afterwards."""
        return self._coder.finish()


class Decoder:
    """Reads back what an :class:`Encoder` coded, with the same calls in the same order.

    Raises:
        FormatError: (every method) if the code runs out or cannot be.
    """

    def __init__(self, data: bytes) -> None:
        self._coder = (native or reference).Decoder(bytes(data))

    @property
    def position(self) -> int:
        """Bytes consumed; equals the encoder's ``position`` at the same point."""
        return self._coder.position

    def symbols(self, shape: tuple[int, ...], alphabet: int, negatives: int | None = None) -> np.ndarray:
        """An array of symbols."""
        values = np.zeros(shape, symbol_dtype(alphabet))
        _checked(self._coder.symbols, values, *_axes(shape), alphabet, _negatives(alphabet, negatives))
        return values

    def numbers(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        """A float32 or float16 array."""
        bits = np.zeros(prod(shape), _BITS[np.dtype(dtype)])
        _checked(self._coder.numbers, bits)
        return bits.view(dtype).reshape(shape)

    def teach(self, data: bytes) -> None:
        """As :meth:`Encoder.teach`."""
        self._coder.teach(np.frombuffer(data, np.uint8))

    def text(self, length: int) -> bytes:
        """A byte string."""
        values = np.zeros(length, np.uint8)
        _checked(self._coder.text, values)
        return values.tobytes()

    def finish(self) -> None:
        """Check that the code ends here, to the byte."""
        _checked(self._coder.finish)


def _checked(call, *args):
    try:
        return call(*args)
    except CodeError as error:
        raise FormatError(f"adaptive code is damaged: {error}") from None


def _axes(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(filters, channels, positions of the kernel, width of the kernel)."""
    if len(shape) <= 1:
        return 1, prod(shape), 1, 1
    positions = prod(shape[2:])
    return shape[0], shape[1], positions, (shape[-1] if len(shape) > 3 else positions)


def _negatives(alphabet: int, negatives: int | None) -> int:
    negatives = (alphabet - 1) // 2 if negatives is None else negatives
    if not (1 <= alphabet <= MAX_ALPHABET and 0 <= negatives < alphabet):
        what = f"{alphabet} symbols, {negatives} of them negative"
        raise FormatError("invalid alphabet", found=what, expected=f"1 .. {MAX_ALPHABET} symbols, fewer negative")
    return negatives
