"""From the trained network to the file, and what there is to say about it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from paring import __version__
from paring.capture import capture
from paring.container import Contents, write
from paring.data import Dataset
from paring.errors import GraphError
from paring.forms import Codebook, Form
from paring.graph import Graph
from paring.methods import forms, places
from paring.record import Layer, Record

#: Modules whose parameters reach the graph as the scale and the shift of a node.
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def graph_with_forms(plain: nn.Module, trained: nn.Module, shape: tuple[int, int, int]) -> Graph:
    """Capture a plain network that holds the trained values, and put the forms in place of the weights.

    Batch norms stay ``scale_shift`` nodes: folded into a layer they would scale its shared values apart.

    Args:
        plain: a network of the same kind without parametrisations; its parameters and buffers are overwritten.
        trained: the trained network.
        shape: ``(C, H, W)``.

    Raises:
        GraphError: if a weight did not reach the graph as it is.
    """
    exact, buffers = forms(trained), dict(trained.named_buffers())
    with torch.no_grad():
        for name, place in places(plain).items():
            getattr(place.module, place.tensor).copy_(torch.from_numpy(exact[name].dense()))
        for name, buffer in plain.named_buffers():
            buffer.copy_(buffers[name])
    graph = capture(plain.eval(), shape, fold=False)
    for name, place in places(plain).items():
        if isinstance(place.module, _NORMS):
            continue  # computed into the scale and the shift
        if name not in graph.weights:
            raise GraphError("weight is not in the captured graph", where=name, expected=", ".join(graph.weights))
        if not np.array_equal(graph.weights[name].dense(), exact[name].dense()):
            raise GraphError("capture changed a weight that has a form", where=name)
        graph.weights[name] = exact[name]
    return graph


def write_result(
    record: Record,
    trained: nn.Module,
    plain: nn.Module,
    data: Dataset,
    path: Path,
    folder: Path,
    coding: str,
    say: Callable[[str], None],
) -> None:
    """Write the file, and beside it one in the paper's coding, and complete the record with their bytes."""
    exact = forms(trained)
    height, width, channels = data.preparation.shape
    graph = graph_with_forms(plain, trained, (channels, height, width))
    provenance = {"recipe": record.recipe, "network": record.network, "data": data.name.partition(":")[0]}
    contents = Contents(graph, data.preparation, data.classes, {**provenance, "paring": __version__})
    written = write(path, contents, coding)
    paper = write(folder / f"{record.network}.paper.pare", contents, coding="huffman")
    ours, theirs = ({row.name: row.size for row in table.rows} for table in (written, paper))
    record.layers = [
        _layer(trained, name, form, ours[name], theirs[name]) for name, form in exact.items() if name in graph.weights
    ]
    record.file = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    record.file_bytes, record.paper_bytes = written.total, paper.total
    say(f"write: {path}, {written.total:,} bytes, {record.ratio:.1f} times smaller than float")


def _layer(network: nn.Module, name: str, form: Form, ours: int | None, theirs: int | None) -> Layer:
    place = places(network)[name]
    kinds = {nn.Conv1d: "conv1d", nn.Conv2d: "conv2d", nn.Linear: "linear"}
    kind = next((word for cls, word in kinds.items() if isinstance(place.module, cls)), type(place.module).__name__)
    return Layer(
        name=name,
        op=kind if place.tensor == "weight" else place.tensor,
        shape=form.shape,
        weights=form.size,
        kept=form.nonzeros,
        centroids=len(form.centroids) if isinstance(form, Codebook) else None,
        bits=form.params().get("bits", 32),
        bytes=ours,
        paper_bytes=theirs,
    )


def machine() -> dict[str, object]:
    """The machine and the versions a run was made with."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "paring": __version__,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
