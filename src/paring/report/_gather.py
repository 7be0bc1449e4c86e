"""From a `.pare` file and the record of its run to a :class:`Report`."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

import paring
from paring.container import Contents, Inspection, inspect, read
from paring.errors import ArgumentError, CheckpointError, ParingError
from paring.graph import Graph
from paring.image import Preparation
from paring.record import Record
from paring.report._model import Report
from paring.report._network import form_name, fused, graph_nodes, histograms, layers
from paring.report._page import render, write_page
from paring.report._paper import coding_rows
from paring.report._pieces import Accuracy, Facts, Histogram, NodeTime, Section, Stage, Timing

#: Most bytes in front of the numbers of an array in a NumPy archive.
_NPY_HEADER = 1 << 16


def gather(
    pare: str | os.PathLike[str],
    *,
    record: Record | None = None,
    run: str | os.PathLike[str] | None = None,
    accuracy: Accuracy | None = None,
    timings: Sequence[Timing] = (),
    profile: Sequence[NodeTime] = (),
    profile_source: str = "",
    opened: tuple[Contents, Inspection] | None = None,
) -> Report:
    """Everything that can be said about a file; nothing is timed or scored here.

    Args:
        pare: the `.pare` file.
        record: what the run left behind; read from ``run`` if that alone is given.
        run: the run's folder, where the record's baseline weights lie.
        accuracy: measured on this file; without it the record's own errors are shown.
        timings: of the engine and of what it is compared with.
        profile: of the engine, by the name of the value each step makes.
        profile_source: conditions of ``profile``.
        opened: what the file holds and where its bytes are, if that has been read already.

    Raises:
        FormatError: if the file is refused.
        CheckpointError: if ``run`` holds no record or its baseline weights cannot be read.
        ArgumentError: if the record is of another network than the file.
    """
    contents, table = opened or (read(pare), inspect(pare))
    if record is None and run is not None:
        record = Record.load(Path(run))
    if record is not None:
        _check_same(record, contents, Path(pare).name)
    sizes = {row.name: row.size for row in table.rows if row.section == "weights"}
    codings, coding_source = coding_rows(contents.graph, sizes)
    return Report(
        title=_title(record, contents, Path(pare)),
        file=Path(pare).name,
        bytes=os.path.getsize(pare),
        sections=_sections(contents.graph, table),
        layers=layers(contents.graph, sizes),
        nodes=graph_nodes(contents.graph),
        accuracy=accuracy or _accuracy(record),
        timings=tuple(timings),
        stages=_stages(record),
        stage_data=(record.test_set or record.data) if record else "",
        histograms=_histograms(contents, record, run),
        profile=fused(profile, contents.graph),
        profile_source=profile_source,
        codings=codings,
        coding_source=coding_source,
        coder=table.coding,
        preparation=_preparation(contents.preparation),
        classes=contents.classes,
        facts=_facts(contents, table, record, Path(pare)),
        settings=_settings(record),
        commands=_commands(contents, record),
        version=paring.__version__,
    )


def write(
    path: str | os.PathLike[str],
    pare: str | os.PathLike[str],
    record: Record | None = None,
    *,
    run: str | os.PathLike[str] | None = None,
    accuracy: Accuracy | None = None,
    timings: Sequence[Timing] = (),
    profile: Sequence[NodeTime] = (),
    profile_source: str = "",
    opened: tuple[Contents, Inspection] | None = None,
) -> Path:
    """Write the page about a file, whole or not at all; arguments and errors as for :func:`gather`.

    Raises:
        OutputError: if the page cannot be written.
    """
    report = gather(
        pare,
        record=record,
        run=run,
        accuracy=accuracy,
        timings=timings,
        profile=profile,
        profile_source=profile_source,
        opened=opened,
    )
    return write_page(path, render(report))


def _check_same(record: Record, contents: Contents, file: str) -> None:
    """A record speaks for a file only if every layer it lists is there with as many weights kept."""
    weights = contents.graph.weights
    for layer in record.layers:
        form = weights.get(layer.name)
        found = (form.shape, form.nonzeros) if form is not None else "no such weight"
        if found != (layer.shape, layer.kept):
            raise ArgumentError(
                f"record of the run is of another network than {file}",
                where=layer.name,
                found=found,
                expected=(layer.shape, layer.kept),
                fix="Give the folder of the run that made this file",
            )


def _title(record: Record | None, contents: Contents, pare: Path) -> str:
    return (record.network if record else "") or contents.provenance.get("network", "") or pare.stem


def _sections(graph: Graph, table: Inspection) -> tuple[Section, ...]:
    roles = {name: pairs[0][1] for name, pairs in graph.weight_users().items()}
    rows = []
    for row in table.rows:
        if row.section == "weights":
            form = graph.weights[row.name]
            rows.append(Section(row.name, f"{roles[row.name]}, {form.kind}", row.size, form_name(form)))
        else:
            rows.append(Section(row.name, row.section, row.size))
    return tuple(rows)


def _accuracy(record: Record | None) -> Accuracy | None:
    if record is None or record.final_error is None:
        return None
    return Accuracy(
        record.test_set or record.data,
        record.test_images,
        record.baseline_error,
        record.final_error,
        "float network in torch",
        "network in the file, run in torch",
    )


def _stages(record: Record | None) -> tuple[Stage, ...]:
    if record is None:
        return ()
    rows = []
    for stage in record.stages:
        epochs = f"{stage.epochs} epoch" + "s" * (stage.epochs != 1) if stage.epochs else ""
        kept = stage.nonzeros / stage.weights if stage.weights else None
        note = "; ".join(filter(None, (stage.note, epochs)))
        rows.append(Stage(stage.name, note, stage.test_error, kept, stage.seconds))
    return tuple(rows)


def _histograms(contents: Contents, record: Record | None, run: str | os.PathLike[str] | None) -> tuple[Histogram, ...]:
    if record is None or run is None or not record.baseline:
        return histograms(contents.graph)
    path = Path(run) / record.baseline
    if not path.resolve().is_relative_to(Path(run).resolve()):
        raise CheckpointError("weights before compression lie outside the run folder", where=run, found=record.baseline)
    try:
        return histograms(contents.graph, _baseline(path, contents.graph))
    except ParingError:
        raise
    except FileNotFoundError:
        return histograms(contents.graph)
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error, AttributeError, TypeError, MemoryError) as error:
        raise CheckpointError("weights before compression cannot be read", where=path, found=error) from None


def _baseline(path: Path, graph: Graph) -> dict[str, np.ndarray]:
    """The weights in a NumPy archive that the graph has, too; no more is unpacked than they have numbers."""
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        wanted = {f"{name}.npy": form.size for name, form in graph.weights.items() if name in archive.files}
        for entry in archive.zip.infolist():
            if entry.file_size > 8 * wanted.get(entry.filename, entry.file_size) + _NPY_HEADER:
                raise ValueError(f"{entry.filename} has {entry.file_size:,} bytes for a weight of the file")
        return {name.removesuffix(".npy"): archive[name.removesuffix(".npy")] for name in wanted}


def _preparation(preparation: Preparation | None) -> tuple[tuple[str, str], ...]:
    if preparation is None:
        return ()
    color = "gray" if preparation.channels == 1 else "RGB"
    rows = [("Input", f"{preparation.height} × {preparation.width} pixels, {color}")]
    if preparation.resize:
        rows.append(("Resize", f"shorter side to {preparation.resize}, then center crop"))
    else:
        rows.append(("Resize", "both sides straight to the input's"))
    rows.append(("Scale", "to 0..1, minus mean, over standard deviation"))
    for title, values in (("Mean", preparation.mean), ("Deviation", preparation.std)):
        rows.append((title, ", ".join(f"{value:.6g}" for value in values)))
    return tuple(rows)


def _commands(contents: Contents, record: Record | None) -> tuple[str, ...]:
    if record is not None and record.commands:
        return tuple(record.commands)
    command = contents.provenance.get("command")
    return tuple(command.splitlines()) if command else ()


def _facts(contents: Contents, table: Inspection, record: Record | None, pare: Path) -> tuple[Facts, ...]:
    digest = hashlib.sha256(pare.read_bytes()).hexdigest()
    file = [("Format", f"version {table.version}, {table.coding} coder"), ("SHA-256", digest)]
    told = [(key, value) for key, value in sorted(contents.provenance.items()) if key != "command"]
    groups = [Facts("The file", tuple(file)), Facts("What the file says of itself", tuple(told))]
    if record is not None:
        run = {
            "Recipe": record.recipe,
            "Preset": record.preset,
            "Network": record.network,
            "Data": record.data,
            "Test set": f"{record.test_set}, {record.test_images:,} images" if record.test_set else "",
            "Seed": str(record.seed),
        }
        groups.append(Facts("The run", tuple((key, value) for key, value in run.items() if value)))
        groups.append(Facts("The machine", _flat(record.machine)))
    return tuple(group for group in groups if group.rows)


def _settings(record: Record | None) -> tuple[Facts, ...]:
    """Settings of phases are mappings of their own; short mappings (pattern to number) are not."""
    if record is None or not record.settings:
        return ()
    phases = {key: value for key, value in record.settings.items() if isinstance(value, Mapping) and len(value) > 3}
    whole = {key: value for key, value in record.settings.items() if key not in phases}
    return (
        Facts("The whole recipe", _flat(whole)),
        *(Facts(key.replace("_", " ").capitalize(), _flat(value)) for key, value in phases.items()),
    )


def _flat(values: Mapping[str, object], prefix: str = "") -> tuple[tuple[str, str], ...]:
    """JSON values as rows; mappings are unfolded under their key."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key} ")
        elif value is not None and value != "":
            shown = value if isinstance(value, str) else json.dumps(value)
            rows.append((f"{prefix}{key}".replace("_", " "), shown))
    return tuple(rows)
