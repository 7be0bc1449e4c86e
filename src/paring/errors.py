"""What can go wrong, in a handful of kinds.

Every error says what happened and, where it applies, at which layer path or byte offset, what was found, what was
expected and what to do about it. The command line prints the message alone and exits with the kind's ``exit_code``.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

#: Control characters but line breaks and tabs, surrogates, and what turns the direction of the text after it around.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)

#: Characters of a found value that an error shows.
_LONGEST = 2000


def visible(text: str) -> str:
    """Text of strangers for a terminal or a log: what would move the cursor, change colors or turn the direction of the
    text around is shown as its Python escape (``\\x1b``); line breaks and tabs stay."""
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def _shown(found: object) -> str:
    """A found value in a few words: of an array its type and shape, of what is very long its beginning."""
    shape = getattr(found, "shape", None)
    if isinstance(shape, tuple) and shape and hasattr(found, "ndim"):
        return f"{type(found).__name__} of shape {tuple(shape)}"
    text = str(found).rstrip(".")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ... ({len(text):,} characters)"


class ParingError(Exception):
    """Base of every error Paring raises on purpose.

    Args:
        what: what happened, one sentence without a full stop.
        where: layer path, file, byte offset or option the sentence is about.
        found: the offending value, as the user would recognize it.
        expected: what would have been accepted.
        fix: what to do about it, in the imperative.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        found: object = None,
        expected: object = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.found = found
        self.expected = expected
        self.fix = fix
        parts = [what if where is None else f"{where}: {what}"]
        if found is not None:
            parts.append(f"found {_shown(found)}")
        if expected is not None:
            parts.append(f"expected {expected}")
        text = "; ".join(parts)
        super().__init__(visible(f"{text}. {fix}." if fix else f"{text}."))

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew of its parts where a process hands it to another; of its message it would end in two full stops."""
        parts = {key: getattr(self, key) for key in ("where", "found", "expected", "fix")}
        return partial(type(self), **parts), (self.what,)


class ArgumentError(ParingError, ValueError):
    """An argument, option, pattern or target that cannot be (prune 120 %, 0 centroids, a pattern without a match)."""

    exit_code = 2


class DataError(ParingError):
    """A data set or an image that is missing, empty, corrupt or labeled out of range."""

    exit_code = 3


class FormatError(ParingError):
    """A `.pare` file that is refused, or an array that a form or coder cannot hold."""

    exit_code = 4


class GraphError(ParingError):
    """A network that is not a well-formed graph, or that cannot be captured as one."""

    exit_code = 5


class CheckpointError(ParingError):
    """A checkpoint that is damaged, of another network, or of another run."""

    exit_code = 6


class OutputError(ParingError, OSError):
    """A result that could not be written (full disk, missing folder, no permission); nothing half-written is left."""

    exit_code = 7


class TrainingError(ParingError):
    """Training that cannot go on."""

    exit_code = 8


class DivergenceError(TrainingError):
    """The loss is not a number any more; of several processes, in all at once."""


#: Exit code after Ctrl-C: the step was finished and a checkpoint saved.
EXIT_INTERRUPTED = 130
