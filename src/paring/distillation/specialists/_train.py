"""Specialists: a generalist's confusable classes found, a specialist trained for each set, all put together.

Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015, arXiv 1503.02531, section 5.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from paring.data import Dataset
from paring.distillation.specialists._batches import SpecialistBatches
from paring.distillation.specialists._clusters import cluster_classes, prediction_covariance
from paring.distillation.specialists._combine import dustbin_correction
from paring.distillation.specialists._ensemble import Specialist, Specialists, probabilities
from paring.distillation.specialists._network import specialize
from paring.errors import ArgumentError
from paring.training import Settings, World
from paring.training._distributed import device_of
from paring.training.input import Source, derived_seed
from paring.training.loop import Checkpoints, Clock, run

#: Images a specialist's dustbin row is fitted to.
_SAMPLE = 1024


def predictions(
    network: nn.Module, data: Dataset, *, size: int = 500, temperature: float = 1.0
) -> Iterator[np.ndarray]:
    """A network's probabilities on a data set, float64 ``(size, C)`` a block, for ``prediction_covariance``."""
    for images, _ in data.batches(size):
        prepared = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        yield probabilities(network, prepared, size=size, temperature=temperature).numpy()


def train_specialists(
    generalist: nn.Module,
    train: Dataset,
    folder: Path | str,
    *,
    count: int = 3,
    minimum: int = 2,
    overlap: int = 0,
    classes: Sequence[Sequence[int]] | None = None,
    covariance: np.ndarray | None = None,
    temperature: float = 3.0,
    epochs: int = 2,
    lr: float = 0.01,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    schedule: str = "cosine",
    batch: int = 128,
    augment: str = "none",
    through: Callable[[Source], Source] | None = None,
    seed: int = 0,
    clock: Callable[[], Clock] = Clock,
    log: Callable[[str], None] = print,
    progress: bool = True,
) -> Specialists:
    """Train specialists for a generalist.

    Clusters come from the covariance of the generalist's predictions on the training set. Each specialist begins as the
    generalist with its last layer re-cut, and is fine-tuned with SGD on half its own classes and half the rest. A
    killed run goes on when called again with the same arguments.

    Args:
        generalist: a trained network, ``(N, C)`` logits; put into eval mode.
        train: its training set.
        folder: the run folders of the specialists, ``specialist-1`` and so on; made if missing.
        count: specialists.
        minimum: least classes of each.
        overlap: classes each takes from others on top of its own.
        classes: the sets of classes, where they are chosen already; ``count``, ``minimum`` and ``overlap`` then do
            nothing.
        covariance: that of the predictions, where it is known already.
        temperature: of the predictions that are clustered; above 1, so that a generalist that is sure of its training
            images still says what they resemble.
        epochs: passes over each specialist's training images (twice its own).
        lr: learning rate.
        momentum: of SGD.
        weight_decay: of SGD.
        schedule: see :data:`paring.training.SCHEDULES`.
        batch: images per batch, even.
        augment: see :data:`paring.training.AUGMENTATIONS`.
        through: what each specialist's batches pass through on their way to its network (mixup, an augmentation of
            your own); a pure function of (seed, epoch, step), like any source. A resumed run must be given the same.
        seed: of clusters, order and augmentation.
        clock: makes a clock that says when to keep the specialist in hand.
        log: takes lines about what is done.
        progress: show a bar on the terminal.

    Returns:
        the generalist and its specialists in eval mode, dustbins corrected for the training set's class frequencies.

    Raises:
        ArgumentError: if an argument cannot be; see the functions this one ties together.
        CheckpointError: if the folder holds a run with other settings; the differences are listed.
        TrainingError: if a loss is not a number.
        KeyboardInterrupt: after Ctrl-C, when the step was finished and saved.
    """
    if epochs < 1:
        raise ArgumentError("invalid epochs", found=epochs, expected="at least 1")
    generalist.eval()
    if classes is None:
        if covariance is None:
            covariance = prediction_covariance(predictions(generalist, train, temperature=temperature))
        classes = cluster_classes(covariance, count, minimum=minimum, overlap=overlap, seed=seed)
    sets = [tuple(own) for own in classes]
    settings = Settings(
        epochs=epochs,
        batch=batch,
        optimizer="sgd",
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule=schedule,
        augment=augment,
    )
    common = {
        "generalist": _fingerprint(generalist),
        "data": train.digest,
        "preparation": repr(train.preparation),
        "threads": torch.get_num_threads(),
        "through": getattr(through, "__name__", None),
    }
    some = np.arange(min(_SAMPLE, len(train))) * len(train) // min(_SAMPLE, len(train))  # sorted sets: of every class
    few = dataclasses.replace(train, images=train.images[some], labels=train.labels[some])
    sample = torch.from_numpy(few.prepared().transpose(0, 3, 1, 2).copy())
    counts = np.bincount(train.labels, minlength=len(train.classes)).tolist()
    members = []
    for number, own in enumerate(sets, 1):
        title = f"specialist-{number}"
        network, settings = specialize(generalist, own, sample), settings.changed(seed=derived_seed(seed, title))
        batches = SpecialistBatches(
            train.images,
            train.labels,
            own,
            mean=train.preparation.mean,
            std=train.preparation.std,
            size=batch,
            seed=settings.seed,
            augment=augment,
        )
        place = Path(folder) / title
        done = run(
            network,
            through(batches) if through else batches,
            settings,
            folder=place,
            resume=bool(Checkpoints(place).paths()),
            identity={**common, "classes": list(own)},
            world=World(device_of(network)),
            keep=1,
            clock=clock(),
            title=title,
            progress=progress,
            log=log,
        ).position
        names = ", ".join(train.classes[c] for c in own)
        log(f"{title}: {names}; {done.epoch} epochs, {done.seconds:.0f} s, loss {done.last_loss:.4f}")
        members.append(Specialist(network.eval(), own, dustbin_correction(counts, own)))
    return Specialists(generalist, members)


def _fingerprint(network: nn.Module) -> str:
    state = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        state.update(name.encode())
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()
