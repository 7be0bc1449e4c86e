"""From a network's numbers to probabilities, by what the numbers are (:data:`paring.container.OUTPUTS`)."""

from __future__ import annotations

import numpy as np


def probabilities(scores: np.ndarray, kind: str, shown: str) -> np.ndarray:
    """Probabilities of classes, ``(N, classes)`` in float32; of a single number those of two classes, no and yes.

    Args:
        scores: ``(N, outputs)``.
        kind: what they are.
        shown: what the graph's last operators say, so that no sigmoid is taken twice.
    """
    return np.exp(log_probabilities(scores, kind, shown)).astype(np.float32)


def log_probabilities(scores: np.ndarray, kind: str, shown: str) -> np.ndarray:
    """Their natural logarithms in float64."""
    scores = scores.astype(np.float64)
    if scores.shape[1] == 1:
        return np.concatenate(both(scores, kind, shown)[::-1], axis=1)
    if kind == "multi-label":
        return both(scores, kind, shown)[0]
    if kind == "probabilities":
        return _log(scores)
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def both(scores: np.ndarray, kind: str, shown: str) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the probability of each label, and of its absence."""
    scores = scores.astype(np.float64)
    if kind == "probabilities" or shown == "multi-label":
        return _log(scores), _log(1 - scores)
    return -np.logaddexp(0, -scores), -np.logaddexp(0, scores)


def _log(p: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(p, np.finfo(np.float64).tiny))
