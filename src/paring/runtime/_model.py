"""What `paring.load` gives: a network that takes images and answers with classes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from paring.container import Contents, Inspection, check_output, output_of, read, write
from paring.data import _given as given
from paring.errors import ArgumentError, GraphError
from paring.graph import Graph
from paring.image import Preparation, normalize, prepare
from paring.image._prepare import picture, pixels
from paring.runtime import reference
from paring.runtime._answers import probabilities
from paring.runtime._engine import StepTime, engine_for
from paring.runtime._evaluate import evaluate
from paring.runtime._limits import DEFAULT_LIMITS, Limits
from paring.runtime._onnx import write_onnx


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

    A model may be shared between threads: what it holds does not change, answers are those of one thread, and calls
    wait for one another in the engine. For answers at the same time give each thread a model of its own, such as a
    ``copy.deepcopy``. Only :meth:`close` and :meth:`profile` are for one thread alone. A model may be pickled and
    handed to another process, spawned or forked before its first call; its engine is built anew there.

    Args:
        contents: what :func:`paring.container.read` returns: ``graph``, ``preparation`` (or None), ``classes`` (a
            possibly empty sequence of names) and ``provenance``.
        threads: threads of the native engine.
        engine: ``native`` or ``reference`` (the NumPy interpreter, slow).
        output: what the answers are, one of :data:`paring.container.OUTPUTS`, where neither the contents nor the
            graph's last operators say it rightly; kept in files that are saved.

    Raises:
        ArgumentError: on an unknown engine or kind of output.
        GraphError: if the network does not have exactly one input and one output, or does not fit its preparation.
    """

    def __init__(self, contents: Any, threads: int = 1, engine: str = "native", output: str = "") -> None:
        self._reference = engine == "reference"
        self.graph: Graph = contents.graph
        self.preparation: Preparation | None = contents.preparation
        self.classes: tuple[str, ...] = tuple(contents.classes or ())
        self.provenance: Any = contents.provenance
        if len(self.graph.inputs) != 1 or len(self.graph.outputs) != 1:
            found = f"{len(self.graph.inputs)} inputs and {len(self.graph.outputs)} outputs"
            raise GraphError("model needs one input and one output", found=found, expected="paring.runtime.Engine")
        self._told = check_output(output or getattr(contents, "output", ""))
        #: What the graph's last operators show them to be.
        self.shown = output_of(self.graph, len(self.classes))
        #: What the answers are: ``logits``, ``probabilities``, ``multi-label``, ``regression`` or ``map``.
        self.output = self._told or self.shown
        self.input_shape = next(iter(self.graph.inputs.values()))
        self.output_shape = self.graph.shapes[self.graph.outputs[0]]
        if self.preparation is not None and self.preparation.shape != self.input_shape:
            raise GraphError(
                "preparation does not fit the network", found=self.preparation.shape, expected=self.input_shape
            )
        if engine not in ("native", "reference"):
            raise ArgumentError("unknown engine", found=engine, expected="native or reference")
        self.threads = threads
        self.engine = engine_for(self.graph, threads) if engine == "native" else None
        self._closed = False
        #: What the verb that made it did, layer by layer or step by step; None for a model that was loaded.
        self.report: Any = None

    # --- as an object --------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        sides = "x".join(map(str, self.input_shape)), "x".join(map(str, self.output_shape))
        return f"Model({sides[0]} -> {sides[1]}, {self.graph.parameters:,} parameters)"

    def _repr_html_(self) -> str:
        """For a notebook."""
        from paring.runtime._show import html

        return html(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies hold the network as plain data, not the engine, which is built anew."""
        return Model, (self.contents, self.threads, "reference" if self._reference else "native")

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the engine's memory back; the model can then be saved and converted, but not run. Twice is once."""
        self.engine, self._closed = None, True

    @property
    def contents(self) -> Contents:
        """What a file of it holds."""
        return Contents(self.graph, self.preparation, self.classes, dict(self.provenance or {}), self._told)

    # --- out of it -----------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], coding: str = "adaptive") -> Inspection:
        """Write it as a `.pare` file, weights in their forms; see :func:`paring.write` for errors.

        Returns:
            where the bytes are; ``total`` is the length of the file.
        """
        return write(path, self.contents, coding)

    def to_torch(self) -> Any:
        """A trainable ``nn.Module`` with the exact values of the weights; see :func:`paring.capture.rebuild`.

        It takes ``(N, C, H, W)``, prepared. Needs torch.
        """
        # By name: the workshop lies above this half, which never imports it unasked.
        return import_module("paring.capture").rebuild(self.graph)

    def to_onnx(self, path: str | os.PathLike[str]) -> dict[str, float]:
        """Write it as a float ONNX file that takes ``(N, C, H, W)`` or ``(N, F)``; see
        :func:`paring.runtime.write_onnx`.
        """
        return write_onnx(path, self.graph)

    # --- answers -------------------------------------------------------------------------------------------------

    def __call__(self, x: Any) -> np.ndarray:
        """Scores of one or more images.

        Args:
            x: prepared: a float32 array ``(N, H, W, C)`` or ``(H, W, C)``, or a tensor ``(N, C, H, W)``; an array with
                the channels first will do where only that fits. To be prepared: uint8 ``(H, W)``, ``(H, W, C)`` or
                ``(N, H, W, C)``; a path, a file's bytes or ``BytesIO``, or a PIL image; or a list of any of these but
                batches; or a folder of pictures. A loader, an iterable of batches, of which labels are left alone.
                A uint8 array of three axes is one image if its last axis is 1, 3 or 4, else a batch of gray images.

        Returns:
            float32 ``(N, *output shape)``, usually ``(N, classes)``.

        Raises:
            ArgumentError: on another type or shape; if the model is closed.
            DataError: if an image cannot be opened or prepared.
        """
        if type(x) is np.ndarray and x.dtype == np.float32 and x.shape[1:] == self.input_shape:
            return self._run(x)
        if isinstance(x, np.ndarray | list | tuple) or given.is_tensor(x) or given.is_picture(x):
            return self._run(self._batch(x))
        parts = [self._run(part) for part in self._parts(x)]
        return np.concatenate(parts) if parts else np.empty((0, *self.output_shape), np.float32)

    def prepare(self, image: Any) -> np.ndarray:
        """One image (path, bytes, PIL image or uint8 array) as the network's input, float32 ``(H, W, C)``."""
        preparation = self._preparation()
        return prepare(picture(image, preparation.white), preparation)

    def classify(self, images: Any, top: int = 5) -> list[list[tuple[str, float]]]:
        """The most probable classes of each image, best first, with their probabilities.

        Logits go through a softmax, those of a network of many labels or of one number through a sigmoid, and what is
        a probability already stays; :attr:`output` says which. A single number is the probability of the second of two
        classes, ``1`` beside ``0`` if they have no names.

        Args:
            images: as for :meth:`__call__`.
            top: how many classes, at least 1.

        Raises:
            ArgumentError: if the answers are no classes but numbers or maps, or as :meth:`__call__`.
        """
        if top < 1:
            raise ArgumentError("top is below 1", found=top)
        self.must_classify()
        scores = probabilities(self(images), self.output, self.shown)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        return [
            [(self.class_name(int(c)), float(p)) for c, p in zip(best, row[best], strict=True)]
            for row, best in zip(scores, order, strict=True)
        ]

    def evaluate(self, data: Any, size: int = 256) -> dict[str, float]:
        """How often it is right.

        Args:
            data: images with labels: a pair of arrays or tensors, a loader of such pairs, a data set, ``kind:where``
                (its test part), or a folder with a sub-folder for each class. Images as :meth:`__call__` takes them.
                For a network of many labels also a pair with rows of 0 and 1; shares are then over single answers.
            size: images of a data set or a pair at a time.

        Returns:
            ``images``, how many; ``accuracy`` and ``error``, shares; ``loss``, the mean cross-entropy (of many labels,
            the binary one, also over labels); with at least 100 classes also ``error_5``, the share whose class is not
            among the five best answers.

        Raises:
            ArgumentError: if there are no labels, or the network is no classifier.
            DataError: if there are no images or a label is out of range.
        """
        return evaluate(self, data, size)

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

    def _run(self, batch: np.ndarray) -> np.ndarray:
        if self._closed:
            raise ArgumentError("model is closed", fix="Load it again, or close it later")
        if batch.ndim == len(self.input_shape):
            batch = batch[None]
        result = reference.run(self.graph, batch) if self.engine is None else self.engine.run(batch)
        assert isinstance(result, np.ndarray)
        return result

    def _parts(self, x: Any) -> Iterator[np.ndarray]:
        """Whatever holds many images, as prepared batches."""
        if isinstance(x, str | Path):  # a folder
            paths = given.pictures(x)
            yield from (self._batch(paths[start : start + 64]) for start in range(0, len(paths), 64))
        elif hasattr(x, "prepared"):
            yield from (x.prepared(start, start + 256) for start in range(0, len(x), 256))
        else:
            yield from (self._batch(images) for images, _ in given.batches(x, self.input_shape))

    def _batch(self, x: Any) -> np.ndarray:
        if given.is_tensor(x):
            one = tuple(x.shape) == (self.input_shape[-1], *self.input_shape[:-1])
            x = given.channels_last(x[None] if one else x, self.input_shape)
        if isinstance(x, np.ndarray):
            if x.dtype == np.float32:
                if x.ndim == 4 and x.shape[1:] != self.input_shape:
                    return given.channels_last(x, self.input_shape)
                return x
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

    def must_classify(self) -> None:
        """Raises: ArgumentError: if the answers are no classes."""
        if len(self.output_shape) != 1 or self.output in ("regression", "map"):
            raise ArgumentError(
                "network is no classifier",
                found=f"output {self.output_shape}, {self.output}",
                expected="(classes,)",
                fix='Say so if it is one: output="logits" or "multi-label", --output'
                if len(self.output_shape) == 1
                else None,
            )


def load(
    path: str | Path,
    threads: int = 1,
    engine: str = "native",
    *,
    output: str = "",
    limits: Limits | None = DEFAULT_LIMITS,
) -> Model:
    """Open a `.pare` file as something callable on arrays and images; needs neither torch nor any Python class.

    Args:
        path: the file.
        threads: threads of the native engine.
        engine: ``native`` or ``reference``.
        output: what the answers are, if it is not what the file says; see :class:`Model`.
        limits: how much an image may cost; the default keeps a small file of a stranger from taking much memory or
            time. None for any cost.

    Raises:
        FormatError: if the file is refused, or running it would cost more than ``limits``.
        GraphError: if its network is not well formed.
    """
    contents = read(path)
    if limits is not None:
        limits.check(contents, os.stat(path).st_size, path)
    return Model(contents, threads, engine, output)
