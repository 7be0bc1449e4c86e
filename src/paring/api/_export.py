"""``paring.export``."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from paring import __version__
from paring.api._images import wish_of
from paring.api._network import classes_of, example_of, graph_of, told
from paring.container import Contents
from paring.data._given import array
from paring.graph import Graph
from paring.image import Preparation
from paring.runtime import Model


def export(
    net: Any,
    example: Any = None,
    path: str | os.PathLike[str] | None = None,
    *,
    classes: tuple[str, ...] = (),
    coding: str = "adaptive",
    threads: int = 1,
    output: str = "",
    **options: Any,
) -> Model:
    """A network as it is, as a model and a `.pare` file: weights that trained in a form keep it, others stay float.

    Args:
        net: a module, a graph or a model.
        example: an input, or its shape ``(C, H, W)``; not needed for a graph or a model.
        path: where to write the file, if at all.
        classes: names of the classes; the network's own if it has them.
        coding: of the file, ``adaptive`` or ``huffman``.
        threads: of the model's engine.
        output: what the answers are, where the network's last operators do not show it: ``logits`` (of exclusive
            classes), ``probabilities``, ``multi-label`` (each class for itself), ``regression`` or ``map``.
        options: how pictures are prepared: ``preparation``, or ``mean`` and ``std`` per channel in units of 0..1. Where
            neither these nor the network say it, pictures are divided by 255 and nothing more, which is warned of; an
            example of numbers outside of 0..1 shows that this is wrong, and the file then takes floats alone.

    Raises:
        ArgumentError: if it is no network, an option is unknown, or the shape is needed.
        GraphError: if the network cannot be captured.
        OutputError: if the file cannot be written.
    """
    wish = wish_of(net, options)
    refuse(options)
    example = None if example is None else example_of(example)
    graph = graph_of(net, example)
    preparation = wish.preparation or _prepared(graph, wish.normal, example, path)
    names = tuple(classes) or classes_of(net)
    provenance = {**(getattr(net, "provenance", None) or {}), "paring": __version__}
    model = Model(Contents(graph, preparation, names, provenance, output or told(net)), threads)
    if path is not None:
        model.save(path, coding)
    return model


def refuse(options: dict[str, Any]) -> None:
    """Raises: ArgumentError: on an option that nobody took."""
    if options:
        from paring.errors import ArgumentError

        expected = "preparation, mean, std or size"
        raise ArgumentError("unknown argument", found=", ".join(options), expected=expected)


def _prepared(graph: Graph, normal: Any, example: Any, path: Any) -> Preparation | None:
    shapes = list(graph.inputs.values())
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][2] not in (1, 3):
        return None
    height, width, channels = shapes[0]
    if normal is not None:
        mean, std = ((*part * (channels if len(part) == 1 else 1),) for part in normal)
        return Preparation(height, width, channels, mean, std)
    numbers = array(example) if hasattr(example, "shape") else np.zeros(0, np.float32)
    if numbers.size and numbers.dtype == np.float32 and not (numbers.min() >= 0 and numbers.max() <= 1):
        return None
    if path is not None:
        warnings.warn(
            f"{path}: how the network wants pictures is not known; they will be divided by 255 and nothing more. Give "
            "mean= and std=, or preparation=",
            stacklevel=3,
        )
    return Preparation(height, width, channels, (0.0,) * channels, (1.0,) * channels)
