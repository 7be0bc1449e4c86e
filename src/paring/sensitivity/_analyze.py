"""Sensitivity: what each layer alone loses under each method, from mild to strong.

One layer is changed, all others stay as they are, and the network answers the same images again. Han, Pool, Tran,
Dally, NIPS 2015, arXiv 1506.02626, section 4 (figure 6), chose each layer's threshold so; Li et al., ICLR 2017, arXiv
1608.08710, section 3.2, the layers whose filters are spared. Nothing is retrained, so the losses order layers and
strengths; after fine-tuning they are smaller.

Four numbers a point, over the answers ``y`` of the float network and ``y'`` of the changed one, ``p = softmax(y)``:

    accuracy      share of images whose class is their label
    agreement     share of images whose class is the float network's
    kl            mean over images of  sum_c p_c log(p_c / p'_c),  nats
    output_error  |y - y'| / |y|  over all answers together
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paring import __version__
from paring.errors import ArgumentError, CheckpointError, DataError
from paring.layers import bare
from paring.parametrize import detach, select, settled, weights
from paring.sensitivity._file import PointsFile
from paring.sensitivity._methods import LAYER, Bench, Strength, strengths_of, tried, tried_by, usual
from paring.sensitivity._replay import Replay
from paring.training.loop import Progress

#: Most bytes of layers' answers that are kept so as not to compute them again.
MEMORY = 1 << 30


@dataclass(frozen=True)
class Point:
    """What one layer, changed alone, makes of the network.

    Attributes:
        layer: path of the layer.
        method: name of the method.
        strength: how strongly it acted.
        accuracy: fraction; None without labels.
        agreement: fraction of images answered as the float network does.
        kl: mean Kullback-Leibler divergence from the float network's probabilities, nats; None if not finite.
        output_error: relative; None if not finite.
        reason: why the method cannot act on this layer at this strength, all numbers None then; else empty.
    """

    layer: str
    method: str
    strength: Strength
    accuracy: float | None = None
    agreement: float | None = None
    kl: float | None = None
    output_error: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Sensitivity:
    """All points of an analysis.

    Attributes:
        points: by method, layer and strength, in this order.
        methods: name to its strengths.
        layers: paths in the network's order.
        accuracy: of the float network, fraction; None without labels.
        images: how many were answered.
        computed: points that were not on disk yet.
    """

    points: tuple[Point, ...]
    methods: dict[str, tuple[Strength, ...]]
    layers: tuple[str, ...]
    accuracy: float | None
    images: int
    computed: int = field(compare=False)

    def of(self, method: str, layer: str) -> list[Point]:
        """One layer's points under one method, in the order of the strengths."""
        return [point for point in self.points if (point.method, point.layer) == (method, layer)]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "images": self.images,
            "accuracy": self.accuracy,
            "layers": list(self.layers),
            "methods": {name: list(strengths) for name, strengths in self.methods.items()},
            "points": [asdict(point) for point in self.points],
        }


def sensitivity(
    network: nn.Module,
    images: Tensor,
    labels: np.ndarray | None = None,
    *,
    methods: Mapping[str, Sequence[Strength]] | Iterable[str] | None = None,
    layers: Iterable[str] = ("*",),
    cache: Path | None = None,
    batch: int = 128,
    memory: int = MEMORY,
    progress: bool = True,
) -> Sensitivity:
    """Change every selected layer alone by every method at every strength, and measure the network.

    Args:
        network: unchanged; trainable forms that it has count as its weights.
        images: prepared, float32 ``(N, ...)``, N a few hundred or more.
        labels: classes of the images, integers ``(N,)``; without them there is no accuracy.
        methods: names, or name to strengths, of any registered method with a :class:`paring.methods.Trial`; the usual
            ones if not given (:func:`paring.sensitivity.usual`).
        layers: shell patterns on layers' paths, or parameters' names; see :func:`paring.parametrize.select`.
        cache: file that keeps every point as it is found; a run that was killed goes on from it and computes
            nothing twice. It may hold points that are not asked for.
        batch: images at a time.
        memory: most bytes of layers' answers kept, so that only what follows a changed layer is computed again.
        progress: show a progress bar on a terminal.

    Raises:
        ArgumentError: if a method, strength or pattern cannot be.
        DataError: if the images are none or the labels do not fit.
        GraphError: if channels are to be removed and the network cannot be captured.
        CheckpointError: if ``cache`` is of another network, data set or version, or damaged.
        OutputError: if ``cache`` cannot be written.
        ParingError: if a method needs a package that is not installed.
    """
    named = _named(usual() if methods is None else methods)
    wanted = {tried_by(name).method.name: strengths_of(name, tuple(given)) for name, given in named.items()}
    if not wanted:
        raise ArgumentError("no method to try", expected=", ".join(tried()))
    labels = _checked_labels(images, labels)
    copy = settled(network).eval()
    detach(copy)
    paths = _layers(copy, layers)
    if batch < 1:
        raise ArgumentError("impossible batch size", found=batch, expected="at least 1")
    bench = Bench(deepcopy(copy).cpu(), tuple(images.shape[1:]))
    if any(tried_by(name).trial.graph for name in wanted):
        _ = bench.graph  # what cannot be captured is refused here, not after the other methods
    identity = {"network": fingerprint(bare(network)), "data": digest(images, labels), "paring": __version__}
    file = PointsFile(cache, identity) if cache is not None else None
    known = {_key(point): point for point in _read(file)}
    asked = [Point(path, name, one) for name, strengths in wanted.items() for path in paths for one in strengths]
    missing = [point for point in asked if _key(point) not in known]
    replay = Replay(copy, images, batch, memory)
    with Progress("sensitivity", len(missing), progress) as bar:
        for number, point in enumerate(missing):
            bar.advance(number, f"{point.layer}, {point.method} {tried_by(point.method).show(point.strength)}")
            found = _measured(point, replay, bench, labels)
            known[_key(point)] = found
            if file is not None:
                file.add(asdict(found))
    points = tuple(known[_key(point)] for point in asked)
    return Sensitivity(points, wanted, tuple(paths), _accuracy(replay.scores, labels), len(images), len(missing))


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of the modules and of every name, dtype, shape and value of the state dict, in hexadecimal."""
    state = hashlib.sha256(repr(network).encode())
    for name, tensor in network.state_dict().items():
        state.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        state.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return state.hexdigest()


def digest(images: Tensor, labels: np.ndarray | None) -> str:
    """SHA-256 of prepared images and their labels, in hexadecimal."""
    state = hashlib.sha256(f"{tuple(images.shape)} {images.dtype} {labels is not None}\n".encode())
    state.update(images.detach().cpu().contiguous().numpy().tobytes())
    state.update(b"" if labels is None else np.ascontiguousarray(labels, "<i8").tobytes())
    return state.hexdigest()


def _key(point: Point) -> tuple[str, str, Strength]:
    return point.layer, point.method, point.strength


def _named(methods: Mapping[str, Sequence[Strength]] | Iterable[str]) -> Mapping[str, Sequence[Strength]]:
    if isinstance(methods, str):
        methods = [methods]
    return methods if isinstance(methods, Mapping) else dict.fromkeys(methods, ())


def _read(file: PointsFile | None) -> list[Point]:
    try:
        return [Point(**values) for values in file.points] if file is not None else []
    except TypeError as error:
        assert file is not None
        raise CheckpointError("a point is damaged", where=file.path, found=error, fix="Name another file") from None


def _checked_labels(images: Tensor, labels: np.ndarray | None) -> np.ndarray | None:
    if not len(images):
        raise DataError("no images to measure on")
    if labels is None:
        return None
    labels = np.asarray(labels, np.int64)
    if labels.shape != (len(images),):
        raise DataError("labels do not fit the images", found=labels.shape, expected=f"({len(images)},)")
    return labels


def _layers(network: nn.Module, patterns: Iterable[str]) -> list[str]:
    """Paths of the layers whose weight a pattern matches.

    Raises:
        ArgumentError: if a pattern matches nothing, or what is no layer's weight.
    """
    known = weights(network)
    chosen = select(network, dict.fromkeys(patterns, True))
    for name in chosen:
        if name not in known:
            raise ArgumentError("is no weight of a convolution or fully connected layer", where=name)
    if "weight" in chosen:
        raise ArgumentError("a network that is one layer cannot be taken apart", fix="Put it into an nn.Sequential")
    if not chosen:
        raise ArgumentError("no layer to change", expected="at least one pattern")
    return [name.removesuffix(".weight") for name in chosen]


def _measured(point: Point, replay: Replay, bench: Bench, labels: np.ndarray | None) -> Point:
    """The point with its numbers, or with the reason why there are none."""
    row = tried_by(point.method)
    layer = replay.network.get_submodule(point.layer)
    owners = [m for m in replay.network.modules() if getattr(m, "weight", None) is layer.weight]
    try:
        if row.trial.graph is not None:
            scores = replay.answers(network=row.network(bench, point.layer, point.strength).to(replay.device))
        else:
            with _instead(replay.network, {owner: _changed(owner, row.change, point.strength) for owner in owners}):
                scores = replay.answers(owners)
    except ArgumentError as error:
        return replace(point, reason=error.what if error.found is None else f"{error.what}; found {error.found}")
    return _with_numbers(point, replay.scores, scores, labels)


def _changed(layer: nn.Module, change: Callable[[nn.Module, Strength], None], strength: Strength) -> nn.Module:
    """What a method makes of a copy of the layer."""
    box = nn.Sequential()
    box.add_module(LAYER, deepcopy(layer))
    change(box, strength)
    return box.get_submodule(LAYER)


@contextmanager
def _instead(network: nn.Module, changed: Mapping[nn.Module, nn.Module]) -> Iterator[None]:
    """While the block lasts, other modules stand in the place of some, under every path that these have."""
    found = [(path, child) for path, child in network.named_modules(remove_duplicate=False) if child in changed]
    slots = [(network.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2], child) for path, child in found]
    try:
        for parent, name, child in slots:
            setattr(parent, name, changed[child])
        yield
    finally:
        for parent, name, child in slots:
            setattr(parent, name, child)


def _with_numbers(point: Point, known: Tensor, scores: Tensor, labels: np.ndarray | None) -> Point:
    y, z = known.double(), scores.double()
    p, q = torch.log_softmax(y, 1), torch.log_softmax(z, 1)
    kl = float((p.exp() * (p - q)).sum(1).mean())
    error = float((y - z).norm() / y.norm().clamp_min(1e-300))
    return replace(
        point,
        accuracy=_accuracy(scores, labels),
        agreement=float((scores.argmax(1) == known.argmax(1)).double().mean()),
        kl=max(kl, 0.0) if isfinite(kl) else None,
        output_error=error if isfinite(error) else None,
    )


def _accuracy(scores: Tensor, labels: np.ndarray | None) -> float | None:
    return None if labels is None else float(np.mean(scores.argmax(1).numpy() == labels))
