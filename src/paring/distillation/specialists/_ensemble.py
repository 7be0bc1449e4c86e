"""A generalist and its specialists, answering together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.distillation.specialists._combine import active_specialists, combine
from paring.distillation.specialists._network import check_classes
from paring.errors import ArgumentError
from paring.training._distributed import device_of


def probabilities(
    network: nn.Module, images: Tensor, *, size: int = 500, temperature: float = 1.0, raise_last: float = 0.0
) -> Tensor:
    """A network's softmax, in float64 on the processor, wherever network and images are.

    Args:
        network: answers with logits; run in eval mode, its mode is put back afterwards.
        images: prepared ``(N, channels, H, W)``.
        size: images run at a time.
        temperature: what logits are divided by.
        raise_last: what is added to the last logit, a specialist's dustbin.

    Returns:
        float64 ``(N, C)``.
    """
    was, device = network.training, device_of(network)
    network.eval()
    rows = []
    try:
        with torch.no_grad():
            for start in range(0, len(images), size):
                # First to the processor: not every device has float64.
                logits = network(images[start : start + size].to(device)).cpu().double()
                if raise_last:
                    logits = logits + F.one_hot(torch.tensor(logits.shape[1] - 1), logits.shape[1]) * raise_last
                rows.append(F.softmax(logits / temperature, 1))
    finally:
        network.train(was)
    if not rows:
        raise ArgumentError("no images to answer", found=tuple(images.shape))
    return torch.cat(rows)


@dataclass(frozen=True)
class Specialist:
    """A network for a few classes.

    Attributes:
        network: ``(N, m + 1)`` logits, as trained.
        classes: the generalist's classes that its first m outputs stand for.
        correction: added to the dustbin's logit, see :func:`paring.distillation.specialists.dustbin_correction`.
    """

    network: nn.Module
    classes: tuple[int, ...]
    correction: float = 0.0

    def probabilities(self, images: Tensor, size: int = 500) -> Tensor:
        """Corrected probabilities of its classes and the dustbin, float64 ``(N, m + 1)``."""
        return probabilities(self.network, images, size=size, raise_last=self.correction)


@dataclass(frozen=True)
class Specialists:
    """A generalist with specialists; each image runs through the generalist and the specialists it activates.

    Attributes:
        generalist: ``(N, C)`` logits.
        members: the specialists.
    """

    generalist: nn.Module
    members: Sequence[Specialist]

    @property
    def classes(self) -> list[tuple[int, ...]]:
        """The classes of each specialist."""
        return [member.classes for member in self.members]

    def probabilities(self, images: Tensor, *, top: int = 1, size: int = 500) -> Tensor:
        """Combined probabilities of all classes, float64 ``(N, C)`` on the processor.

        Args:
            images: prepared ``(N, channels, H, W)``.
            top: specialists of the generalist's so many best classes take part (the paper's n); 0 for the generalist
                alone.
            size: images run at a time.
        """
        return torch.cat(list(self._blocks(images, top, size)))

    def answers(self, images: Tensor, *, top: int = 1, size: int = 500) -> np.ndarray:
        """The combined class of every image, int64 ``(N,)``."""
        return self.probabilities(images, top=top, size=size).argmax(1).numpy(force=True)

    def _blocks(self, images: Tensor, top: int, size: int) -> Iterator[Tensor]:
        for start in range(0, len(images), size):
            some = images[start : start + size]
            general = probabilities(self.generalist, some, size=size)
            if not top or not self.members:
                yield general
                continue
            active = active_specialists(general, self.classes, top)
            answers = []
            for number, member in enumerate(self.members):
                rows = general.new_zeros(len(some), len(member.classes) + 1)
                mine = active[:, number]
                if bool(mine.any()):
                    rows[mine] = member.probabilities(some[mine.to(some.device)], size)
                answers.append(rows)
            yield combine(general, answers, self.classes, active).probabilities


def conditional_accuracy(answers: Tensor, labels: np.ndarray, classes: Sequence[int]) -> float:
    """Share of the images of ``classes`` that are right when only these classes may be answered, 0..1.

    The paper's conditional test accuracy: labels outside are left out, and so are the other classes' probabilities.

    Args:
        answers: ``(N, C)`` probabilities or logits.
        labels: int ``(N,)``.
        classes: the specialist's.

    Raises:
        ArgumentError: if no image is of these classes.
    """
    inside = check_classes(classes, answers.shape[1])
    labels = np.asarray(labels)
    mine = np.isin(labels, inside)
    if not mine.any():
        raise ArgumentError("no image is of these classes", found=inside)
    best = answers[torch.from_numpy(mine).to(answers.device)][:, inside].argmax(1).numpy(force=True)
    return float(np.mean(np.asarray(inside)[best] == labels[mine]))
