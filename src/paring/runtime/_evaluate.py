"""How often a model is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from paring.data import _given as given
from paring.errors import ArgumentError, DataError
from paring.runtime._answers import both, log_probabilities

if TYPE_CHECKING:
    from paring.runtime._model import Model

#: Classes from which on the five best answers are looked at, too.
_MANY = 100


def evaluate(model: Model, data: Any, size: int) -> dict[str, float]:
    """See :meth:`paring.runtime.Model.evaluate`."""
    binary = model.output_shape == (1,)
    if not (binary and model.output == "regression" and not model.contents.output):
        model.must_classify()
    if size < 1:
        raise ArgumentError("invalid batch size", found=size, expected="1 or more")
    kind = "logits" if model.output == "regression" else model.output
    count = 2 if binary else model.output_shape[0]
    images = answers = wrong = wrong_5 = 0
    loss = 0.0
    for batch, labels in _labeled(model, data, size):
        single = labels.ndim == 1
        _check(labels, count, kind, model.output_shape[0])
        scores = model(batch)
        yes, no = _logs(scores, kind, model)
        truth = np.eye(count, dtype=bool)[labels] if single else labels.astype(bool)
        images += len(labels)
        answers += len(labels) if single else labels.size
        if kind == "multi-label":
            loss -= float(np.where(truth, yes, no).mean(1).sum())
        else:
            loss -= float(yes[truth].sum())
        if not single:
            wrong += int(((yes > no) != truth).sum())
            continue
        ranked = yes if binary else scores
        wrong += int((ranked.argmax(1) != labels).sum())
        best = np.argpartition(-ranked, min(5, count) - 1, axis=1)[:, :5]
        wrong_5 += int((best != labels[:, None]).all(1).sum())
    if not images:
        raise DataError("there are no images to evaluate on")
    error = wrong / answers
    counts: dict[str, float] = {"images": images, "accuracy": 1 - error, "error": error, "loss": loss / images}
    return counts | ({"error_5": wrong_5 / images} if count >= _MANY and answers == images else {})


def _logs(scores: np.ndarray, kind: str, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the probability of each class, and of all but it where classes do not exclude one another."""
    found = log_probabilities(scores, kind, model.shown)
    if scores.shape[1] == 1:
        return found, found[:, ::-1]
    return both(scores, kind, model.shown) if kind == "multi-label" else (found, found)


def _check(labels: np.ndarray, count: int, kind: str, outputs: int) -> None:
    if labels.ndim == 2 and (kind != "multi-label" or labels.shape[1] != outputs):
        found = f"{labels.shape[1]} labels an image for {outputs} outputs, {kind}"
        raise ArgumentError("labels do not fit the network", found=found, expected="a class for each image")
    last = 1 if labels.ndim == 2 else count - 1
    if labels.size and not 0 <= labels.min() <= labels.max() <= last:
        raise DataError("label is out of range", found=f"{labels.min()} .. {labels.max()}", expected=f"0 .. {last}")


def _labeled(model: Model, data: Any, size: int) -> Iterator[tuple[Any, np.ndarray]]:
    """Batches that the model takes, with their labels."""
    from paring.data import Wish, dataset, is_data

    if is_data(data):
        data = dataset(data, Wish(model.preparation), split="test", shape=_map(model.input_shape))
    if hasattr(data, "prepared"):
        for start in range(0, len(data.labels), size):
            yield data.prepared(start, start + size), data.labels[start : start + size]
        return
    found = _rows(data) or given.pair(data)
    if found is not None:
        images, labels = found
        numbers = given.array(labels).astype(np.int64)
        for start in range(0, len(numbers), size):
            yield images[start : start + size], numbers[start : start + size]
        return
    for batch, numbered in given.batches(data, model.input_shape):
        if numbered is None:
            raise ArgumentError("images without labels", expected="(images, labels), or a loader of such pairs")
        yield batch, numbered


def _rows(data: Any) -> tuple[Any, Any] | None:
    """Images with a row of 0 and 1 each."""
    if not isinstance(data, tuple | list) or len(data) != 2 or getattr(data[1], "ndim", 0) != 2:
        return None
    images, labels = data
    fits = hasattr(images, "shape") and len(images) == len(labels) and given.array(labels).dtype.kind in "biuf"
    return (images, labels) if fits else None


def _map(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None
