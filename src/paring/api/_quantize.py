"""``paring.quantize``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from paring import __version__
from paring.api._images import set_of, tensor, vectors, wish_of
from paring.api._network import classes_of, graph_of, told
from paring.capture import norm_statistics
from paring.container import Contents, output_of
from paring.graph import fold_scale_shift
from paring.image import Preparation
from paring.methods.integer import quantize as quantize_graph
from paring.runtime import Model

#: Images that ranges are read off.
CALIBRATION = 128


def quantize(
    net: Any,
    images: Any,
    *,
    bits: Any = 8,
    activations: Any = 8,
    rounding: Any = None,
    limit: int = CALIBRATION,
    classes: tuple[str, ...] = (),
    threads: int = 1,
    output: str = "",
    **options: Any,
) -> Model:
    """Integer weights and activations after training, without labels and without training.

    Args:
        net: a module, left as it is; a graph or a model.
        images: a hundred or so of the kind the network will see, not the test set: a tensor ``(N, C, H, W)`` or array,
            a loader, a list of pictures, a folder of them, or ``kind:where``; also ``(N, F)``. Floats are prepared
            already; pictures are prepared by what the network or ``options`` say.
        bits: width of the weights, 2 to 8, or by patterns on layers' names.
        activations: width of what goes between layers, 2 to 8; None leaves it float.
        rounding: ``nearest``, ``gptq`` or ``adaround``; by default ``nearest`` from 6 bits up, ``gptq`` below.
        limit: so many images are looked at.
        classes: names of the classes; the network's own if it has them.
        threads: of the model's engine.
        output: what the answers are, as for :func:`paring.export`.
        options: how pictures are prepared (``preparation``, or ``mean`` and ``std``, and ``size``); and any argument of
            :func:`paring.methods.quantize`.

    Returns:
        the model; its ``report`` says what became of every layer.

    Raises:
        ArgumentError: if it is no network or no images, or an option cannot be.
        DataError: if there are no images, or they do not fit the network.
        GraphError: if the network cannot be captured.
    """
    calibration, preparation = calibrating(net, images, limit, options)
    graph, _ = float_graph(net, calibration)
    if rounding is None:
        rounding = "nearest" if not isinstance(bits, int) or bits >= 6 else "gptq"
    made = quantize_graph(graph, calibration, weights=bits, activations=activations, rounding=rounding, **options)
    names = tuple(classes) or classes_of(net)
    kind = output or told(net)
    if not kind and output_of(graph, len(names)) != output_of(made.graph, len(names)):
        kind = "probabilities"  # a sigmoid became a table of codes: its numbers are none to take a sigmoid of
    provenance = {"recipe": "quantize", "paring": __version__}
    model = Model(Contents(made.graph, preparation, names, provenance, kind), threads)
    model.report = made
    return model


def calibrating(net: Any, images: Any, limit: int, options: dict[str, Any]) -> tuple[torch.Tensor, Preparation | None]:
    """Prepared images, float32 ``(N, C, H, W)`` or ``(N, F)``, and how pictures become such, if that is known."""
    wish = wish_of(net, options)
    rows = vectors(images, limit)
    if rows is not None:
        return rows, None
    data = set_of(net, images, wish, labels=False, limit=limit)
    return tensor(data), data.known_preparation


def float_graph(net: Any, images: torch.Tensor) -> tuple[Any, Any]:
    """The float graph with its batch norms folded, and those norms by layer. Zeros of pruning stay zeros."""
    graph = graph_of(net, images[:1], fold=False, forms=False).dense_copy()
    norms = norm_statistics(net, graph) if isinstance(net, nn.Module) else {}
    return fold_scale_shift(graph), norms
