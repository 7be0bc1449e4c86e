"""The weights' values: which coder takes which stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import prod

import numpy as np

from paring.coding import adaptive, relative
from paring.container._network import Declaration
from paring.errors import FormatError
from paring.forms import Form, StreamSpec

#: Symbols after which a section is closed, so that large networks can be decoded by several threads.
SECTION_SYMBOLS = 1 << 22
#: What a reader may be asked to hold: so many bytes of arrays, and so many more for each byte of file.
DECODED_FLOOR = 64 << 20
DECODED_PER_BYTE = 256


def sections_of(forms: Sequence[Form]) -> list[list[Form]]:
    """Consecutive weights that share a section."""
    groups: list[list[Form]] = []
    symbols = 0
    for form in forms:
        if not groups or symbols >= SECTION_SYMBOLS:
            groups.append([])
            symbols = 0
        groups[-1].append(form)
        symbols += sum(stream.spec.count for stream in form.streams())
    return groups


def check_decoded_size(declarations: Sequence[Declaration], file_size: int, where: str) -> None:
    """Refuse, before any memory is asked for, what would decode to more than the cap.

    Raises:
        FormatError: if the arrays of all weights together, each weight counting at least a byte, exceed 64 MiB + 256
            bytes per byte of file.
    """
    cap = DECODED_FLOOR + DECODED_PER_BYTE * file_size
    total = 0
    for name, kind, shape, params in declarations:
        streams = sum(spec.count * spec.dtype.itemsize for spec in kind.specs(shape, params))
        total += max(streams, prod(shape))  # a form may stand for many more weights than it stores
        if total > cap:
            raise FormatError(
                f"weights up to {name!r} would decode to too much", where=where, found=f"{total} bytes", expected=cap
            )


def encode_adaptive(forms: Sequence[Form]) -> tuple[bytes, list[int]]:
    """One code of these weights, and how many of its bytes are each weight's."""
    encoder = adaptive.Encoder()
    ends = []
    for form in forms:
        arrays = form.arrays()
        for stream in form.streams():
            if stream.spec.alphabet:
                encoder.symbols(stream.values, stream.spec.alphabet, _negatives(stream.spec, arrays))
            else:
                encoder.numbers(stream.values)
        ends.append(encoder.position)
    data = encoder.finish()
    return data, shares(ends, len(data))


def decode_adaptive(data: bytes, declarations: Sequence[Declaration]) -> tuple[list[Form], list[int]]:
    """The weights of :func:`encode_adaptive`.

    Raises:
        FormatError: if ``data`` is not exactly one code of such weights.
    """
    decoder = adaptive.Decoder(data)
    forms, ends = [], []
    for name, kind, shape, params in declarations:
        with _naming(name):
            arrays: dict[str, np.ndarray] = {}
            for spec in kind.specs(shape, params):
                if spec.alphabet:
                    arrays[spec.name] = decoder.symbols(spec.shape, spec.alphabet, _negatives(spec, arrays))
                else:
                    arrays[spec.name] = decoder.numbers(spec.shape, spec.dtype)
            forms.append(kind.from_arrays(shape, params, arrays))
        ends.append(decoder.position)
    decoder.finish()
    return forms, shares(ends, len(data))


def encode_huffman(forms: Sequence[Form]) -> tuple[bytes, list[int]]:
    """These weights in Deep Compression's coding, symbols as :mod:`paring.coding.relative`, numbers as they are."""
    parts = []
    for form in forms:
        part = b""
        for stream in form.streams():
            if stream.spec.alphabet:
                part += relative.encode(stream.values, stream.spec.alphabet)
            else:
                part += stream.values.astype(stream.spec.dtype.newbyteorder("<")).tobytes()
        parts.append(part)
    return b"".join(parts), [len(part) for part in parts]


def decode_huffman(data: bytes, declarations: Sequence[Declaration]) -> tuple[list[Form], list[int]]:
    """The weights of :func:`encode_huffman`.

    Raises:
        FormatError: if ``data`` is not exactly one code of such weights.
    """
    forms, sizes, at = [], [], 0
    for name, kind, shape, params in declarations:
        start = at
        with _naming(name):
            arrays: dict[str, np.ndarray] = {}
            for spec in kind.specs(shape, params):
                if spec.alphabet:
                    arrays[spec.name], at = relative.decode_from(data, at, spec.shape, spec.alphabet)
                    continue
                end = at + spec.count * spec.dtype.itemsize
                if end > len(data):
                    raise FormatError("numbers run out", found=len(data) - at, expected=end - at)
                numbers = np.frombuffer(data[at:end], spec.dtype.newbyteorder("<"))
                arrays[spec.name] = numbers.astype(spec.dtype).reshape(spec.shape)
                at = end
            forms.append(kind.from_arrays(shape, params, arrays))
        sizes.append(at - start)
    if at != len(data):
        raise FormatError("bytes are left over", found=len(data) - at)
    return forms, sizes


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Errors inside say which weight they are about."""
    try:
        yield
    except FormatError as error:
        raise FormatError(f"weight {name!r}: {error.what}", found=error.found, expected=error.expected) from None


def shares(ends: Sequence[int], total: int) -> list[int]:
    """Bytes between the ends of consecutive weights; the last takes the end of the code too."""
    bounds = [0, *ends[:-1], total]
    return [stop - start for start, stop in pairwise(bounds)]


def _negatives(spec: StreamSpec, arrays: Mapping[str, np.ndarray]) -> int | None:
    """How many symbols stand for negative values, where a codebook decoded before tells."""
    centroids = arrays.get("centroids")
    if centroids is None or len(centroids) != spec.alphabet - 1:
        return 0 if spec.alphabet == 2 else None
    with np.errstate(invalid="ignore"):
        return int(np.count_nonzero(centroids < 0))
