"""From the trained network to the file, and what there is to say about it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from paring import __version__
from paring.container import Contents, write
from paring.data import Dataset
from paring.forms import Codebook, Form
from paring.methods import graph_with_forms
from paring.parametrize import forms, places
from paring.record import Layer, Record


def write_result(
    record: Record,
    trained: nn.Module,
    data: Dataset,
    path: Path,
    folder: Path,
    coding: str,
    log: Callable[[str], None],
) -> None:
    """Write the file, and beside it one in the paper's coding, and complete the record with their bytes."""
    exact = forms(trained)
    height, width, channels = data.preparation.shape
    graph = graph_with_forms(trained, (channels, height, width))
    provenance = {"recipe": record.recipe, "network": record.network, "data": data.name.partition(":")[0]}
    contents = Contents(graph, data.known_preparation, data.classes, {**provenance, "paring": __version__})
    written = write(path, contents, coding)
    paper = write(folder / f"{record.network}.paper.pare", contents, coding="huffman")
    ours, theirs = ({row.name: row.size for row in table.rows} for table in (written, paper))
    record.layers = [
        _layer(trained, name, form, ours[name], theirs[name]) for name, form in exact.items() if name in graph.weights
    ]
    record.file = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    record.file_bytes, record.paper_bytes = written.total, paper.total
    log(f"write: {path}, {written.total:,} bytes, {record.ratio:.1f} times smaller than float")


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
