"""Error of a network over a data set: in the engine, or in torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import track

from paring.cli.render._output import errors
from paring.data import Dataset
from paring.errors import ArgumentError

if TYPE_CHECKING:
    from torch import nn

    from paring.runtime import Model
    from paring.training.input import Images

#: float32 NHWC images ``(N, H, W, C)`` to float32 scores ``(N, classes)``.
Answer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Score:
    """Answers over a whole set.

    Attributes:
        scores: float32 ``(N, classes)``, as the network gives them.
        labels: int64 ``(N,)``.
        seconds: wall time of the answers alone.
    """

    scores: np.ndarray
    labels: np.ndarray
    seconds: float

    @property
    def predicted(self) -> np.ndarray:
        """The class of each image, int64 ``(N,)``."""
        return self.scores.argmax(1)

    @property
    def wrong(self) -> int:
        """Images whose class is not their label."""
        return int(np.count_nonzero(self.predicted != self.labels))

    @property
    def error(self) -> float:
        """Top-1 error, fraction."""
        return self.wrong / len(self.labels)

    def top(self, k: int) -> float:
        """Share of images whose label is not among the ``k`` highest scores."""
        best = np.argpartition(-self.scores, min(k, self.scores.shape[1]) - 1, axis=1)[:, :k]
        return float(np.mean(~(best == self.labels[:, None]).any(1)))


def score(answer: Answer, data: Dataset | Images, batch_size: int, what: str) -> Score:
    """Ask for every image of a set.

    Args:
        answer: the network.
        data: the set.
        batch_size: images at once.
        what: for the progress bar.
    """
    if batch_size < 1:
        raise ArgumentError("invalid batch size", where="--batch-size", found=batch_size, expected="at least 1")
    parts, labels, seconds = [], [], 0.0
    batches = -(-len(data) // batch_size)
    pairs = data.batches(batch_size) if isinstance(data, Dataset) else data.arrays(batch_size)
    for images, numbers in track(
        pairs, what, total=batches, console=errors, transient=True, disable=not errors.is_terminal
    ):
        start = time.perf_counter()
        parts.append(np.asarray(answer(images)))
        seconds += time.perf_counter() - start
        labels.append(numbers)
    return Score(np.concatenate(parts), np.concatenate(labels), seconds)


def check_classes(path: Path, model: Model, data: Dataset) -> None:
    """A file can be scored on a set only if both mean the same classes.

    Raises:
        ArgumentError: if the number of classes or their names differ, or the network answers with no classes.
    """
    one = model.output_shape == (1,) and len(data.classes) == 2
    if model.output_shape != (len(data.classes),) and not one:
        raise ArgumentError(
            "network and data have different classes",
            where=path,
            found=f"{model.output_shape[-1]} answers",
            expected=f"{len(data.classes)} classes of {data.name}",
        )
    if not one or model.contents.output:
        model.must_classify()
    if model.classes and model.classes != data.classes:
        pairs = zip(model.classes, data.classes, strict=False)
        number, (mine, theirs) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
        raise ArgumentError(
            "network and data name their classes differently",
            where=path,
            found=f"class {number} is {mine!r}",
            expected=f"{theirs!r} as in {data.name}",
        )


def in_engine(model: Model) -> Answer:
    """A file as an :data:`Answer`: a single number becomes the scores of two classes, no and yes."""
    if model.output_shape != (1,):
        return model
    middle = 0.5 if model.output == "probabilities" or model.shown == "multi-label" else 0.0
    return lambda images: np.stack([np.full(len(images), middle, np.float32), model(images)[:, 0]], axis=1)


def in_torch(module: nn.Module) -> Answer:
    """A module as an :data:`Answer`."""
    import torch

    def answer(images: np.ndarray) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()).numpy()

    return answer
