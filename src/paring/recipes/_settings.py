"""What a Deep Compression run is told: resolved settings, presets, and targets as a user writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from paring.errors import ArgumentError


@dataclass(frozen=True)
class Phase:
    """How one stage trains.

    Attributes:
        epochs: passes over the training images.
        optimizer: ``sgd`` or ``adam``.
        lr: base learning rate.
        schedule: ``constant``, ``cosine``, ``step`` or ``inv``.
        warmup: steps over which the rate rises linearly.
        momentum: of SGD.
        weight_decay: L2 penalty.
        batch: images per step.
        augment: ``none``, ``shift``, ``light``, ``medium`` or ``strong``.
        smoothing: label smoothing.
        distill: weight of the float network's softened answers in the loss, 0..1; not in the first stage.
        temperature: of the softened answers.
    """

    epochs: int
    optimizer: str = "adam"
    lr: float = 2e-3
    schedule: str = "cosine"
    warmup: int = 0
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch: int = 128
    augment: str = "none"
    smoothing: float = 0.0
    distill: float = 0.0
    temperature: float = 2.0


@dataclass(frozen=True)
class Settings:
    """The resolved settings of :func:`paring.recipes.deep_compression`.

    Attributes:
        train: the float network's training.
        prune: training during which the masks are tightened.
        retrain: training of the survivors after the last mask.
        tune: training of the centroids.
        keep: fraction of all weights together to keep, chosen by one threshold on their magnitude; 1 for none.
        keep_layers: pattern to the fraction a layer keeps on its own; these layers are left out of ``keep``.
        rounds: how many times the masks are tightened during ``prune``, evenly spaced.
        centroids: shared values of every layer; 0 for no sharing.
        centroid_layers: pattern to shared values of these layers; may also name biases (``*.bias``).
        init: initialization of k-means: ``linear``, ``density``, ``random`` or ``exact``.
        bits: width of stored centroids, and of biases and weights that are not shared: 32 or 16.
        penalty: price of a symbol's bit in the assignment, in units of the layer's variance; 0 is plain k-means.
        drop_idle: also drop weights that cannot change any answer on the training images.
        preset: name of the preset these began with, or empty.
    """

    train: Phase
    prune: Phase
    retrain: Phase
    tune: Phase
    keep: float = 0.08
    keep_layers: Mapping[str, float] = field(default_factory=dict)
    rounds: int = 1
    centroids: int = 32
    centroid_layers: Mapping[str, int] = field(default_factory=dict)
    init: str = "linear"
    bits: int = 32
    penalty: float = 0.0
    drop_idle: bool = False
    preset: str = ""

    def to_json(self) -> dict[str, Any]:
        """Nested JSON values."""
        return asdict(self)

    def changed(self, **changes: Any) -> Settings:
        """A copy with these fields replaced; ``train=``, ``prune=``, ... also take a mapping of a phase's fields.

        Raises:
            ArgumentError: on an unknown field, with the nearest ones.
        """
        resolved: dict[str, Any] = {}
        for name, value in changes.items():
            _known(name, Settings)
            before = getattr(self, name)
            if isinstance(before, Phase) and isinstance(value, Mapping):
                for part in value:
                    _known(part, Phase)
                value = replace(before, **value)
            resolved[name] = value
        return replace(self, **resolved)

    def scaled(self, factor: float) -> Settings:
        """The same with every stage's epochs multiplied, at least one each; for quick trials."""
        phases = {name: getattr(self, name) for name in ("train", "prune", "retrain", "tune")}
        return replace(self, **{n: replace(p, epochs=max(1, round(p.epochs * factor))) for n, p in phases.items()})


def _known(name: str, kind: type) -> None:
    names = [entry.name for entry in fields(kind)]
    if name not in names:
        near = get_close_matches(name, names, 3) or names
        raise ArgumentError("unknown setting", found=repr(name), expected=" or ".join(near))


def keep_targets(words: Iterable[str]) -> tuple[float | None, dict[str, float]]:
    """Fractions as a user writes them: ``8%`` for all layers together, ``fc1=8%`` or ``conv*=0.2`` for some.

    Returns:
        the fraction for all (``None`` if not given) and pattern to fraction.

    Raises:
        ArgumentError: if a word cannot be read or is no fraction.
    """
    overall, layers = None, {}
    for word in words:
        pattern, _, number = word.rpartition("=")
        fraction = _fraction(number, word)
        if pattern:
            layers[pattern] = fraction
        else:
            overall = fraction
    return overall, layers


def centroid_targets(words: Iterable[str]) -> tuple[int | None, dict[str, int]]:
    """Numbers of centroids as a user writes them: ``32`` for every layer, ``conv*=256`` for some.

    Returns:
        the number for every layer (``None`` if not given) and pattern to number.

    Raises:
        ArgumentError: if a word cannot be read or the number is out of range.
    """
    overall, layers = None, {}
    for word in words:
        pattern, _, number = word.rpartition("=")
        try:
            count = int(number)
        except ValueError:
            raise ArgumentError(
                "cannot read a number of centroids", found=repr(word), expected="like conv*=256"
            ) from None
        if not 1 <= count <= 65535:
            raise ArgumentError("invalid number of centroids", found=repr(word), expected="1 to 65535")
        if pattern:
            layers[pattern] = count
        else:
            overall = count
    return overall, layers


def _fraction(number: str, word: str) -> float:
    try:
        value = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        raise ArgumentError(
            "cannot read a fraction to keep", found=repr(word), expected="like fc1=8% or 0.08"
        ) from None
    if not 0 <= value <= 1:
        raise ArgumentError("invalid fraction of weights to keep", found=repr(word), expected="0 % to 100 %")
    return value
