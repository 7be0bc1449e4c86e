"""One run of the Deep Compression recipe: its stages, each begun, trained, kept, and picked up again after a kill."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paring.distillation import distillation
from paring.methods.pruning import prune
from paring.methods.sharing import share
from paring.parametrize import forms, halve, places, select, weights
from paring.recipes._folder import RunFolder, resume_optimizer, write_arrays
from paring.recipes._result import machine, write_result
from paring.recipes._settings import Phase, Settings
from paring.recipes.run._inputs import Sets, check_targets
from paring.recipes.steps._pruner import Pruner, drop_idle
from paring.record import Record, Stage
from paring.training.input import Batches, derived_seed
from paring.training.loop import Clock, Position, error_rate, fit, write_atomic
from paring.training.optim import Loss, cross_entropy, optimizer

#: The stages, in order.
STAGES = ("train", "prune", "retrain", "share", "tune")


class Job:
    """One call of the recipe."""

    def __init__(
        self,
        name: str,
        build: Callable[[], nn.Module],
        settings: Settings,
        sets: Sets,
        seed: int,
        folder: Path,
        coding: str,
        clock: Callable[[], Clock],
        log: Callable[[str], None],
        progress: bool,
    ) -> None:
        self.name, self.settings, self.sets, self.seed = name, settings, sets, seed
        self.coding, self.clock, self.log, self.progress = coding, clock, log, progress
        self.make = build
        plain = self.build()
        check_targets(plain, settings)
        self.stages = tuple(stage for stage in STAGES if _wanted(settings, stage))
        self.weighted = sum(getattr(p.module, p.tensor).numel() for p in weights(plain).values())
        self.folder = RunFolder(folder, self.stages, self._identity())

    def run(self, until: str | None, restart: str | None, output: Path | None, commands: list[str]) -> Record:
        """Every stage that is not done yet, then the file and the record."""
        if restart:
            self.folder.forget_from(restart)
        self.folder.check()
        done: list[Stage] = []
        wanted = self.stages[: self.stages.index(until) + 1] if until in self.stages else self.stages
        for stage in wanted:
            done.append(self._stage(stage))
        record = Record(
            recipe="deep-compression",
            preset=self.settings.preset,
            network=self.name,
            data=self.sets.train.name,
            seed=self.seed,
            test_set=self.sets.title,
            test_images=len(self.sets.labels),
            classes=self.sets.train.classes,
            settings=self.settings.to_json(),
            commands=commands,
            machine=machine(),
            stages=done,
        )
        baseline = self._restored("train")
        arrays = {name: form.dense() for name, form in forms(baseline).items()}
        write_arrays(self.folder.path / "baseline.npz", arrays)
        record.baseline, record.baseline_error = "baseline.npz", done[0].test_error
        record.float_bytes = 4 * sum(array.size for array in arrays.values())
        if until is None:
            last = self._restored(self.stages[-1])
            path = output or self.folder.path / f"{self.name}.pare"
            write_result(record, last, self.sets.train, path, self.folder.path, self.coding, self.log)
            record.final_error = done[-1].test_error
        write_atomic(self.folder.path / "record.json", record.to_json().encode())
        return record

    # --- stages --------------------------------------------------------------------------------------------------

    def _stage(self, stage: str) -> Stage:
        """Do a stage, or the rest of it, unless it is finished; its record either way."""
        network = self.build()
        if (record := self.folder.restore(stage, network)) is not None:
            self.log(f"{stage}: done before, {_summary(record)}")
            return record
        resumed = self.folder.running_network(stage, network)
        state: dict[str, Tensor] = {}
        if resumed is None:
            network = self._restored(self.stages[self.stages.index(stage) - 1]) if stage != "train" else network
            self.log(f"{stage}: {_plan(stage, self.settings)} ...")
            note, position = self._begin(stage, network), Position()
        else:
            position, note, state = resumed
            self.log(f"{stage}: going on at epoch {position.epoch + 1}, batch {position.step + 1}")
        phase: Phase | None = getattr(self.settings, stage, None)
        if phase is not None and phase.epochs:
            self._train(stage, phase, network, position, note, state)
        if stage == "prune":
            note = self._after_pruning(network)
        record = Stage(
            name=stage,
            note=note,
            epochs=phase.epochs if phase else 0,
            seconds=round(position.seconds, 3),
            train_loss=position.last_loss if position.epoch else None,
            test_error=error_rate(network, self.sets.images, self.sets.labels),
            weights=self.weighted,
            nonzeros=_nonzeros(network),
        )
        self.folder.finish(stage, network, record)
        self.log(f"{stage}: {_summary(record)}")
        return record

    def _begin(self, stage: str, network: nn.Module) -> str:
        """What a stage does before it trains; says what it did."""
        settings = self.settings
        if stage == "prune":
            everything = dict.fromkeys(self._prunable(network), 1.0)
            prune(network, everything, bits=settings.bits)
            if settings.bits == 16:
                halve(network, [name for name in places(network) if name not in everything])
            return "masks attached"
        if stage == "share":
            targets = dict.fromkeys(weights(network), settings.centroids) if settings.centroids else {}
            targets.update(select(network, settings.centroid_layers))
            seed = derived_seed(self.seed, "share") % 2**32
            init: Any = settings.init
            got = share(network, targets, init=init, bits=settings.bits, penalty=settings.penalty, seed=seed)
            return "centroids: " + ", ".join(f"{row.name.removesuffix('.weight')} {row.after}" for row in got.rows)
        return ""

    def _train(
        self, stage: str, phase: Phase, network: nn.Module, position: Position, note: str, state: Mapping[str, Tensor]
    ) -> None:
        train = self.sets.train
        batches = Batches(
            train.images,
            train.labels,
            mean=train.preparation.mean,
            std=train.preparation.std,
            size=min(phase.batch, len(train)),
            seed=derived_seed(self.seed, stage),
            augment=phase.augment,
            channels_last=_has_convolution(network),
        )
        tuned = optimizer(
            network.parameters(),
            phase.optimizer,
            lr=phase.lr,
            momentum=phase.momentum,
            weight_decay=phase.weight_decay,
        )
        resume_optimizer(tuned, state)
        pruner = None
        if stage == "prune":
            steps = phase.epochs * len(batches)
            pruner = Pruner(network, tuned, self.settings, steps, self._probe(), self.seed)
        fit(
            network,
            batches,
            tuned,
            epochs=phase.epochs,
            schedule=phase.schedule,
            warmup=phase.warmup,
            loss=self._loss(stage, phase),
            before_step=pruner,
            position=position,
            save=lambda now: self.folder.keep_running(stage, network, tuned, now, note),
            clock=self.clock(),
            title=stage,
            progress=self.progress,
        )

    def _after_pruning(self, network: nn.Module) -> str:
        note = f"kept {_nonzeros(network):,} of {self.weighted:,} weights"
        if self.settings.drop_idle:
            dropped = drop_idle(network, self._probe(), self.seed, bits=self.settings.bits)
            note += f", then dropped {dropped:,} idle ones"
        return note

    def _probe(self) -> Tensor:
        """Prepared training images on which idle weights are found."""
        return torch.from_numpy(self.sets.train.prepared(0, 4096).transpose(0, 3, 1, 2).copy())

    def _loss(self, stage: str, phase: Phase) -> Loss:
        if not phase.distill or stage == "train":
            return cross_entropy(phase.smoothing)
        teacher = self._restored("train").eval().requires_grad_(False)
        return distillation(teacher, phase.temperature, phase.distill, phase.smoothing)

    # --- the network ---------------------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        """The network with its first random weights."""
        torch.manual_seed(derived_seed(self.seed, "weights"))
        network = self.make()
        if _has_convolution(network):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def _restored(self, stage: str) -> nn.Module:
        network = self.build()
        self.folder.restore(stage, network)
        return network

    def _prunable(self, network: nn.Module) -> list[str]:
        named = set(weights(network)) | set(select(network, self.settings.keep_layers))
        if self.settings.drop_idle:
            named |= set(places(network))
        return [name for name in places(network) if name in named]

    def _identity(self) -> dict[str, dict[str, Any]]:
        """What each stage's result depends on."""
        train = self.sets.train
        common = {
            "network": {
                "name": self.name,
                "parameters": {n: list(p.shape) for n, p in self.build().named_parameters()},
                "weights": _fingerprint(self.build()),
            },
            "data": train.digest,
            "preparation": repr(train.preparation),
            "seed": self.seed,
            "threads": torch.get_num_threads(),
        }
        every, sofar, found = self.settings.to_json(), dict(common), {}
        for stage in self.stages:
            sofar = sofar | {name: every[name] for name in _DEPENDS[stage] if name in every}
            found[stage] = sofar
        return found


#: Settings that a stage's result depends on, beside those of the stages before.
_DEPENDS = {
    "train": ("train",),
    "prune": ("prune", "keep", "keep_layers", "rounds", "bits", "drop_idle"),
    "retrain": ("retrain",),
    "share": ("centroids", "centroid_layers", "init", "penalty"),
    "tune": ("tune",),
}


def _wanted(settings: Settings, stage: str) -> bool:
    if stage in ("prune", "retrain"):
        return settings.keep < 1 or any(keep < 1 for keep in settings.keep_layers.values())
    if stage in ("share", "tune"):
        return bool(settings.centroids or settings.centroid_layers)
    return True


def _plan(stage: str, settings: Settings) -> str:
    """What a stage is going to do, in a few words."""
    words = []
    if stage == "prune":
        words.append(f"to {100 * settings.keep:g} % of all weights in {settings.rounds} rounds")
        words += [f"{pattern} to {100 * keep:g} %" for pattern, keep in settings.keep_layers.items()]
    if stage == "share":
        words.append(f"{settings.centroids} values a layer, {settings.init}, {settings.bits} bits")
        words += [f"{pattern} {count}" for pattern, count in settings.centroid_layers.items()]
    phase: Phase | None = getattr(settings, stage, None)
    if phase is not None:
        words.append(f"{phase.epochs} epochs, {phase.optimizer} {phase.lr:g} {phase.schedule}")
        words += [f"{phase.augment} distortion"] if phase.augment != "none" else []
        words += (
            [f"taught {100 * phase.distill:g} % by the float network"] if phase.distill and stage != "train" else []
        )
    return ", ".join(words)


def _has_convolution(network: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


@torch.no_grad()
def _nonzeros(network: nn.Module) -> int:
    return sum(int(torch.count_nonzero(getattr(place.module, place.tensor))) for place in weights(network).values())


def _summary(record: Stage) -> str:
    parts = [f"error {100 * record.test_error:.2f} %" if record.test_error is not None else ""]
    if record.nonzeros != record.weights:
        parts.append(f"{record.nonzeros:,} of {record.weights:,} weights")
    parts += [record.note, f"{record.seconds:.0f} s" if record.epochs else ""]
    return ", ".join(part for part in parts if part)


def _fingerprint(network: nn.Module) -> str:
    """SHA-256 of the network's tensors: tells a run from fresh weights and one from a checkpoint apart."""
    state = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        state.update(name.encode())
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()
