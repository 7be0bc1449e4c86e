"""``--teacher``, ``--teacher-mean`` and ``--hint``: words of the command line to networks and pairs of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from paring.cli.options._common import numbers
from paring.errors import ArgumentError

if TYPE_CHECKING:
    from torch import nn

    from paring.data import Dataset
    from paring.image import Preparation


def opened_teachers(
    words: Sequence[str], data: Dataset, mean: str | None, std: str | None, log: Callable[[str], None]
) -> list[nn.Module]:
    """The networks that ``NET[:weights]`` or ``FILE.pare`` name, in eval mode, for images prepared as ``data``'s.

    Args:
        words: the teachers.
        data: the student's.
        mean: ``--teacher-mean``, for teachers whose file does not say how their images were normalized.
        std: ``--teacher-std``.
        log: takes a line about a teacher of which nobody says it.

    Raises:
        ArgumentError: if there is no such network, it brings no weights, knows other classes or wants other images; if
            the normalization is half given, does not fit the images, or every teacher says its own.
        CheckpointError, FormatError: if a file is damaged.
    """
    own = _normalization(mean, std, data.preparation)
    opened = [_opened(word, data, own) for word in words]
    silent = [word for word, (_, says) in zip(words, opened, strict=True) if not says]
    if own is not None and not silent:
        raise ArgumentError(
            "every teacher says itself how its images were normalized",
            where="--teacher-mean",
            found=", ".join(words),
            fix="Leave --teacher-mean and --teacher-std out",
        )
    if own is None and silent:
        these = "; ".join(",".join(f"{v:.4g}" for v in part) for part in (data.preparation.mean, data.preparation.std))
        log(
            f"{', '.join(silent)}: the weights do not say how images were normalized for them. They get the student's "
            f"mean and std ({these}); --teacher-mean and --teacher-std give others."
        )
    return [network for network, _ in opened]


def _normalization(mean: str | None, std: str | None, given: Preparation) -> Preparation | None:
    """How the teachers' images are prepared: as the student's, but for mean and std."""
    if mean is None and std is None:
        return None
    found = {"--teacher-mean": numbers(mean, "--teacher-mean"), "--teacher-std": numbers(std, "--teacher-std")}
    for option, values in found.items():
        if values is None:
            raise ArgumentError("mean and std come together", where=option, found="none", fix="Give both or neither")
        if len(values) != given.channels:
            raise ArgumentError(
                "not one number for each channel", where=option, found=len(values), expected=given.channels
            )
    own_mean, own_std = found.values()
    assert own_mean is not None
    assert own_std is not None
    return replace(given, mean=own_mean, std=own_std)


def _opened(word: str, data: Dataset, own: Preparation | None) -> tuple[nn.Module, bool]:
    """The network of one word, and whether its file says how its images are prepared; ``own`` where it does not."""
    from paring.distillation import teacher

    if word.endswith(".pare"):
        if not Path(word).is_file():
            raise ArgumentError("file does not exist", where=f"--teacher {word}")
        from paring.container import read

        contents = read(word)
        network = teacher(contents, data.preparation, own=own, classes=data.classes, where=word)
        return network, contents.preparation is not None
    from paring import networks

    head, _, tail = word.rpartition(":")
    weights = Path(tail) if head and networks.is_checkpoint(tail) else None
    named = networks.find(head if weights else word, weights)
    if named.weights is None and not named.own_weights:
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
    network = teacher(networks.build(named, data), data.preparation, own=named.preparation or own)
    return network, named.preparation is not None


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
