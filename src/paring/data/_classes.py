"""Data with a part of a network's classes: labels that mean the network's."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from paring.data._dataset import Dataset
from paring.data._listing import Listing
from paring.errors import DataError

Labeled = TypeVar("Labeled", Dataset, Listing)


def numbered(classes: tuple[str, ...]) -> bool:
    """Whether classes have numbers for names, as where only labels are known and the largest tells how many."""
    return classes == tuple(map(str, range(len(classes))))


def aligned(data: Labeled, names: tuple[str, ...], told: bool = False) -> Labeled:
    """The same pictures with labels that are indices into ``names``.

    Args:
        data: the set; its classes are some of ``names``, or numbers.
        names: of all classes, in the network's order.
        told: the user said that these are the names: they also stand for numbers.

    Raises:
        DataError: if a class is not among the names.
    """
    if data.classes == names:
        return data
    if not data.classes:  # no labels
        return replace(data, classes=names)
    places = {name: place for place, name in enumerate(names)}
    unknown = [name for name in data.classes if name not in places]
    if unknown and told and numbered(data.classes) and len(data.classes) <= len(names):
        return replace(data, classes=names)
    if unknown:
        raise DataError(
            "data has other classes than the network",
            where=data.name,
            found=f"{len(data.classes)} classes ({', '.join(data.classes[:5])}, ...), {len(unknown)} unknown "
            f"({', '.join(unknown[:5])})",
            expected=f"some of {len(names)} classes ({', '.join(names[:5])}, ...)",
            fix="Give the network's names in its order (--classes FILE)",
        )
    table = np.array([places[name] for name in data.classes], np.int64)
    return replace(data, labels=table[data.labels], classes=names)
