"""Data sets by their name on the Hugging Face hub, or anything else `datasets.load_dataset` takes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from paring.data._dataset import MissingSplit, Source
from paring.data._parquet import IMAGE_COLUMNS
from paring.errors import DataError, ParingError

_SPLITS = {"train": ("train",), "test": ("test", "validation", "val", "valid")}


def read_hub(where: str, split: str) -> Source:
    """``hub:NAME`` or ``hub:NAME:CONFIGURATION``: loaded (and cached) by the `datasets` library; NAME may be a local
    folder. The first column of images (or one called so, of bytes) and the first column of classes are used; ``test``
    falls back to the validation split.
    """
    try:
        import datasets
    except ImportError:
        raise ParingError(
            "hub: needs the datasets library", fix="Install it with: pip install 'paring[data]'"
        ) from None
    name, _, configuration = where.partition(":")
    if not name:
        raise DataError("hub: lacks a name", expected="hub:OWNER/NAME")
    # Its retries are warnings, one a second or so, and the error says the same.
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        loaded = datasets.load_dataset(name, configuration or None)
    except Exception as error:  # the library raises its own, requests' and OS errors alike
        raise DataError(
            "data set could not be loaded",
            where=f"hub:{where}",
            found=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
            fix="Check the name and the connection, or use parquet:GLOB for files on disk",
        ) from None
    finally:
        logger.setLevel(level)
    return from_splits(dict(loaded), split, f"hub:{where}")


def from_splits(splits: dict[str, Any], split: str, name: str) -> Source:
    """The source of one split of a `datasets.DatasetDict`.

    Args:
        splits: split name to `datasets.Dataset`.
        split: ``train``, ``test`` or ``all``.
        name: for errors.
    """
    chosen = {part: next((n for n in names if n in splits), None) for part, names in _SPLITS.items()}
    whole = len(splits) == 1 and chosen["test"] is None
    named = [n for part, n in chosen.items() if n is not None and split in (part, "all")]
    wanted = list(splits) if whole else named
    if not wanted:
        raise MissingSplit(f"data set has no {split} split", where=name, found=", ".join(splits))
    parts = [_Part(splits[n], f"{name}, {n}") for n in wanted]
    if any(part.classes != parts[0].classes for part in parts):
        raise DataError("splits disagree about the class names", where=name)
    starts = np.cumsum([0, *(len(part.labels) for part in parts)])

    def place(number: int) -> str:
        which = int(np.searchsorted(starts, number, "right")) - 1
        return f"{parts[which].name}, row {number - starts[which]}"

    def fetch(numbers: np.ndarray) -> list[bytes | Path]:
        found: list[bytes | Path] = []
        for part, start, stop in zip(parts, starts, starts[1:], strict=False):
            found += part.images(numbers[(numbers >= start) & (numbers < stop)] - start)
        return found

    return Source(np.concatenate([part.labels for part in parts]), parts[0].classes, place, fetch, whole=whole)


class _Part:
    """One `datasets.Dataset`, its image column left encoded."""

    def __init__(self, table: Any, name: str) -> None:
        from datasets import ClassLabel, Image, Value

        self.name = name
        features = table.features
        images = [column for column, feature in features.items() if isinstance(feature, Image)]
        images += [column for column in IMAGE_COLUMNS if column in features]  # plain bytes: their type says nothing
        labels = [column for column, feature in features.items() if isinstance(feature, ClassLabel)]
        labels += [
            column
            for column, feature in features.items()
            if isinstance(feature, Value) and feature.dtype.startswith(("int", "uint"))
        ]
        if not images or not labels:
            raise DataError("no image column or no class column", where=name, found=", ".join(features))
        self.column = images[0]
        self.table = table.select_columns([self.column]).cast_column(self.column, Image(decode=False))
        values = table.select_columns([labels[0]])[:][labels[0]]
        if any(value is None for value in values):
            raise DataError("label is missing", where=name)
        self.labels = np.array(values, np.int64).reshape(-1)
        names = getattr(features[labels[0]], "names", None)
        self.classes = tuple(names or map(str, range(int(self.labels.max(initial=0)) + 1)))

    def images(self, rows: np.ndarray) -> list[bytes | Path]:
        """The encoded images of these rows."""
        found: list[bytes | Path] = []
        for row, value in zip(rows, self.table[rows][self.column] if len(rows) else [], strict=True):
            if value is None or not (value.get("bytes") or value.get("path")):
                raise DataError("row holds no image", where=f"{self.name}, row {row}")
            found.append(value["bytes"] or Path(value["path"]))
        return found
