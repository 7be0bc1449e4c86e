"""Points of a sensitivity analysis on disk: JSON lines, one a point, each on the disk before the next is computed.

The first line says of which network, data and version the points are; every other one is a point. A file may be killed
anywhere: a last line without its end is cut off when the file is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paring.errors import CheckpointError, OutputError

#: Version of what the lines mean; raised when it changes.
VERSION = 1
_NAMES = {"network": "network", "data": "data set", "paring": "version of Paring", "version": "format"}


class PointsFile:
    """An append-only file of points.

    Args:
        path: made if missing.
        identity: what all points depend on, JSON values; a file of another is refused.

    Attributes:
        points: those found, in the file's order.

    Raises:
        CheckpointError: if the file is damaged before its last line, or of another network or data set.
        OutputError: if it cannot be read or written.
    """

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        self.path = Path(path)
        header = {"paring_sensitivity": {"version": VERSION, **identity}}
        with self._writing():
            data = self.path.read_bytes() if self.path.exists() else b""
        self.points: list[dict[str, Any]] = []
        whole = data.rfind(b"\n") + 1
        lines = data[:whole].splitlines()
        if not lines and not _line(header).startswith(data):
            raise CheckpointError("is no file of sensitivities", where=self.path, fix="Name another file")
        for number, line in enumerate(lines):
            self._read(line, number, header["paring_sensitivity"])
        with self._writing():
            if whole < len(data):
                os.truncate(self.path, whole)
        if not lines:
            self._append(header)

    def add(self, point: Mapping[str, Any]) -> None:
        """Append a point; it is on the disk when this returns.

        Raises:
            OutputError: if it cannot be written.
        """
        self._append(point)

    def _append(self, value: Mapping[str, Any]) -> None:
        with self._writing(), open(self.path, "ab") as file:
            file.write(_line(value))
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError("sensitivities cannot be kept", where=self.path, found=error.strerror) from error

    def _read(self, line: bytes, number: int, header: Mapping[str, Any]) -> None:
        try:
            value = json.loads(line)
            found = value["paring_sensitivity"] if number == 0 else None
            if not isinstance(value if found is None else found, dict):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            what = "is no file of sensitivities" if number == 0 else f"line {number + 1} is damaged"
            raise CheckpointError(what, where=self.path, fix="Delete it or name another file") from None
        if found is None:
            self.points.append(value)
            return
        for key, name in _NAMES.items():
            if found.get(key) != header[key]:
                raise CheckpointError(
                    f"holds sensitivities of another {name}",
                    where=self.path,
                    found=_short(found.get(key)),
                    expected=_short(header[key]),
                    fix="Name another file, or delete it",
                )


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode() + b"\n"


def _short(value: object) -> str:
    return f"{str(value)[:12]}..." if len(str(value)) > 12 else str(value)
