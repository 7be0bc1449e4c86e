"""The command line as typed, for the records that say how a result was made."""

from __future__ import annotations

import shlex

_words: list[str] = []


def remember(words: list[str]) -> None:
    """Keep the words after ``paring``."""
    _words[:] = words


def as_typed() -> str:
    """The whole command, quoted for a shell."""
    return shlex.join(["paring", *_words])
