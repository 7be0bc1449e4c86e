"""Parquet files in the layout of the Hugging Face hub: a column of encoded images and one of labels."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from paring.data._dataset import MissingSplit, Source
from paring.errors import DataError, ParingError

IMAGE_COLUMNS = ("image", "img", "png", "jpg")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "cls")
_SPLIT_WORDS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}


def read_parquet(where: str, split: str) -> Source:
    """``parquet:GLOB``: files with a column ``image`` (``{bytes, path}`` or bytes) and a column ``label`` (integers),
    class names in the Hugging Face metadata. Files whose names begin with or contain train, test, val or validation
    as a word belong to that split; files of one split only, or of no named split, are split by the held-out rule.

    GLOB may be the address of an object store or of the hub, ``s3://...``, ``hf://datasets/...``, whatever fsspec
    knows: labels are read at once, images a row group at a time when they are needed, nothing is kept on disk.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise ParingError("Parquet files need pyarrow", fix="Install it with: pip install 'paring[data]'") from None
    paths = _remote(where) if "://" in where else _local(where)
    if not paths:
        raise DataError(
            "no file matches", where=f"parquet:{where}", fix="Quote the pattern: --data 'parquet:d/*.parquet'"
        )
    named = {word: [path for path in paths if _split_of(path) == word] for word in ("train", "test")}
    unnamed = [path for path in paths if _split_of(path) is None]
    if unnamed and len(unnamed) < len(paths):
        raise DataError("some files name their split, some do not", where=unnamed[0], expected="train or test in each")
    whole = bool(unnamed)
    wanted = paths if whole or split == "all" else named[split]
    if not wanted:
        raise MissingSplit(f"no file of the {split} split", where=f"parquet:{where}", found=f"{len(paths)} other files")
    return _source([_Table(path, parquet) for path in wanted], whole)


def _local(where: str) -> list[Path | Remote]:
    pattern = str(Path(where).expanduser())
    if Path(pattern).is_dir():
        pattern = str(Path(pattern) / "**" / "*.parquet")
    return sorted(Path(path) for path in glob(pattern, recursive=True))  # type: ignore[return-value]


@dataclass(frozen=True, order=True)
class Remote:
    """A file of a store that fsspec reaches."""

    path: PurePosixPath
    store: Any = field(compare=False)

    def __str__(self) -> str:
        return str(self.store.unstrip_protocol(str(self.path)))

    @property
    def stem(self) -> str:
        """The name without its last ending."""
        return self.path.stem

    @property
    def parent(self) -> PurePosixPath:
        """The folder."""
        return self.path.parent


def _remote(where: str) -> list[Path | Remote]:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ParingError("addresses need fsspec", fix="Install it with: pip install 'paring[data]'") from None
    try:
        store, pattern = url_to_fs(where)
        if store.isdir(pattern):
            pattern = f"{pattern.rstrip('/')}/**/*.parquet"
        return sorted(Remote(PurePosixPath(path), store) for path in store.glob(pattern))  # type: ignore[return-value]
    except Exception as error:  # each store raises errors of its own, and an unknown or missing one another
        raise DataError(
            "address cannot be read",
            where=f"parquet:{where}",
            found=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
            fix="Check address, connection and credentials, and that fsspec has this store's package",
        ) from None


def _split_of(path: Path | Remote) -> str | None:
    words = path.stem.lower().replace("_", "-").replace(".", "-").split("-")
    for split, names in _SPLIT_WORDS.items():
        if any(name in words for name in names) or path.parent.name.lower() in names:
            return split
    return None


def _errors(path: Path | Remote) -> tuple[type[Exception], ...]:
    """What reading a file can raise: pyarrow's errors derive from these three, but every store has its own."""
    return (Exception,) if isinstance(path, Remote) else (OSError, ValueError, NotImplementedError)


def _unreadable(path: Path | Remote, error: Exception) -> DataError:
    what = "Parquet file cannot be read" if isinstance(path, Remote) else "Parquet file is damaged"
    return DataError(what, where=path, found=(str(error).splitlines() or [type(error).__name__])[0])


class _Table:
    """One file: where its columns are, and its labels."""

    def __init__(self, path: Path | Remote, parquet: Any) -> None:
        self.path = path
        try:
            if isinstance(path, Remote):  # far away: what a row group needs is asked for in one go
                self.file = parquet.ParquetFile(path.store.open(str(path.path), "rb"), pre_buffer=True)
            else:
                self.file = parquet.ParquetFile(path)
            schema = self.file.schema_arrow
            self.image = _column(path, schema.names, IMAGE_COLUMNS)
            label = _column(path, schema.names, LABEL_COLUMNS)
            column = self.file.read(columns=[label]).column(label)
        except DataError:
            raise
        except _errors(path) as error:
            raise _unreadable(path, error) from None
        if column.null_count:
            raise DataError("label is missing", where=path, found=f"{column.null_count} rows without one")
        labels = column.to_numpy()
        if labels.dtype.kind not in "iu":
            raise DataError("labels are not integers", where=f"{path}, column {label}", found=column.type)
        self.labels = labels.astype(np.int64)
        counts = [self.file.metadata.row_group(group).num_rows for group in range(self.file.num_row_groups)]
        self.groups = np.cumsum([0, *counts])
        self.classes = _class_names(schema.metadata or {}, label)

    def images(self, rows: np.ndarray) -> list[bytes]:
        """The encoded images of these rows (ascending); reads the row groups they are in, a batch at a time."""
        found: list[bytes] = []
        try:
            for group, (start, stop) in enumerate(zip(self.groups, self.groups[1:], strict=False)):
                mine = rows[(rows >= start) & (rows < stop)]
                if len(mine):
                    found += self._group(group, int(start), mine)
        except DataError:
            raise
        except _errors(self.path) as error:
            raise _unreadable(self.path, error) from None
        return found

    def _group(self, group: int, start: int, rows: np.ndarray) -> list[bytes]:
        found: list[bytes] = []
        for batch in self.file.iter_batches(batch_size=1024, row_groups=[group], columns=[self.image]):
            mine = rows[(rows >= start) & (rows < start + len(batch))] - start
            values = batch.column(0).take(_arrow_index(mine)).to_pylist() if len(mine) else []
            for row, value in zip(mine, values, strict=True):
                found.append(self._bytes(value, start + int(row)))
            start += len(batch)
            if start > rows[-1]:
                break
        return found

    def _bytes(self, value: Any, row: int) -> bytes:
        if isinstance(value, dict):
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise DataError("row holds no image bytes", where=f"{self.path}, row {row}", found=type(value).__name__)
        return value


def _source(tables: list[_Table], whole: bool) -> Source:
    named = [table for table in tables if table.classes]
    if named and any(table.classes != named[0].classes for table in tables):
        raise DataError("files disagree about the class names", where=tables[0].path)
    labels = np.concatenate([table.labels for table in tables])
    classes = named[0].classes if named else tuple(map(str, range(int(labels.max(initial=0)) + 1)))
    starts = np.cumsum([0, *(len(table.labels) for table in tables)])

    def place(number: int) -> str:
        which = int(np.searchsorted(starts, number, "right")) - 1
        return f"{tables[which].path}, row {number - starts[which]}"

    def fetch(numbers: np.ndarray) -> list[bytes | Path]:
        found: list[bytes | Path] = []
        for table, start, stop in zip(tables, starts, starts[1:], strict=False):
            found += table.images(numbers[(numbers >= start) & (numbers < stop)] - start)
        _release()  # pyarrow keeps what a row group took; a stream would hold it beside its own buffers for ever
        return found

    blocks = np.concatenate([start + table.groups[:-1] for start, table in zip(starts, tables, strict=False)])
    return Source(labels, classes, place, fetch, whole=whole, blocks=blocks)


def _column(path: Path | Remote, names: list[str], wanted: tuple[str, ...]) -> str:
    for name in wanted:
        if name in names:
            return name
    raise DataError("column is missing", where=path, found=", ".join(names), expected=" or ".join(wanted))


def _class_names(metadata: dict[bytes, bytes], label: str) -> tuple[str, ...]:
    """Names in the Hugging Face metadata of an Arrow schema; empty if there are none."""
    try:
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][label]
        return tuple(str(name) for name in feature["names"])
    except (KeyError, TypeError, ValueError):
        return ()


def _release() -> None:
    import pyarrow

    pyarrow.default_memory_pool().release_unused()


def _arrow_index(rows: np.ndarray) -> Any:
    import pyarrow

    return pyarrow.array(rows)
