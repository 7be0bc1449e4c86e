"""The sections about the run: stages of the recipe, time in the engine, the paper's own columns."""

from __future__ import annotations

from paring.report._charts import ErrorAxis, axis_ticks, bar, dot_row
from paring.report._headline import SIMULATED, conditions
from paring.report._html import count, milliseconds, name, percent, seconds, text
from paring.report._model import Report
from paring.report._parts import absent, figure, folded, legend, section, table
from paring.report._pieces import Coding, CodingRow, NodeTime, Timing


def recipe_section(report: Report) -> str:
    """Error and wall time after each stage of the recipe."""
    title, stages = "Accuracy, stage by stage", report.stages
    if not stages:
        return section("recipe", title, "", absent(report, "recipe"))
    spent = [stage.seconds for stage in stages if stage.seconds is not None]
    data = f" on {report.stage_data}" if report.stage_data else ""
    lead = text(f"Test error{data} after each stage of the recipe, and the wall time the stage took.")
    errors = [stage.error for stage in stages]
    known = [error for error in errors if error is not None]
    axis = ErrorAxis(known)
    labels = [f"{100 * tick:.4g}\u00a0%" for tick in axis.ticks]
    around = [None, *errors, None]
    rows = [
        [
            f"{text(stage.name)}{f'<small>{text(stage.note)}</small>' if stage.note else ''}",
            dot_row(axis, around[i], stage.error, around[i + 2]) if known else "",
            (percent(stage.error) + (SIMULATED if stage.simulated else "")) if stage.error is not None else "–",
            percent(stage.kept, 1) if stage.kept is not None else "–",
            seconds(stage.seconds) if stage.seconds is not None else "–",
        ]
        for i, stage in enumerate(stages)
    ]
    body = table(
        "Test error, weights kept and wall time by stage.",
        ["Stage", "|", "#Error", "#Kept", "#Time"],
        rows,
        css="bars dots",
        total=["Total", axis_ticks(axis, labels) if known else "", "", "", seconds(sum(spent)) if spent else "–"],
    )
    caption = "The axis is logarithmic." if axis.log else "The axis starts at zero."
    return section("recipe", title, lead, figure("stages", body, f"{caption} Kept is the share of non-zero weights."))


def time_section(report: Report) -> str:
    """Latency of the whole network in every program timed, and of each node in the engine."""
    title = "Time"
    if not report.timings and not report.profile:
        return section("time", title, "", absent(report, "latency"), absent(report, "time"))
    lead = "How long an answer takes, whole and step by step. A time is the median of repeated runs on one machine."
    whole = _latency(report.timings) if report.timings else absent(report, "latency")
    nodes = _profile(report) if report.profile else absent(report, "time")
    return section(
        "time", title, lead, "<h3>The whole network</h3>", whole, "<h3>Step by step, in the engine</h3>", nodes
    )


def _latency(timings: tuple[Timing, ...]) -> str:
    longest = max(timing.median for timing in timings) or 1.0

    def row(timing: Timing) -> list[str]:
        kind = "after" if timing.ours else "before"
        spread = ""
        if timing.low is not None and timing.high is not None:
            spread = f"<small>{milliseconds(timing.low, longest)} to {milliseconds(timing.high, longest)}</small>"
        return [
            f"{text(timing.what)}<small>{text(conditions(timing, what=False))}</small>",
            bar((kind, timing.median / longest)),
            milliseconds(timing.median, longest) + spread,
        ]

    spread = any(timing.low is not None for timing in timings)
    body = table("Median latency by program.", ["Program", "|", "#Median"], map(row, timings), css="bars")
    caption = "Time for one batch, all bars to one scale."
    return figure("latency", body, caption + (" Below the median: 10th to 90th percentile." if spread else ""))


def _profile(report: Report) -> str:
    longest = max((node.median for node in report.profile), default=0.0) or 1.0
    total = sum(node.median for node in report.profile)

    def row(node: NodeTime) -> list[str]:
        return [
            f"{name(node.name)}<small>{text(_work(node))}</small>",
            bar(("after", node.median / longest)),
            milliseconds(node.median, total),
            percent(node.median / total, 1) if total else "",
        ]

    body = table(
        "Median time of each step of the engine.",
        ["Step", "|", "#Median", "#Share"],
        map(row, report.profile),
        css="bars",
        total=["Sum", "", milliseconds(total, total), percent(1.0, 1)],
    )
    body = folded(f"All {len(report.profile)} steps", body, len(report.profile))
    top = sorted(report.profile, key=lambda node: -node.median)[:3]
    slowest = ", ".join(f"{name(node.name)} ({percent(node.median / total, 0)})" for node in top) if total else ""
    caption = f"Most of it goes to {slowest}. " if slowest and len(report.profile) > 3 else ""
    source = text(report.profile_source or "conditions not stated")
    return figure("profile", body, f"{caption}Timed step by step, so the sum can differ from the whole: {source}.")


def _work(node: NodeTime) -> str:
    """Operator and kernel, without the operator where the kernel's name begins with it."""
    if node.kernel.startswith(node.op):
        return node.kernel
    return ", ".join(filter(None, (node.op, node.kernel)))


def paper_section(report: Report) -> str:
    """Deep Compression's per-layer columns, ours and, where the paper has the network, its own."""
    title = "Beside the paper"
    if not report.codings:
        return section("paper", title, "", absent(report, "paper"))
    theirs = any(row.paper for row in report.codings)
    coder = f"the {text(report.coder)} coder" if report.coder else "the coder"
    lead = (
        "The per-layer columns of Deep Compression (arXiv 1510.00149), computed from this file's weights as the paper "
        "counts: relative indices with filler zeros, and a code for each. The last two columns are bytes of the weight "
        f"with everything needed to read it: in that coding, and in this file with {coder}."
    )
    heads = ["Layer", "#Weights", "#Kept", "#before", "#Huffman", "#before", "#Huffman", "#before", "#Huffman"]
    groups = [("", 3), ("Bits of a weight", 2), ("Bits of an index", 2), ("Size over float32", 2), ("Bytes", 2)]
    rows = [_coding_cells(row) for row in report.codings]
    body = table(
        "Per-layer coding, the paper's line below ours.",
        [*heads, "#Huffman", "#this file"],
        [cells for row, cells in zip(report.codings, rows, strict=True) if not row.total],
        css="plain paper",
        groups=groups,
        total=next((cells for row, cells in zip(report.codings, rows, strict=True) if row.total), ()),
    )
    key = legend(("after", "ours"), ("before", "the paper's")) if theirs else ""
    source = f" The paper's line is from {text(report.coding_source)}." if theirs and report.coding_source else ""
    note = "Before: pruned and quantized, codes of fixed width. Huffman: the same after Huffman coding."
    return section("paper", title, lead, f'<div data-chart="paper">{key}{body}</div><p class="note">{note}{source}</p>')


def _coding_cells(row: CodingRow) -> list[str]:
    ours, paper = _columns(row.ours, exact=True), _columns(row.paper, exact=False) if row.paper else None
    cells = [
        f'<span class="ours">{mine or "–"}</span>' + (f'<span class="theirs">{theirs or "–"}</span>' if paper else "")
        for mine, theirs in zip(ours, paper or ours, strict=True)
    ]
    label = f'<span class="ours">{name(row.layer)}</span>'
    if row.paper:
        label += f'<span class="theirs">{text(row.paper_layer)}</span>'
    sizes = [
        f'<span class="ours">{count(size) if size is not None else "–"}</span>' for size in (row.huffman, row.file)
    ]
    return [label, *cells, *sizes]


def _columns(line: Coding, exact: bool) -> list[str]:
    def optional(value: float | None, show) -> str:
        return "" if value is None else show(value)

    def bits(value: float) -> str:
        return f"{value:.2f}".rstrip("0").rstrip(".")

    return [
        count(round(line.weights)) if exact else _rounded(line.weights),
        optional(line.kept, lambda share: percent(share, 1 if exact else 0)),
        *(
            optional(v, bits)
            for v in (line.weight_bits_pq, line.weight_bits_pqh, line.index_bits_pq, line.index_bits_pqh)
        ),
        *(optional(share, percent) for share in (line.size_pq, line.size_pqh)),
    ]


def _rounded(weights: float) -> str:
    """The paper's own notation: ``235 K``, ``38 M``."""
    if weights >= 1e6:
        return f"{weights / 1e6:.0f} M"
    return f"{weights / 1e3:g} K"
