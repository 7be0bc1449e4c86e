"""``--teacher`` and ``--hint``: words of the command line to networks and pairs of layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from paring.cli import _networks
from paring.errors import ArgumentError

if TYPE_CHECKING:
    from torch import nn

    from paring.data import Dataset


def opened_teacher(word: str, data: Dataset) -> nn.Module:
    """The network that ``NET[:weights]`` or ``FILE.pare`` names, in eval mode, for images prepared as ``data``'s.

    Raises:
        ArgumentError: if there is no such network, it brings no weights, knows other classes or wants other images.
        CheckpointError, FormatError: if its file is damaged.
    """
    from paring.recipes import teacher

    if word.endswith(".pare"):
        if not Path(word).is_file():
            raise ArgumentError("file does not exist", where=f"--teacher {word}")
        return teacher(word, data.preparation, classes=data.classes)
    head, _, tail = word.rpartition(":")
    weights = Path(tail) if head and tail.endswith((".safetensors", ".pt", ".pth", ".bin")) else None
    named = _networks.find(head if weights else word, weights)
    if named.weights is None and ".py:" not in word:
        raise ArgumentError(
            "teacher has fresh weights and nothing to teach",
            where=f"--teacher {word}",
            expected=f"{word}:weights.safetensors",
        )
    if named.classes and named.classes != data.classes:
        raise ArgumentError(
            "teacher knows other classes than the data",
            where=f"--teacher {word}",
            found=f"{len(named.classes)} classes ({', '.join(named.classes[:5])}, ...)",
            expected=f"{len(data.classes)} classes ({', '.join(data.classes[:5])}, ...)",
        )
    return teacher(_networks.build(named, data), data.preparation, own=named.preparation)


def hint_pairs(words: list[str]) -> dict[str, str]:
    """``student.layer=teacher.layer`` as pairs.

    Raises:
        ArgumentError: if a word is no pair, or a layer of the student is named twice.
    """
    pairs: dict[str, str] = {}
    for word in words:
        ours, equals, theirs = word.partition("=")
        if not (ours and equals and theirs) or ours in pairs:
            what = "layer is given two hints" if ours in pairs else "not a hint"
            raise ArgumentError(what, where="--hint", found=word, expected="student.layer=teacher.layer, once each")
        pairs[ours] = theirs
    return pairs
