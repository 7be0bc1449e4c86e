"""From the last network of a chain to the file, and the record of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path

from torch import nn

from paring import __version__
from paring.container import Contents, write
from paring.data import Dataset
from paring.errors import ArgumentError
from paring.forms import Codebook
from paring.graph import Graph
from paring.parametrize import forms
from paring.recipes._folder import write_arrays
from paring.recipes._result import machine
from paring.recipes.run._chain import Measured
from paring.recipes.steps._base import weighted
from paring.record import Layer, Record


def write_file(
    record: Record, graph: Graph, data: Dataset, path: Path, folder: Path, coding: str, log: Callable[[str], None]
) -> None:
    """Write the file and complete the record with its bytes."""
    provenance = {"recipe": record.recipe, "network": record.network, "data": data.name.partition(":")[0]}
    contents = Contents(graph, data.known_preparation, data.classes, {**provenance, "paring": __version__})
    written = write(path, contents, coding)
    sizes = {row.name: row.size for row in written.rows if row.section == "weights"}
    record.layers = layers(graph, sizes)
    record.file = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    record.file_bytes = written.total
    log(f"write: {path}, {written.total:,} bytes, {record.ratio:.1f} times smaller than float")


def layers(graph: Graph, sizes: dict[str, int]) -> list[Layer]:
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


def begun(
    recipe: str, name: str, train: Dataset, test: Dataset, title: str, seed: int, commands: Sequence[str]
) -> Record:
    """A record of a run before its first step."""
    return Record(
        recipe=recipe,
        network=name,
        data=train.name,
        seed=seed,
        test_set=title,
        test_images=len(test),
        classes=train.classes,
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
