"""Where the bytes of a file are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Some bytes of a file and what they hold.

    Attributes:
        section: ``frame``, ``network`` or ``weights``.
        name: what part of the section; the weight's name for weights.
        size: bytes.
        form: the weight's form, with its parameters; empty for other rows.
        shape: the weight's shape.
        weights: number of weights, zeros included.
        nonzeros: number of weights that are not zero.
    """

    section: str
    name: str
    size: int
    form: str = ""
    shape: tuple[int, ...] = ()
    weights: int = 0
    nonzeros: int = 0


@dataclass(frozen=True)
class Inspection:
    """The table of a file; its rows add up to the file's length.

    Attributes:
        path: the file.
        version: of the format.
        coding: ``adaptive`` or ``huffman``.
        rows: every byte of the file, once.
    """

    path: str
    version: int
    coding: str
    rows: tuple[Row, ...]

    @property
    def total(self) -> int:
        """Length of the file in bytes."""
        return sum(row.size for row in self.rows)

    @property
    def overhead(self) -> int:
        """Bytes that are not weights."""
        return sum(row.size for row in self.rows if row.section != "weights")
