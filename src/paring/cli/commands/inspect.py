"""``paring inspect``: where the bytes of a file are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paring.cli.options._common import Json
from paring.cli.render._output import count, log, print_facts, print_json, print_table
from paring.image import Preparation


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE.pare", help="The file.")],
    json: Json = False,
) -> None:
    """Show where the bytes of a .pare file are: one row per section and weight, adding up to the file's length.

    Reads and checks the whole file; needs no PyTorch.

    Example: [bold]paring inspect lenet.pare[/bold]
    """
    from paring import container

    found = container.inspect(file)
    contents = container.read(file)
    graph = contents.graph
    if json:
        print_json(
            {
                "file": str(file),
                "bytes": found.total,
                "version": found.version,
                "coding": found.coding,
                "rows": [
                    {
                        "section": row.section,
                        "name": row.name,
                        "bytes": row.size,
                        "form": row.form,
                        "shape": list(row.shape),
                        "weights": row.weights,
                        "nonzeros": row.nonzeros,
                    }
                    for row in found.rows
                ],
                "inputs": {name: list(shape) for name, shape in graph.inputs.items()},
                "outputs": list(graph.outputs),
                "nodes": len(graph.nodes),
                "answers": contents.output or container.output_of(graph, len(contents.classes)),
                "classes": list(contents.classes),
                "preparation": None if contents.preparation is None else vars(contents.preparation),
                "provenance": contents.provenance,
            }
        )
        return
    total = found.total
    rows = []
    for row in found.rows:
        kept = f"{100 * row.nonzeros / row.weights:.1f} %" if row.weights else ""
        shape = "x".join(map(str, row.shape))
        bits = f"{8 * row.size / row.weights:.2f}" if row.weights else ""
        share = f"{100 * row.size / total:.1f} %"
        rows.append((row.section, row.name, row.form, shape, kept, bits, count(row.size), share))
    print_table(
        ("section", "what", "form", "shape", "kept", "bits/weight", "bytes", "share"),
        rows,
        title=f"{file}: format {found.version}, {found.coding} coding",
        total=("total", "", "", "", "", "", count(total), "100.0 %"),
        left=3,
    )
    log()
    facts = {
        "input": ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in graph.inputs.items()),
        "graph": f"{len(graph.nodes)} operations, {count(graph.parameters)} weights",
        "image": describe(contents.preparation) if contents.preparation else "",
        "answers": contents.output or container.output_of(graph, len(contents.classes)),
        "classes": ", ".join(contents.classes[:10]) + ", ..." * (len(contents.classes) > 10),
    }
    print_facts(facts | contents.provenance)


def describe(preparation: Preparation) -> str:
    """A preparation in words."""
    crop = f"shorter side to {preparation.resize}, center crop " if preparation.resize else "scaled to "
    color = "gray" if preparation.channels == 1 else "RGB"
    mean, std = (" ".join(f"{v:g}" for v in values) for values in (preparation.mean, preparation.std))
    return f"{color}, {crop}{preparation.height}x{preparation.width}, mean {mean}, std {std}"
