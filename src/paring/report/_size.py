"""The sections about bytes and weights."""

from __future__ import annotations

from dataclasses import replace

from paring.report._charts import bar, histogram
from paring.report._html import count, name, percent, short_bytes, significant, text, times
from paring.report._model import Report
from paring.report._parts import absent, figure, folded, legend, section, table
from paring.report._pieces import Histogram, Layer

#: Kinds of content listed by name in the chart; the smaller ones are summed up in one row.
_MAX_KINDS = 10


def bytes_section(report: Report) -> str:
    """Bytes by layer before and after, by part of the file, and every section of the file."""
    overhead = report.bytes - sum(layer.after for layer in report.layers)
    lead = (
        f"{count(report.float_bytes)} bytes of 32-bit weights became a file of {count(report.bytes)} bytes. "
        f"{count(report.bytes - overhead)} of them are the layers' own; {count(overhead)} hold the graph, the names, "
        "the checksums and the rest of the structure."
    )
    sections = table(
        "Every section of the file; the lengths add up to the file's.",
        ["Section", "Kind", "Form", "#Bytes", "#Share"],
        (
            [name(s.name), text(s.part), text(s.form), count(s.bytes), percent(s.bytes / report.bytes)]
            for s in report.sections
        ),
        css="plain",
        total=["Whole file", "", "", count(report.bytes), percent(1.0)],
    )
    return section(
        "bytes",
        "Where the bytes are",
        lead,
        "<h3>By layer</h3>",
        _by_layer(report, overhead),
        "<h3>By kind of content</h3>",
        _by_kind(report),
        "<h3>Section by section</h3>",
        folded(f"All {len(report.sections)} sections", sections, len(report.sections)),
        f'<p class="check">The {len(report.sections)} sections add up to {count(report.bytes)} bytes, '
        "the length of the file.</p>",
    )


def _by_layer(report: Report, overhead: int) -> str:
    longest = max((max(layer.before, layer.after) for layer in report.layers), default=0) or 1

    def row(layer: Layer) -> list[str]:
        pair = bar(("before", layer.before / longest)) + bar(("after", layer.after / longest))
        ratio = times(layer.before / layer.after) if layer.after else "not stored"
        return [
            f"{name(layer.name)}<small>{text(layer.op)}, {text(layer.form)}</small>",
            pair,
            count(layer.before),
            count(layer.after),
            ratio,
            percent(layer.kept / layer.weights, 1) if layer.weights else "",
        ]

    rest = ["File structure", bar(("rest", overhead / longest)), "", count(overhead), "", ""]
    body = table(
        "Bytes of each layer as 32-bit floats and in the file.",
        ["Layer", "|", "#Float32", "#In the file", "#Smaller", "#Kept"],
        [*map(row, report.layers), rest],
        css="bars",
        total=[
            "Total",
            "",
            count(report.float_bytes),
            count(report.bytes),
            times(report.float_bytes / report.bytes),
            percent(report.kept / report.weights, 1) if report.weights else "",
        ],
    )
    key = legend(("before", "as 32-bit floats"), ("after", "in the file"))
    caption = "All bars have one scale. Biases are counted with their layer; kept weights are those that are not zero."
    return figure("bytes-by-layer", key + body, caption)


def _by_kind(report: Report) -> str:
    sums: dict[str, int] = {}
    for piece in report.sections:
        sums[piece.part] = sums.get(piece.part, 0) + piece.bytes
    parts = sorted(((size, part) for part, size in sums.items() if size), reverse=True)
    if len(parts) > _MAX_KINDS:
        small = parts[_MAX_KINDS - 1 :]
        parts = [*parts[: _MAX_KINDS - 1], (sum(size for size, _ in small), f"{len(small)} smaller kinds")]
    longest = max((size for size, _ in parts), default=1)

    def row(entry: tuple[int, str]) -> list[str]:
        size, part = entry
        return [text(part), bar(("after", size / longest)), count(size), percent(size / report.bytes, 1)]

    body = table(
        "Bytes of each kind of content, all layers together.",
        ["Kind", "|", "#Bytes", "#Share"],
        map(row, parts),
        css="bars",
        total=["Whole file", "", count(report.bytes), percent(1.0, 1)],
    )
    return figure("bytes-by-kind", body, "What the file spends its bytes on, all layers together.")


def weights_section(report: Report) -> str:
    """One histogram for each weight matrix or kernel."""
    title = "The weights"
    if not report.histograms:
        return section("weights", title, "", absent(report, "weights"))
    baseline = any(data.baseline for data in report.histograms)
    lead = (
        "Each layer's weights before compression, split into those that were pruned away and those that were kept, "
        "with the shared values they were moved to."
        if baseline
        else "Each layer's weights as the file holds them. The weights before compression were not recorded, so their "
        "distribution is not shown."
    )
    entries = [("kept", "kept")]
    if baseline:
        entries.append(("pruned", "pruned to zero"))
    if any(data.centroids for data in report.histograms):
        entries.append(("centroid", "centroid"))
    note = "Height goes with the square root of the weights in a bin; each plot has its own scale."
    if not all(data.baseline for data in report.histograms):
        note += " Plots of weights as the file holds them leave the zeros out."
    grid = f'<div class="grid">{"".join(_plot(data, baseline) for data in report.histograms)}</div>'
    return section("weights", title, lead, figure("histograms", legend(*entries) + grid, note))


def _plot(data: Histogram, mixed: bool) -> str:
    """One plot; where others show weights before compression, one that cannot says so."""
    facts = [f"{count(data.weights)} weights", f"{percent(data.pruned_share, 1)} pruned"]
    if data.centroids:
        facts.append(f"{count(len(data.centroids))} centroid" + "s" * (len(data.centroids) != 1))
    if mixed and not data.baseline:
        facts.append("as in the file")
    shown = data if data.baseline else replace(data, pruned=(0,) * len(data.kept))
    drawing = histogram(shown, f"{data.name}: {', '.join(facts)}")
    ends = f'<div class="ends"><span>{significant(data.low)}</span><span>{significant(data.high)}</span></div>'
    return f'<div class="plot"><h3>{name(data.name)}</h3>{drawing}{ends}<p>{", ".join(facts)}</p></div>'


def headline_bars(report: Report) -> str:
    """Float32 and file, to scale."""
    longest = max(report.float_bytes, report.bytes)
    rows = (
        ("before", "As 32-bit floats", report.float_bytes),
        ("after", "The file", report.bytes),
    )
    lines = "".join(
        f'<div class="scale"><span>{what}</span>{bar((kind, size / longest))}<b>{short_bytes(size)}</b></div>'
        for kind, what, size in rows
    )
    return f'<div data-chart="scale">{lines}</div>'
