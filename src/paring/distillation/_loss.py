"""Distillation: a student learns the softened answers of a teacher beside the labels, or instead of them.

Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015, arXiv 1503.02531. With logits ``z`` of the
student and ``v`` of the teacher, ``q(T) = softmax(z / T)`` and ``p(T) = softmax(v / T)``,

    C = (1 - w) CE(y, q(1)) + w T^2 CE(p(T), q(T)).

The gradient of ``CE(p(T), q(T))`` by ``z_i`` is ``(q_i - p_i) / T``, which falls as ``1 / T^2``; the factor ``T^2``
keeps the two terms in proportion when the temperature is changed. For ``T`` large against the logits it becomes
``((z_i - mean z) - (v_i - mean v)) / (N T^2)`` for ``N`` classes: the limit is logit matching.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.distillation._networks import AVERAGES, Networks, Teacher
from paring.errors import ArgumentError
from paring.training.input import Batch
from paring.training.optim import Loss, hard_target, scores


def distillation(
    teacher: nn.Module | Sequence[nn.Module] | Teacher,
    temperature: float = 2.0,
    weight: float = 0.5,
    smoothing: float = 0.0,
    *,
    average: str = "logits",
) -> Loss:
    """``(1 - weight) CE(y, softmax(z)) + weight T^2 CE(p, softmax(z / T))``, a mean over the batch.

    ``p``, the soft target, is the teacher's ``softmax(v / T)``. Of an ensemble of ``K`` members it is
    ``softmax(mean_k v_k / T)`` (the normalized geometric mean of their distributions) or ``mean_k softmax(v_k / T)``
    (the arithmetic one).

    Args:
        teacher: a network, several (an ensemble), or what :func:`paring.distillation.cached_logits` opened. Networks
            are put into eval mode whenever they are asked and get no gradient.
        temperature: ``T``, positive; ``inf`` for the limit of logit matching, ``1 / (2 N)`` times the squared distance
            of the logits, each image's brought to mean zero (see :func:`paring.distillation.logit_matching`).
        weight: share of the teacher, 0..1; ``1 - weight`` is that of the labels.
        smoothing: label smoothing of the labels' term.
        average: of an ensemble, over ``logits`` or ``probabilities``.

    Returns:
        the loss, for :func:`paring.training.fit`.

    Raises:
        ArgumentError: if a number cannot be; in training, if teacher and student answer with different numbers of
            classes.
    """
    if not temperature > 0:
        raise ArgumentError("invalid temperature", found=temperature, expected="a number above 0")
    if not 0 <= weight <= 1:
        raise ArgumentError("invalid weight of the teacher", found=weight, expected="0 to 1")
    if not 0 <= smoothing < 1:
        raise ArgumentError("invalid label smoothing", found=smoothing, expected="0 to below 1")
    if average not in AVERAGES:
        raise ArgumentError("unknown average of an ensemble", found=repr(average), expected=" or ".join(AVERAGES))
    if math.isinf(temperature) and average == "probabilities":
        raise ArgumentError("logit matching averages logits", found=average, expected="logits")
    taught = as_teacher(teacher)

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        if any(network is member for member in taught.networks):
            raise ArgumentError("a network cannot be its own teacher", fix="Give the loss a copy of it")
        answers = _wide(scores(network(batch.images)))
        members = taught.logits(batch)
        _check_classes(answers, members)
        total = weight * soft_loss(answers, members, temperature, average)
        if weight == 1:
            return total
        return total + (1 - weight) * F.cross_entropy(answers, hard_target(batch), label_smoothing=smoothing)

    return loss


def logit_matching(
    teacher: nn.Module | Sequence[nn.Module] | Teacher, weight: float = 1.0, smoothing: float = 0.0
) -> Loss:
    """:func:`distillation` at infinite temperature: ``weight / (2 N) |z' - v'|^2`` beside the labels' term.

    ``z'`` and ``v'`` are the logits less their mean over the ``N`` classes, so that only what decides an answer is
    matched. Ba and Caruana, "Do deep nets really need to be deep?", NIPS 2014, arXiv 1312.6184, match the logits
    as they are.
    """
    return distillation(teacher, math.inf, weight, smoothing)


def soft_loss(answers: Tensor, members: Tensor, temperature: float, average: str = "logits") -> Tensor:
    """The teacher's term alone, ``T^2 CE(p, softmax(z / T))`` or its limit, a mean over the batch.

    Args:
        answers: the student's logits, ``(N, classes)``.
        members: the teachers' logits, ``(K, N, classes)``.
        temperature: ``T``, or ``inf``.
        average: ``logits`` or ``probabilities``.
    """
    if math.isinf(temperature):
        apart = _centered(answers) - _centered(members.mean(0))
        return apart.square().mean() / 2
    return temperature**2 * F.cross_entropy(answers / temperature, soft_targets(members, temperature, average))


def soft_targets(members: Tensor, temperature: float, average: str = "logits") -> Tensor:
    """What an ensemble expects at a temperature, ``(N, classes)``, from its logits ``(K, N, classes)``."""
    if average == "probabilities":
        return torch.softmax(members / temperature, -1).mean(0)
    return torch.softmax(members.mean(0) / temperature, -1)


def as_teacher(teacher: nn.Module | Sequence[nn.Module] | Teacher) -> Teacher:
    """Networks as a :class:`paring.distillation.Teacher`; one that is already is returned as it is."""
    if isinstance(teacher, nn.Module):
        return Networks([teacher])
    if isinstance(teacher, Sequence):
        return Networks(teacher)
    return teacher


def _wide(logits: Tensor) -> Tensor:
    """Half precision, as autocast gives it, is too coarse for the softmax of a hot distribution."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def _centered(logits: Tensor) -> Tensor:
    return logits - logits.mean(-1, keepdim=True)


def _check_classes(answers: Tensor, members: Tensor) -> None:
    if members.shape[1:] != answers.shape:
        raise ArgumentError(
            "teacher and student answer differently",
            found=f"{tuple(members.shape[1:])} (images, classes) of the teacher",
            expected=f"{tuple(answers.shape)} as of the student",
            fix="Both need the same classes in the same order",
        )
