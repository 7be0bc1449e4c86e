"""From the last network of a chain to the file, and the record of the run."""

from __future__ import annotations

import io
import os
import platform
import zipfile
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import nn

from paring import __version__
from paring.container import Contents, Inspection, write
from paring.errors import ArgumentError
from paring.forms import Codebook
from paring.graph import Graph
from paring.parametrize import forms
from paring.recipes.run._chain import Measured
from paring.recipes.run._inputs import Inputs
from paring.recipes.steps._base import weighted
from paring.record import Layer, Record
from paring.training.input import Images
from paring.training.loop import write_atomic


def write_file(
    record: Record, graph: Graph, data: Images, path: Path, folder: Path, coding: str, compare: str
) -> Inspection:
    """Write the file, and beside it one in the coding it is to be compared with; complete the record with their bytes.

    Returns:
        where the file's bytes are.
    """
    provenance = {"recipe": record.recipe, "network": record.network, "data": data.name.partition(":")[0]}
    contents = Contents(graph, data.known_preparation, data.classes, {**provenance, "paring": __version__})
    written = write(path, contents, coding)
    other = write(folder / f"{record.network}.paper.pare", contents, compare) if compare else None
    record.layers = layers(graph, _sizes(written), _sizes(other) if other else {})
    record.file = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    record.file_bytes, record.paper_bytes = written.total, other.total if other else None
    return written


def _sizes(table: Inspection) -> dict[str, int]:
    return {row.name: row.size for row in table.rows if row.section == "weights"}


def layers(graph: Graph, sizes: Mapping[str, int], paper: Mapping[str, int]) -> list[Layer]:
    """A row for each weight and bias of a layer, in the graph's order."""
    found: dict[str, Layer] = {}
    for node in weighted(graph):
        for role in ("weight", "bias"):
            name = node.weights.get(role)
            if name is None or name in found:
                continue
            form = graph.weights[name]
            found[name] = Layer(
                name=name,
                op=node.op if role == "weight" else role,
                shape=tuple(form.shape),
                weights=form.size,
                kept=form.nonzeros,
                centroids=len(form.centroids) if isinstance(form, Codebook) else None,
                bits=form.params().get("bits", 32),
                bytes=sizes.get(name),
                paper_bytes=paper.get(name),
            )
    return list(found.values())


def keep_baseline(record: Record, original: nn.Module, graph: Graph | None, folder: Path) -> None:
    """The float network's size, and those of its weights that are in the file with the same shape."""
    arrays = {name: form.dense() for name, form in forms(original).items()}
    record.float_bytes = 4 * sum(prod(array.shape) for array in arrays.values())
    there = graph.weights if graph is not None else {}
    same = {n: a for n, a in arrays.items() if n in there and tuple(there[n].shape) == a.shape}
    write_arrays(folder / "baseline.npz", same)
    record.baseline = "baseline.npz"


def begun(recipe: str, inputs: Inputs, seed: int, commands: Sequence[str]) -> Record:
    """A record of a run before its first step."""
    return Record(
        recipe=recipe,
        network=inputs.name,
        data=inputs.train.name,
        seed=seed,
        test_set=inputs.title,
        test_images=len(inputs.test),
        classes=inputs.train.classes,
        commands=list(commands),
        machine=machine(),
    )


def finished(record: Record, done: Sequence[Measured]) -> None:
    """What the steps did."""
    record.stages = [one.stage for one in done]
    record.baseline_error, record.final_error = done[0].stage.test_error, done[-1].stage.test_error


def check_coding(coding: str) -> None:
    """Raises: ArgumentError: on an unknown coding."""
    if coding not in ("adaptive", "huffman"):
        raise ArgumentError("no such coding", found=repr(coding), expected="adaptive or huffman")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """A NumPy ``.npz`` archive whose bytes depend on the arrays alone (no times in it), written atomically."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue())
    write_atomic(path, buffer.getvalue())


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
