"""Parquet files in the layout of the Hugging Face hub: a column of encoded images and one of labels."""

from __future__ import annotations

import json
from glob import glob
from pathlib import Path
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
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise ParingError("Parquet files need pyarrow", fix="Install it with: pip install 'paring[data]'") from None
    pattern = str(Path(where).expanduser())
    if Path(pattern).is_dir():
        pattern = str(Path(pattern) / "**" / "*.parquet")
    paths = sorted(Path(path) for path in glob(pattern, recursive=True))
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


def _split_of(path: Path) -> str | None:
    words = path.stem.lower().replace("_", "-").replace(".", "-").split("-")
    for split, names in _SPLIT_WORDS.items():
        if any(name in words for name in names) or path.parent.name.lower() in names:
            return split
    return None


class _Table:
    """One file: where its columns are, and its labels."""

    def __init__(self, path: Path, parquet: Any) -> None:
        self.path = path
        try:
            self.file = parquet.ParquetFile(path)
            schema = self.file.schema_arrow
            self.image = _column(path, schema.names, IMAGE_COLUMNS)
            label = _column(path, schema.names, LABEL_COLUMNS)
            column = self.file.read(columns=[label]).column(label)
        except (OSError, ValueError, NotImplementedError) as error:  # pyarrow's own errors derive from these
            raise DataError("Parquet file is damaged", where=path, found=str(error).splitlines()[0]) from None
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
        except (OSError, ValueError, NotImplementedError) as error:
            raise DataError("Parquet file is damaged", where=self.path, found=str(error).splitlines()[0]) from None
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
        return found

    blocks = np.concatenate([start + table.groups[:-1] for start, table in zip(starts, tables, strict=False)])
    return Source(labels, classes, place, fetch, whole=whole, blocks=blocks)


def _column(path: Path, names: list[str], wanted: tuple[str, ...]) -> str:
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


def _arrow_index(rows: np.ndarray) -> Any:
    import pyarrow

    return pyarrow.array(rows)
