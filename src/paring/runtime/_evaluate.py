"""How often a model is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from paring.data import _given as given
from paring.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from paring.runtime._model import Model

#: Classes from which on the five best answers are looked at, too.
_MANY = 100


def evaluate(model: Model, data: Any, size: int) -> dict[str, float]:
    """See :meth:`paring.runtime.Model.evaluate`."""
    if len(model.output_shape) != 1:
        raise ArgumentError("network is no classifier", found=f"output {model.output_shape}", expected="(classes,)")
    if size < 1:
        raise ArgumentError("invalid batch size", found=size, expected="1 or more")
    classes = model.output_shape[0]
    images = wrong = wrong_5 = 0
    loss = 0.0
    for batch, labels in _labeled(model, data, size):
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            found = f"{labels.min()} .. {labels.max()}"
            raise DataError("label is out of range", found=found, expected=f"0 .. {classes - 1}")
        scores = model(batch)
        rows = np.arange(len(labels))
        images += len(labels)
        wrong += int((scores.argmax(1) != labels).sum())
        best = np.argpartition(-scores, min(5, classes) - 1, axis=1)[:, :5]
        wrong_5 += int((best != labels[:, None]).all(1).sum())
        loss -= float(_log_probabilities(scores, model.ends_in_softmax)[rows, labels].sum())
    if not images:
        raise DataError("there are no images to evaluate on")
    error = wrong / images
    counts: dict[str, float] = {"images": images, "accuracy": 1 - error, "error": error, "loss": loss / images}
    return counts | ({"error_5": wrong_5 / images} if classes >= _MANY else {})


def _log_probabilities(scores: np.ndarray, are_probabilities: bool) -> np.ndarray:
    scores = scores.astype(np.float64)
    if are_probabilities:
        return np.log(np.maximum(scores, np.finfo(np.float64).tiny))
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _labeled(model: Model, data: Any, size: int) -> Iterator[tuple[Any, np.ndarray]]:
    """Batches that the model takes, with their labels."""
    from paring.data import Wish, dataset, is_data

    if is_data(data):
        data = dataset(data, Wish(model.preparation), split="test", shape=_map(model.input_shape))
    if hasattr(data, "prepared"):
        for start in range(0, len(data.labels), size):
            yield data.prepared(start, start + size), data.labels[start : start + size]
        return
    both = given.pair(data)
    if both is not None:
        images, labels = both
        numbers = given.array(labels).astype(np.int64)
        for start in range(0, len(numbers), size):
            yield images[start : start + size], numbers[start : start + size]
        return
    for batch, found in given.batches(data, model.input_shape):
        if found is None:
            raise ArgumentError("images without labels", expected="(images, labels), or a loader of such pairs")
        yield batch, found


def _map(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None
