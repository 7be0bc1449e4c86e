"""Write, read and inspect a `.pare` file."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

from paring.container import _frame, _network, _weights
from paring.container._contents import Contents
from paring.container._inspection import Inspection, Row
from paring.container._output import check_output
from paring.errors import ArgumentError, FormatError, GraphError, OutputError
from paring.files import read_file, write_atomic
from paring.forms import Form

#: The contents of a file, its sections, and every weight's bytes.
Decoded = tuple[Contents, list[_frame.Section], list[int]]
#: Name of a coding to the kind of its sections, its encoder and its decoder.
_CODINGS = {
    "adaptive": (_frame.ADAPTIVE, _weights.encode_adaptive, _weights.decode_adaptive),
    "huffman": (_frame.HUFFMAN, _weights.encode_huffman, _weights.decode_huffman),
}
_DECODERS = {kind: decoder for kind, _, decoder in _CODINGS.values()}
_NAMES = {kind: name for name, (kind, _, _) in _CODINGS.items()}


def write(path: str | os.PathLike[str], contents: Contents, coding: str = "adaptive") -> Inspection:
    """Write a `.pare` file; it is complete and read back as equal, or it is not there.

    Args:
        path: where; an existing file is replaced in one step.
        contents: what.
        coding: ``adaptive`` (smallest) or ``huffman`` (Deep Compression's own, arXiv 1510.00149, to compare with).

    Raises:
        OutputError: if the file cannot be written (disk full, no permission, no such folder).
        ArgumentError: if the coding or the kind of output is unknown.
    """
    contents = replace(contents, classes=tuple(contents.classes), provenance=dict(contents.provenance))
    check_output(contents.output, path)
    data = _encode(contents, coding)
    return _inspection(str(path), data, *_write_checked(Path(path), data, contents))


def read(path: str | os.PathLike[str]) -> Contents:
    """The contents of a `.pare` file.

    Raises:
        FormatError: naming the byte, if the file is not exactly what a writer writes; also if it is missing or
            cannot be opened.
    """
    data = _load(path)
    return _decode(data, str(path))[0]


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """Where the bytes of a `.pare` file are; reads and checks all of it.

    Raises:
        FormatError: as :func:`read`.
    """
    data = _load(path)
    return _inspection(str(path), data, *_decode(data, str(path)))


def _load(path: str | os.PathLike[str]) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise FormatError(f"file cannot be read ({error.strerror})", where=path) from None


def _encode(contents: Contents, coding: str) -> bytes:
    if coding not in _CODINGS:
        raise ArgumentError("coding is unknown", found=coding, expected=" or ".join(_CODINGS))
    kind, encode, _ = _CODINGS[coding]
    plain, order = _network.plain(contents)
    sections = [_frame.Section(_frame.NETWORK, len(plain), _network.encode(plain))]
    for forms in _weights.sections_of([contents.graph.weights[name] for name in order]):
        sections.append(_frame.Section(kind, len(forms), encode(forms)[0]))
    return _frame.join(sections)


def _decode(data: bytes, where: str) -> Decoded:
    """The contents, the sections and every weight's bytes."""
    sections = _frame.split(data, where)
    network, *bodies = sections
    place = f"{where}, network section (file byte {network.offset})"
    plain = _network.decode(network.data, network.items, place)
    network_of, declarations = _network.read(plain, place)
    _weights.check_decoded_size(declarations, len(data), where)
    if (declared := sum(body.items for body in bodies)) != len(declarations):
        raise FormatError(
            "sections hold the wrong number of weights",
            where=f"{where}, section table (file byte {_frame.TABLE})",
            found=declared,
            expected=len(declarations),
        )
    starts = list(accumulate((body.items for body in bodies), initial=0))
    jobs = [(body, declarations[a:b]) for body, (a, b) in zip(bodies, pairwise(starts), strict=True)]
    weights: dict[str, Form] = {}
    sizes: list[int] = []
    with ThreadPoolExecutor(max(1, min(len(jobs), os.cpu_count() or 1))) as threads:
        decoded = threads.map(lambda job: _decode_weights(job[0], job[1], where), jobs)
        for (_, part), (forms, shares) in zip(jobs, decoded, strict=True):
            weights.update({name: form for (name, *_), form in zip(part, forms, strict=True)})
            sizes += shares
    try:
        contents = network_of(weights)
    except GraphError as error:
        raise FormatError(f"network cannot be: {str(error).rstrip('.')}", where=place) from None
    if _network.plain(contents)[0] != plain:
        raise FormatError("network is not written as a writer writes it", where=place)
    return contents, sections, sizes


def _decode_weights(body: _frame.Section, part: list[_network.Declaration], where: str) -> tuple[list[Form], list[int]]:
    try:
        return _DECODERS[body.kind](body.data, part)
    except FormatError as error:
        place = f"{where}, weights section (file byte {body.offset})"
        raise FormatError(error.what, where=place, found=error.found, expected=error.expected) from None


def _inspection(
    path: str, data: bytes, contents: Contents, sections: list[_frame.Section], sizes: list[int]
) -> Inspection:
    frame = len(data) - sum(len(section.data) for section in sections)
    rows = [Row("frame", "magic, table, checksums", frame)]
    rows += [Row("network", name, size) for name, size in _network.parts(contents, len(sections[0].data)).items()]
    for (name, form), size in zip(contents.graph.weights.items(), sizes, strict=True):
        params = " ".join(f"{k}={v}" for k, v in form.params().items())
        rows.append(Row("weights", name, size, f"{form.kind} {params}", form.shape, form.size, form.nonzeros))
    codings = sorted({_NAMES[section.kind] for section in sections[1:]})
    return Inspection(path, _frame.VERSION, " and ".join(codings), tuple(rows))


def _write_checked(path: Path, data: bytes, contents: Contents) -> Decoded:
    """Write, read back, compare, and only then put in place; returns what was read back."""
    decoded: list[Decoded] = []

    def check(written: Path) -> None:
        if read_file(written) == data:
            decoded.append(_decode(data, str(path)))
        if not decoded or not _same(decoded[0][0], contents):
            raise OutputError("file did not read back as it was written", where=path)

    write_atomic(path, data, check)
    return decoded[0]


def _same(mine: Contents, theirs: Contents) -> bool:
    a, b = mine.graph, theirs.graph
    return (
        (a.inputs, a.nodes, a.outputs, a.output_names) == (b.inputs, b.nodes, b.outputs, b.output_names)
        and a.weights.keys() == b.weights.keys()
        and all(form.equals(b.weights[name]) for name, form in a.weights.items())
        and (mine.preparation, mine.classes, mine.provenance) == (theirs.preparation, theirs.classes, theirs.provenance)
        and mine.output == theirs.output
    )
