"""What a list of steps is made of: the step, the state it changes, and what it says it changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite, prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paring.capture import Rebuilt, outline
from paring.graph import OPS, Graph, Node, cost, fold_scale_shift
from paring.methods import unfolded_graph
from paring.training import World
from paring.training.input import Batch, Images, derived_seed
from paring.training.loop import Clock

#: Options that count steps of a training.
_IN_STEPS = ("norm_delay", "warmup", "begin", "end")


@dataclass(frozen=True)
class Change:
    """What a step did.

    Attributes:
        words: in one line.
        lines: layer by layer, for whoever wants to know.
        epochs: passes over the training images.
        seconds: of training, interruptions left out; None for a step that does not train.
        loss: mean training loss of the last epoch.
    """

    words: str
    lines: tuple[str, ...] = ()
    epochs: int = 0
    seconds: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class Step:
    """One step of a recipe.

    Attributes:
        name: a verb, in the field's term (``prune``, ``factorize``, ``tune``).
        options: all that its result depends on beside the state, JSON values.
        do: takes the state, which it changes, and the options.
        key: what its randomness is derived from beside the run's seed; its place in the list if empty. With a key of
            its own a step draws the same numbers whatever comes before it.
    """

    name: str
    options: Mapping[str, Any]
    do: Callable[[State, Mapping[str, Any]], Change]
    key: str = ""

    def scaled(self, effort: float) -> Step:
        """The same with its epochs multiplied, at least one if there were any, and what is counted in their steps."""
        changed: dict[str, Any] = {}
        if epochs := self.options.get("epochs"):
            changed["epochs"] = max(1, round(epochs * effort))
        for name in _IN_STEPS:
            if self.options.get(name):
                changed[name] = round(self.options[name] * effort)
        return replace(self, options={**self.options, **changed}) if changed else self

    def __str__(self) -> str:
        return ", ".join(f"{key.replace('_', ' ')} {_shown(value)}" for key, value in self.options.items())


@dataclass
class State:
    """What steps work on, one after the other.

    Attributes:
        network: the network in hand, in eval mode, on the processor.
        original: the float network that the recipe began with; frozen.
        train: training set.
        test: test set; for scores, never for decisions.
        seed: of the whole run; a step derives its own from it.
        key: of the step in hand; see :class:`Step`.
        folder: the step's own, for what it must keep to be resumed; made by who uses it.
        place: number and name of the step, unique in the run.
        world: the processes that work together, this one among them; every one of them does every step.
        precision: that trainings compute in: ``fp32``, ``bf16`` or ``fp16``.
        tracker: one of Accelerate's trackers that trainings report to, or empty.
        hooks: called with its number before each step of a training, as the method in hand wants it.
        once: the same, for the next training alone.
        clock: makes the clock that says when a training's checkpoint is due.
        log: takes a line for people.
        progress: show progress bars on a terminal.
    """

    network: nn.Module
    original: nn.Module
    train: Images
    test: Images
    seed: int = 0
    key: str = ""
    folder: Path = Path()
    place: str = ""
    world: World = field(default_factory=lambda: World(torch.device("cpu")))
    precision: str = "fp32"
    tracker: str = ""
    hooks: list[Callable[[int], object]] = field(default_factory=list)
    once: list[Callable[[int], object]] = field(default_factory=list)
    clock: Callable[[], Clock] = Clock
    log: Callable[[str], None] = print
    progress: bool = True
    _graph: Graph | None = None
    _outline: Graph | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of an image."""
        return self.train.shape

    def step_seed(self) -> int:
        """A seed of this step's own, below 2**63; without a key below 2**31."""
        if self.key:
            return derived_seed(self.seed, self.key)
        return derived_seed(self.seed, self.place) % 2**31

    def graph(self) -> Graph:
        """The network in hand as a graph, its weights in their forms; made once until something changes."""
        if self._graph is None:
            self._graph = graph_of(self.network, self.shape)
        return self._graph

    def changed(self, network: nn.Module | None = None, graph: Graph | None = None) -> None:
        """Another network, or the one in hand changed in place; with its graph where that is known already."""
        if network is not None and network is not self.network:
            self.network, self.hooks, self.once = network, [], []
        self.network.eval()
        self._graph, self._outline = graph, None

    def calibration(self, count: int) -> Batch:
        """``count`` training images, evenly spaced, prepared ``(N, C, H, W)``, with their labels.

        Raises:
            ArgumentError: if the count is below 1.
        """
        return self.train.some(count)

    def measured(self) -> tuple[int, int, int]:
        """Multiply-accumulates, weights and non-zero weights of the network in hand; biases are not counted."""
        if self._graph is not None or isinstance(self.network, Rebuilt):
            graph = self.graph()
            values = {node.weights["weight"]: graph.weights[node.weights["weight"]] for node in weighted(graph)}
            return cost(graph).macs, sum(v.size for v in values.values()), sum(v.nonzeros for v in values.values())
        graph = self._outline = self._outline or outline(self.network, self.shape)
        sizes = {name: prod(graph.weights[name].shape) for name in (n.weights["weight"] for n in weighted(graph))}
        nonzeros = sum(_nonzeros(self.network, name, size) for name, size in sizes.items())
        return cost(graph).macs, sum(sizes.values()), nonzeros


def weighted(graph: Graph) -> list[Node]:
    """The nodes with weights that count."""
    return [node for node in graph.nodes if OPS[node.op].macs]


def graph_of(network: nn.Module, shape: tuple[int, int, int]) -> Graph:
    """A network as a graph, with the trained forms in place of the weights that have one.

    Batch norms are folded where the weight is 32-bit dense; behind any other form they stay ``scale_shift`` nodes,
    since folding would scale its values apart.

    Raises:
        GraphError: if the network cannot be captured.
    """
    return fold_scale_shift(unfolded_graph(network, shape))


def _nonzeros(network: nn.Module, name: str, size: int) -> int:
    owner: Any = network
    for part in name.split("."):
        owner = getattr(owner, part, None)
    with torch.no_grad():
        return int(torch.count_nonzero(owner)) if isinstance(owner, Tensor) else size


def _shown(value: Any) -> str:
    """A JSON value in a line: long lists by their ends, equal amounts once."""
    if isinstance(value, Mapping):
        amounts = list(value.values())
        if len(amounts) > 1 and all(amount == amounts[0] for amount in amounts):
            return _listed(list(value)) + ("" if amounts[0] is None else f" = {_shown(amounts[0])}")
        return _listed([key if amount is None else f"{key}={_shown(amount)}" for key, amount in value.items()])
    if isinstance(value, list | tuple):
        return _listed([_shown(entry) for entry in value])
    if isinstance(value, float):
        return f"{value:g}" if isfinite(value) else str(value)
    return str(value)


def _listed(words: list[str]) -> str:
    if len(words) <= 3:
        return " ".join(words) or "none"
    return f"{words[0]} .. {words[-1]} ({len(words)})"
