"""IDX, the format of MNIST: a big-endian header of magic, counts and sizes, then bytes."""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from paring.data._dataset import MAX_BYTES
from paring.errors import DataError

_CHUNK = 1 << 20
_UNSIGNED_BYTES = 0x08


def read_idx(path: str | Path, axes: int) -> np.ndarray:
    """The array in an IDX file of unsigned bytes, gzipped or not (told by content, not by name).

    No length in the header is believed before the bytes are there: memory grows with what is read.

    Args:
        path: the file.
        axes: number of axes wanted: 1 for labels, 3 for gray images ``(N, H, W)``.

    Returns:
        uint8 array.

    Raises:
        DataError: naming the file, if it is missing, cut, damaged, longer than its header says, larger than
            8 GiB or holds something else.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if zipped:
                with gzip.GzipFile(fileobj=file) as unzipped:
                    return _read(cast(BinaryIO, unzipped), path, axes)
            return _read(file, path, axes)
    except FileNotFoundError:
        raise DataError("IDX file does not exist", where=path) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "gzip data are damaged or cut", where=path, found=str(error), fix="Download the file again"
        ) from None
    except OSError as error:
        raise DataError("IDX file cannot be read", where=path, found=error.strerror) from None


def _read(file: BinaryIO, path: Path, axes: int) -> np.ndarray:
    header = file.read(4 + 4 * axes)
    wanted = bytes([0, 0, _UNSIGNED_BYTES, axes])
    if header[:4] != wanted:
        raise DataError(
            "not an IDX file of unsigned bytes with the right number of axes",
            where=path,
            found=f"magic {header[:4].hex() or 'of an empty file'}",
            expected=wanted.hex(),
        )
    if len(header) < 4 + 4 * axes:
        raise DataError("IDX file is cut within its header", where=path, found=f"{len(header)} bytes")
    shape = struct.unpack(f">{axes}I", header[4:])
    size = prod(shape)
    if 0 in shape:
        raise DataError("IDX file is empty", where=path, found=f"shape {shape}")
    if size > MAX_BYTES:
        raise DataError("IDX file says it is too large", where=path, found=f"shape {shape}", expected="up to 8 GiB")
    data = bytearray()
    while len(data) <= size and (chunk := file.read(min(_CHUNK, size + 1 - len(data)))):
        data += chunk
    if len(data) != size:
        long = len(data) > size
        raise DataError(
            f"IDX file is {'longer than its header says' if long else 'cut'}",
            where=path,
            found=f"{'more than ' if long else ''}{size if long else len(data)} bytes after the header",
            expected=f"{size} for shape {shape}",
            fix="Download the file again",
        )
    return np.frombuffer(data, np.uint8).reshape(shape)
