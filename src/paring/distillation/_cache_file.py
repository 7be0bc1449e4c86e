"""A safetensors file that is written row by row and can be taken up again after a kill.

safetensors itself writes a file at once from memory; a teacher's answers to a large set are computed over hours. The
layout is theirs (8 bytes of header length, a JSON header, the raw numbers), so that any reader of safetensors opens
the finished file; it is read here as a memory map, a batch's rows at a time.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from paring.errors import CheckpointError, OutputError

#: Key of the words in the header, and version of what they mean.
KEY, VERSION = "paring_logits", 1
#: Element types by safetensors' name.
DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
_TENSOR = "logits"
#: Headers are a few kilobytes; a longer one is no file of ours.
_LONGEST = 1 << 20
_DIGITS = 64


def _digest(file: BinaryIO) -> str:
    """SHA-256 of the rest of the file, hexadecimal; a megabyte at a time."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def header(shape: tuple[int, ...], dtype: str, words: dict[str, Any], digest: str = "") -> bytes:
    """Everything before the numbers. The digest's place is always as long, so that it can be filled in at the end."""
    size = math.prod(shape) * DTYPES[dtype].itemsize
    tensor = {"dtype": dtype, "shape": list(shape), "data_offsets": [0, size]}
    metadata = {KEY: json.dumps({"version": VERSION, **words}, sort_keys=True), "sha256": digest.ljust(_DIGITS, "-")}
    text = json.dumps({"__metadata__": metadata, _TENSOR: tensor}).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


class Writer:
    """Appends rows to ``FILE.partial``; the finished file takes ``FILE``'s place in one step.

    Args:
        path: the file.
        shape: of the whole array; its first axis counts rows.
        dtype: ``F16`` or ``F32``.
        words: what the numbers depend on, JSON values.

    Raises:
        OutputError: if it cannot be written.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str, words: dict[str, Any]) -> None:
        self.path, self.partial = path, path.with_name(path.name + ".partial")
        self.shape, self.dtype, self.words = shape, dtype, words
        self._row = math.prod(shape[1:]) * DTYPES[dtype].itemsize
        self._head = header(shape, dtype, words)

    def rows(self, whole: int) -> int:
        """Rows that a run before has left, a multiple of ``whole``; 0 if it was about something else."""
        try:
            with open(self.partial, "rb") as file:
                if file.read(len(self._head)) != self._head:
                    return 0
            found = (self.partial.stat().st_size - len(self._head)) // self._row
        except OSError:
            return 0
        return min(found, self.shape[0]) // whole * whole

    def open(self, rows: int) -> io.FileIO:
        """The partial file, cut after ``rows`` rows, to append to; unbuffered, so that a kill loses no whole batch."""
        try:
            if rows == 0:  # made anew, so that no link that lies there is followed
                self.partial.unlink(missing_ok=True)
                with open(self.partial, "xb") as made:
                    made.write(self._head)
            file = open(self.partial, "r+b", buffering=0)  # noqa: SIM115 - the caller closes it
            file.truncate(len(self._head) + rows * self._row)
            file.seek(0, os.SEEK_END)
        except OSError as error:
            raise OutputError("cannot write", where=self.partial, found=error.strerror) from error
        return file

    def append(self, file: io.FileIO, rows: np.ndarray) -> None:
        """Write rows of the file's type behind those that are there."""
        left = memoryview(rows.tobytes())
        try:
            while left:  # a disk that fills up takes a part
                left = left[file.write(left) :]
        except OSError as error:
            raise OutputError("cannot write", where=self.partial, found=error.strerror) from error

    def finish(self) -> None:
        """Put the digest in and the file in its place."""
        try:
            with open(self.partial, "r+b") as file:
                file.seek(len(self._head))
                digest = _digest(file)
                file.seek(0)
                file.write(header(self.shape, self.dtype, self.words, digest))
                file.flush()
                os.fsync(file.fileno())
            os.replace(self.partial, self.path)
        except OSError as error:
            raise OutputError("cannot write", where=self.path, found=error.strerror) from error


def read(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The numbers as a read-only memory map, and the words; every byte has been checked against the digest.

    Raises:
        CheckpointError: if the file is missing, damaged, not of this kind or of another version.
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _LONGEST:
                raise ValueError("its header is too long")
            parsed = json.loads(file.read(length))
            metadata, tensor = parsed["__metadata__"], parsed[_TENSOR]
            words = json.loads(metadata[KEY])
            if words.pop("version") != VERSION:
                raise ValueError("it is of another version")
            shape, dtype = tuple(map(int, tensor["shape"])), DTYPES[tensor["dtype"]]
            if len(shape) != 3 or min(shape) < 1:
                raise ValueError(f"its shape is {shape}")
            if path.stat().st_size != 8 + length + math.prod(shape) * dtype.itemsize:
                raise ValueError("its length is not what the header says")
            if _digest(file) != metadata["sha256"]:
                raise ValueError("its bytes have changed since it was written")
        return np.memmap(path, dtype, "r", 8 + length, shape), words
    except OSError as error:
        raise CheckpointError("cannot read cached logits", where=path, found=error.strerror) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found = error if isinstance(error, ValueError) else "a header that says something else"
        raise CheckpointError(
            "not a whole file of cached logits", where=path, found=found, fix="Delete it, it is computed anew"
        ) from None
