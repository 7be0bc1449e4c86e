"""What `paring.load` gives: a network that takes images and answers with classes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paring.errors import ArgumentError, GraphError
from paring.graph import Graph
from paring.image import Preparation, normalize, prepare
from paring.image._prepare import as_array, open_image, pixels
from paring.runtime import reference
from paring.runtime._engine import Engine, StepTime


@dataclass(frozen=True)
class Timing:
    """Wall-clock seconds of one call, over ``repeats`` calls after a warm-up."""

    median: float
    p10: float
    p90: float
    best: float
    repeats: int


class Model:
    """A network with how to prepare its images and what its classes are called.

    Args:
        contents: what :func:`paring.container.read` returns: ``graph``, ``preparation`` (or None), ``classes`` (a
            possibly empty sequence of names) and ``provenance``.
        threads: threads of the native engine.
        engine: ``native`` or ``reference`` (the NumPy interpreter, slow).

    Raises:
        ArgumentError: on an unknown engine.
        GraphError: if the network does not have exactly one input and one output, or does not fit its preparation.
    """

    def __repr__(self) -> str:
        sides = "x".join(map(str, self.input_shape)), "x".join(map(str, self.output_shape))
        return f"Model({sides[0]} -> {sides[1]}, {self.graph.parameters:,} parameters)"

    def __init__(self, contents: Any, threads: int = 1, engine: str = "native") -> None:
        self.graph: Graph = contents.graph
        self.preparation: Preparation | None = contents.preparation
        self.classes: tuple[str, ...] = tuple(contents.classes or ())
        self.provenance: Any = contents.provenance
        shapes = self.graph.validate()
        if len(self.graph.inputs) != 1 or len(self.graph.outputs) != 1:
            found = f"{len(self.graph.inputs)} inputs and {len(self.graph.outputs)} outputs"
            raise GraphError("model needs one input and one output", found=found, expected="paring.runtime.Engine")
        self.input_shape = next(iter(self.graph.inputs.values()))
        self.output_shape = shapes[self.graph.outputs[0]]
        if self.preparation is not None and self.preparation.shape != self.input_shape:
            raise GraphError(
                "preparation does not fit the network", found=self.preparation.shape, expected=self.input_shape
            )
        if engine not in ("native", "reference"):
            raise ArgumentError("unknown engine", found=engine, expected="native or reference")
        self.engine = Engine(self.graph, threads) if engine == "native" else None

    def __call__(self, x: Any) -> np.ndarray:
        """Scores of one or more images.

        Args:
            x: float32 ``(N, H, W, C)`` or ``(H, W, C)``: already prepared; uint8 ``(H, W)``, ``(H, W, C)`` or
                ``(N, H, W, C)``: images to prepare; a path or PIL image; or a list of any of these but batches.
                A uint8 array of three axes is one image if its last axis is 1, 3 or 4, else a batch of gray images.

        Returns:
            float32 ``(N, *output shape)``, usually ``(N, classes)``.

        Raises:
            ArgumentError: on another type or shape.
            DataError: if an image cannot be opened or prepared.
        """
        batch = x if type(x) is np.ndarray and x.dtype == np.float32 else self._batch(x)
        if batch.ndim == len(self.input_shape):
            batch = batch[None]
        result = reference.run(self.graph, batch) if self.engine is None else self.engine.run(batch)
        assert isinstance(result, np.ndarray)
        return result

    def prepare(self, image: Any) -> np.ndarray:
        """One image (path, PIL image or uint8 array) as the network's input, float32 ``(H, W, C)``."""
        preparation = self._preparation()
        return prepare(_image_array(image, preparation.white), preparation)

    def classify(self, images: Any, top: int = 5) -> list[list[tuple[str, float]]]:
        """The most probable classes of each image, best first, with their probabilities.

        Args:
            images: as for :meth:`__call__`.
            top: how many classes, at least 1.
        """
        if top < 1:
            raise ArgumentError("top is below 1", found=top)
        scores = self(images)
        if scores.ndim != 2:
            raise ArgumentError("network is no classifier", found=f"output {self.output_shape}", expected="(classes,)")
        if not self._ends_in_softmax():
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        return [
            [(self.class_name(int(c)), float(p)) for c, p in zip(best, row[best], strict=True)]
            for row, best in zip(scores, order, strict=True)
        ]

    def class_name(self, index: int) -> str:
        """The class's name, or its number if the file has none."""
        return self.classes[index] if index < len(self.classes) else str(index)

    def time(self, repeats: int = 100, warmup: int = 10, batch: int = 1) -> Timing:
        """Time calls on a batch of zeros, in seconds per call.

        Args:
            repeats: timed calls, at least 1.
            warmup: calls before them.
            batch: examples in each call.
        """
        if repeats < 1 or batch < 1:
            raise ArgumentError("repeats and batch must be at least 1", found=(repeats, batch))
        x = np.zeros((batch, *self.input_shape), np.float32)
        for _ in range(warmup):
            self(x)
        seconds = np.empty(repeats)
        for i in range(repeats):
            start = time.perf_counter()
            self(x)
            seconds[i] = time.perf_counter() - start
        p10, median, p90 = np.percentile(seconds, (10, 50, 90))
        return Timing(float(median), float(p10), float(p90), float(seconds.min()), repeats)

    def profile(self, repeats: int = 20, batch: int = 1) -> list[StepTime]:
        """Mean time of every step of the native engine on a batch of zeros.

        Raises:
            ArgumentError: if the model runs in the reference interpreter.
        """
        if self.engine is None:
            raise ArgumentError("only the native engine has a profile", found="reference")
        return self.engine.profile(np.zeros((batch, *self.input_shape), np.float32), repeats)

    def _batch(self, x: Any) -> np.ndarray:
        if isinstance(x, np.ndarray):
            if x.dtype != np.uint8:
                raise ArgumentError(
                    "array has the wrong type", found=x.dtype, expected="float32 (prepared) or uint8 (images)"
                )
            if x.ndim == 4 or (x.ndim == 3 and x.shape[2] not in (1, 3, 4)):
                if x.ndim == 3 and x.shape[0] == 3 and self._preparation().channels == 3:
                    raise ArgumentError(
                        "cannot tell a picture with channels first from three gray ones",
                        found=f"uint8 {x.shape}",
                        fix="Give x.transpose(1, 2, 0), or three gray pictures as (3, H, W, 1)",
                    )
                return self._prepared(x)
            return self.prepare(x)[None]
        if isinstance(x, (list, tuple)):
            if not x:
                raise ArgumentError("list of images is empty")
            return np.stack([self.prepare(image) for image in x])
        return self.prepare(x)[None]

    def _prepared(self, images: Iterable[np.ndarray]) -> np.ndarray:
        preparation = self._preparation()
        whole = [pixels(image, preparation) for image in images]
        if not whole:
            return np.empty((0, *self.input_shape), np.float32)
        return normalize(np.stack(whole), preparation)

    def _preparation(self) -> Preparation:
        if self.preparation is None:
            raise ArgumentError(
                "file does not say how to prepare an image", expected="float32 arrays", fix="Prepare images yourself"
            )
        return self.preparation

    def _ends_in_softmax(self) -> bool:
        last = {node.name: node for node in self.graph.nodes}.get(self.graph.outputs[0])
        return last is not None and last.op == "softmax"


def load(path: str | Path, threads: int = 1, engine: str = "native") -> Model:
    """Open a `.pare` file as something callable on arrays and images; needs neither torch nor any Python class.

    Args:
        path: the file.
        threads: threads of the native engine.
        engine: ``native`` or ``reference``.

    Raises:
        FormatError: if the file is refused.
        GraphError: if its network is not well formed.
    """
    from paring import container

    return Model(container.read(path), threads, engine)


def _image_array(image: Any, white: float = 0.0) -> np.ndarray:
    """A path, PIL image or array as an array.

    Raises:
        ArgumentError: if it is something else.
    """
    if isinstance(image, np.ndarray):
        return image
    if isinstance(image, (str, Path)):
        return as_array(open_image(image), white)
    if hasattr(image, "convert") and hasattr(image, "mode"):
        return as_array(image, white)
    raise ArgumentError("not an image", found=type(image).__name__, expected="a path, PIL image or NumPy array")
