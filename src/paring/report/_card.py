"""The network card: the graph, what goes in and comes out, and what made the file."""

from __future__ import annotations

from paring.report._charts import MAX_LANES, rail
from paring.report._html import count, name, shape, text
from paring.report._model import Report
from paring.report._parts import figure, folded, section, table
from paring.report._pieces import Facts, GraphNode

#: Class names shown before the rest is folded away.
_MAX_CLASSES = 40


def card_section(report: Report) -> str:
    """The graph as a rail of nodes, preparation, classes, provenance and commands."""
    bodies = []
    if report.nodes:
        bodies += ["<h3>The graph</h3>", _graph(report.nodes)]
    cards = []
    if report.preparation:
        cards.append(_facts(Facts("Preparation of an image", report.preparation)))
    cards += [_facts(facts) for facts in report.facts if facts.rows]
    if cards:
        bodies.append(f'<div class="cards">{"".join(cards)}</div>')
    if report.classes:
        bodies.append(_classes(report.classes))
    if report.settings:
        bodies += ["<h3>Settings of the recipe</h3>", _settings(report.settings)]
    if report.commands:
        lines = "\n".join(text(command) for command in report.commands)
        bodies.append(f'<h3>The commands that made it</h3><pre tabindex="0"><code>{lines}</code></pre>')
    weighted = sum(1 for node in report.nodes if node.weights)
    lead = (
        f"{count(len(report.nodes))} nodes, {count(weighted)} of them with weights; {count(report.weights)} parameters."
        if report.nodes
        else f"{count(report.weights)} parameters."
    )
    return section("card", "Network card", lead, *bodies)


def _graph(nodes: tuple[GraphNode, ...]) -> str:
    drawings, lanes = rail(nodes)
    others = [_other_inputs(nodes, i) for i in range(len(nodes))]
    branched = any(others)
    heads = ["Node", "|", "Operator", "Attributes", *["Also reads"] * branched, "#Output", "#Parameters"]
    rows = [
        [
            name(node.name) + ("<small>output</small>" if node.output else ""),
            drawing,
            text(node.op),
            text(node.detail),
            *[other] * branched,
            text(shape(node.shape)),
            count(node.weights) if node.weights else "",
        ]
        for node, drawing, other in zip(nodes, drawings, others, strict=True)
    ]
    css = f"plain graph lanes-{min(lanes, MAX_LANES)}"
    body = table("The network's nodes in the order they run.", heads, rows, css=css)
    note = "Top to bottom is the order of computation; large dots have weights."
    if lanes:
        note += " A side line carries a value that is read again further down."
    return figure("graph", folded(f"All {len(nodes)} nodes", body, len(nodes)), note)


def _other_inputs(nodes: tuple[GraphNode, ...], i: int) -> str:
    """The inputs that do not come from the row above."""
    above = nodes[i - 1].name if i else None
    return ", ".join(name(source) for source in nodes[i].inputs if source != above)


def _facts(facts: Facts) -> str:
    rows = "".join(f"<dt>{text(key)}</dt><dd>{name(value)}</dd>" for key, value in facts.rows)
    return f'<div class="card"><h3>{text(facts.title)}</h3><dl>{rows}</dl></div>'


def _classes(classes: tuple[str, ...]) -> str:
    items = "".join(f"<li value={i}>{name(label)}</li>" for i, label in enumerate(classes))
    listing = f'<ol class="classes" start="0">{items}</ol>'
    if len(classes) > _MAX_CLASSES:
        listing = f"<details><summary>All {count(len(classes))} class names</summary>{listing}</details>"
    return f"<h3>Classes</h3>{listing}"


def _settings(groups: tuple[Facts, ...]) -> str:
    """What holds for the whole recipe as a list, the phases side by side, each key once."""
    whole, *phases = groups
    body = _facts(whole) if whole.rows else ""
    if phases:
        values = [dict(phase.rows) for phase in phases]
        keys = dict.fromkeys(key for phase in values for key in phase)
        rows = [[text(key), *(name(phase.get(key, "")) for phase in values)] for key in keys]
        heads = ["Setting", *(phase.title for phase in phases)]
        body += table("Settings by phase of the recipe.", heads, rows, css="plain")
    return f"<details><summary>All settings</summary>{body}</details>"
