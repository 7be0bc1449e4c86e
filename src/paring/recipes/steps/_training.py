"""The steps that train: the float network at the beginning, and tuning by its answers between the methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn

from paring.distillation import distill
from paring.recipes.steps._base import Change, State, Step
from paring.training import Settings
from paring.training.input import Source
from paring.training.loop import Checkpoints, Outcome, run

#: How a network without weights is trained where nothing else is said.
FROM_SCRATCH: dict[str, Any] = {"epochs": 30, "optimizer": "adam", "lr": 2e-3, "schedule": "cosine", "batch": 128}


def train(**settings: Any) -> Step:
    """Train the network in hand from its fresh weights; ``settings`` are those of :class:`paring.training.Settings`.

    Raises:
        ArgumentError: on an unknown setting or one that cannot be.
    """
    options = {**FROM_SCRATCH, **settings}
    Settings().changed(**options).check()
    return Step("train", options, _train)


def tune(*, name: str = "tune", **settings: Any) -> Step:
    """Train the network in hand, whatever forms it has, by the labels and by the float network's answers.

    Args:
        name: of the step.
        settings: see :func:`tuning_options`.

    Raises:
        ArgumentError: on an unknown setting or one that cannot be.
    """
    return Step(name, tuning_options(**settings), _tune)


def tuning_options(
    *,
    epochs: int,
    lr: float = 5e-4,
    optimizer: str = "adam",
    schedule: str = "cosine",
    batch: int = 128,
    augment: str = "none",
    hard_weight: float = 0.5,
    temperature: float = 2.0,
    **settings: Any,
) -> dict[str, Any]:
    """The options of a training between methods.

    Args:
        epochs: passes over the training images.
        lr: learning rate at the beginning.
        optimizer: and the next three as in :class:`paring.training.Settings`.
        schedule: of the rate.
        batch: images per step, all processes together; less where there are not so many.
        augment: augmentation of the training images.
        hard_weight: share of the labels in the loss, 0..1; 1 asks no teacher. See :func:`paring.distillation.distill`.
        temperature: of the teacher's answers.
        settings: further fields of :class:`paring.training.Settings`.

    Raises:
        ArgumentError: on an unknown setting or one that cannot be.
    """
    options = {
        "epochs": epochs,
        "lr": lr,
        "optimizer": optimizer,
        "schedule": schedule,
        "batch": batch,
        "augment": augment,
        **settings,
    }
    Settings().changed(**options).check()
    return {**options, "hard_weight": hard_weight, "temperature": temperature}


class Hook(Protocol):
    """What acts on the network before each step of one training."""

    def begin(self, optimizer: torch.optim.Optimizer, steps: int) -> None:
        """Called once, with the optimizer and the number of steps in the whole training."""

    def __call__(self, step: int) -> None:
        """Called with the step's number, from 0."""


def _train(state: State, options: Mapping[str, Any]) -> Change:
    settings = _settings(state, options)
    outcome = run(state.network, _batches(state, settings), settings, **_common(state))
    return _done(state, outcome, settings)


def _tune(state: State, options: Mapping[str, Any]) -> Change:
    return trained(state, options)


def trained(state: State, options: Mapping[str, Any], hook: Hook | None = None) -> Change:
    """Train the network in hand with :func:`tuning_options`; ``hook`` acts before each step."""
    rest = {name: value for name, value in options.items() if name not in ("hard_weight", "temperature")}
    settings, hard = _settings(state, rest), float(options["hard_weight"])
    batches, common = _batches(state, settings), _common(state, hook)
    if hard == 1:
        outcome = run(state.network, batches, settings, **common)
    else:
        teacher: nn.Module = state.original.to(state.world.device)
        outcome = distill(
            state.network,
            batches,
            settings,
            [teacher],
            state.train.first,
            hard_weight=hard,
            temperature=options["temperature"],
            **common,
        )
    return _done(state, outcome, settings)


def _settings(state: State, options: Mapping[str, Any]) -> Settings:
    settings = Settings().changed(**{"precision": state.precision, **options}, seed=state.step_seed())
    return settings.changed(batch=min(settings.batch, len(state.train)))


def _batches(state: State, settings: Settings) -> Source:
    return state.train.batches(
        size=settings.batch,
        seed=settings.seed,
        augment=settings.augment,
        channels_last=settings.channels_last,
        device=state.world.device,
    )


def _common(state: State, hook: Hook | None = None) -> dict[str, Any]:
    """What every training of a recipe is given: it goes on from its folder's newest checkpoint, if there is one."""

    def before(number: int) -> None:
        for one in (*state.hooks, *state.once, *((hook,) if hook else ())):
            one(number)

    return {
        "folder": state.folder,
        "classes": len(state.train.classes),
        "resume": bool(Checkpoints(state.folder).paths()),
        "before_training": hook.begin if hook else None,
        "before_step": before,
        "world": state.world,
        "tracker": state.tracker,
        "keep": 1,
        "clock": state.clock(),
        "title": state.place,
        "progress": state.progress,
        "log": state.log,
    }


def _done(state: State, outcome: Outcome, settings: Settings) -> Change:
    state.network.to("cpu")
    state.original.to("cpu")
    state.once.clear()
    state.changed()
    position = outcome.position
    loss = position.last_loss if position.epoch else None
    words = f"{settings.epochs} epochs, last mean loss {loss:.4f}" if loss is not None else f"{outcome.steps} steps"
    return Change(words, epochs=settings.epochs, seconds=position.seconds, loss=loss)
