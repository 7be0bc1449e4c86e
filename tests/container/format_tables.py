"""The parts of docs/reference/format.md made from the code: operators, forms, the primer and the annotated file.

python tests/container/format_tables.py            rewrites them in docs/reference/format.md
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from paring.container import Contents, _frame, _network, write
from paring.container._bytes import Writer
from paring.container._primer import PRIMER
from paring.forms import FORMS, Codebook, Dense
from paring.graph import OPS, Graph, Node
from paring.image import Preparation

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "format.md"


def operators() -> str:
    lines = ["| number | operator | inputs | attributes in mask order, with defaults | weights ([optional]) |"]
    lines.append("|---|---|---|---|---|")
    for name, spec in sorted(OPS.items(), key=lambda item: item[1].number):
        inputs = (
            f"{spec.min_inputs}" if spec.min_inputs == spec.max_inputs else f"{spec.min_inputs} to {spec.max_inputs}"
        )
        attrs = ", ".join(f"{key} = {_literal(value)}" for key, value in spec.attrs.items()) or "-"
        weights = ", ".join([*spec.required_weights, *(f"[{role}]" for role in spec.optional_weights)]) or "-"
        lines.append(f"| {spec.number} | `{name}` | {inputs} | {attrs} | {weights} |")
    return "\n".join(lines)


def _literal(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def forms() -> str:
    lines = ["| number | form | parameters |", "|---|---|---|"]
    for number, (kind, form) in enumerate(FORMS.items()):
        lines.append(f"| {number} | `{kind}` | {', '.join(form.param_names)} |")
    return "\n".join(lines)


def primer() -> str:
    text = PRIMER.hex()
    return "```\n" + "\n".join(text[i : i + 96] for i in range(0, len(text), 96)) + "\n```"


def example() -> Contents:
    """Three classes from four inputs, seven weights pruned."""
    book = Codebook(np.array([-0.5, 0.25, 0.75]), np.array([[0, 1, 0, 0], [2, 0, 3, 0], [0, 0, 0, 1]]), 16)
    weights = {"linear.weight": book, "linear.bias": Dense(np.array([0.0, 0.5, -1.0]), 16)}
    nodes = [
        Node("flatten", "flatten", ("x",)),
        Node("linear", "linear", ("flatten",), {}, {"weight": "linear.weight", "bias": "linear.bias"}),
        Node("out", "leaky_relu", ("linear",), {"slope": 0.125}),
    ]
    graph = Graph({"x": (2, 2, 1)}, nodes, ("out",), weights)
    return Contents(graph, Preparation(2, 2, 1, (0.5,), (0.25,)), ("a", "b", "c"), {"by": "hand"})


def example_bytes(coding: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "example.pare"
        write(path, example(), coding)
        return path.read_bytes()


def annotated() -> str:
    data = example_bytes("adaptive")
    sections = _frame.split(data, "example")
    lines, at = [], 0

    def row(length, what):
        nonlocal at
        for start in range(at, at + length, 16):
            piece = data[start : min(start + 16, at + length)]
            lines.append(f"{start:04x}  {piece.hex(' '):<47}  {what if start == at else ''}".rstrip())
        at += length

    row(4, "magic")
    row(1, "version")
    row(1, f"{len(sections)} sections")
    for section in sections:
        items, length = Writer(), Writer()
        items.number(section.items)
        length.number(len(section.data))
        kind = {1: "network", 2: "adaptive weights", 3: "Huffman weights"}[section.kind]
        row(1, f"kind: {kind}")
        row(len(items.data), f"items: {section.items}")
        row(len(length.data), f"length: {len(section.data)}")
        row(4, "CRC-32 of the section")
    row(4, "CRC-32 of all bytes so far")
    for number, section in enumerate(sections):
        row(len(section.data), f"section {number}")
    assert at == len(data)
    return "```\n" + "\n".join(lines) + "\n```"


def plain() -> str:
    """The network section of the example before coding, field by field."""
    contents = example()
    data = _network.plain(contents)[0]
    fields = """
        1 one input|2 name "x"|1 3 axes|3 2 x 2 x 1|1 three nodes
        1 operator 24, flatten|1 default name, flatten|1 reads the value just before|1 no attribute changed
        1 operator 2, linear|1 default name, linear|1 reads the value just before|1 optional weights: bias
        1 weight: new, named linear.weight|1 form 2, codebook|1 2 axes|2 3 x 4|2 bits 16, centroids 3
        1 bias: new, named linear.bias|1 form 0, dense|1 1 axis|1 3|1 bits 16
        1 operator 6, leaky_relu|4 name "out"|1 reads the value just before|1 attribute 0, slope, changed|3 125 / 10**3
        1 one output|1 the last value
        1 preparation, one channel|1 height 2|1 width 2|1 no resizing|2 mean 5 / 10|2 std 25 / 100
        1 three classes|2 "a"|2 "b"|2 "c"
        1 one fact|3 key "by"|5 "hand"
    """
    at, lines = 0, []
    for field in fields.replace("\n", "|").split("|"):
        size, _, what = field.strip().partition(" ")
        if size:
            length = int(size)
            lines.append(f"{at:04x}  {data[at : at + length].hex(' '):<14}  {what}")
            at += length
    assert at == len(data), (at, len(data), data[at:].hex(" "))
    return "```\n" + "\n".join(lines) + "\n```"


PARTS = {"operators": operators, "forms": forms, "primer": primer, "annotated": annotated, "plain": plain}


def filled(text: str) -> str:
    """The document with all made parts made anew."""
    for name, make in PARTS.items():
        start, end = f"<!-- made: {name} -->\n", f"\n<!-- end: {name} -->"
        before, rest = text.split(start)
        text = before + start + make() + end + rest.split(end.lstrip())[1]
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text()))
    sys.stdout.write(f"{DOCUMENT} is up to date\n")
