"""The page's building blocks: sections, tables, figures and legends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from paring.report._html import text
from paring.report._model import PARTS, Report

#: Rows beyond which a table starts folded; everything is unfolded on paper.
FOLD_ROWS = 40


def section(key: str, title: str, lead: str, *bodies: str) -> str:
    """A section with its heading, one sentence that says what is seen, and what there is to see.

    ``lead`` and ``bodies`` are markup; an empty ``lead`` is left out.
    """
    opening = f'<p class="lead">{lead}</p>' if lead else ""
    return (
        f'<section id="{key}" aria-labeledby="{key}-title"><h2 id="{key}-title">{text(title)}</h2>'
        f"{opening}{''.join(bodies)}</section>"
    )


def absent(report: Report, key: str) -> str:
    """The sentence that stands where a part has no data."""
    return f'<p class="absent">{text(report.absent.get(key, PARTS[key]))}</p>'


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    css: str = "",
    total: Sequence[str] = (),
    groups: Sequence[tuple[str, int]] = (),
) -> str:
    """A table whose first column names the row.

    Args:
        caption: read out to those who do not see the table, markup.
        heads: column titles; one that starts with ``#`` is of numbers, ``|`` is a chart's.
        rows: cells as markup.
        css: class of the table.
        total: the last row, set apart.
        groups: (title, columns) of a row above the titles.
    """
    kinds = [{"#": "num", "|": "chart"}.get(head[:1], "") for head in heads]
    top = ""
    if groups:
        cells = "".join(f'<th scope="colgroup" colspan="{span}">{text(title)}</th>' for title, span in groups)
        top = f'<tr class="groups">{cells}</tr>'
    titles = "".join(
        f'<th scope="col" class="{kind}">{text(head.lstrip("#|"))}</th>'
        for head, kind in zip(heads, kinds, strict=True)
    )
    # Where the page is narrow, rows are stacked and each number carries its column's title.
    labels = [f' data-label="{text(head[1:])}"' if head[:1] == "#" else "" for head in heads]
    body = "".join(_row(cells, kinds, labels) for cells in rows)
    foot = f"<tfoot>{_row(total, kinds, labels)}</tfoot>" if total else ""
    return (
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0"><table class="{css}">'
        f'<caption class="hidden">{caption}</caption>'
        f"<thead>{top}<tr>{titles}</tr></thead><tbody>{body}</tbody>{foot}</table></div>"
    )


def _row(cells: Sequence[str], kinds: Sequence[str], labels: Sequence[str]) -> str:
    columns = list(zip(cells, kinds, labels, strict=True))
    rest = "".join(f'<td class="{kind}"{label}>{cell}</td>' for cell, kind, label in columns[1:])
    return f'<tr><th scope="row">{cells[0]}</th>{rest}</tr>'


def figure(kind: str, body: str, caption: str) -> str:
    """A chart with its caption; ``kind`` is the chart's name in tests and style."""
    return f'<figure data-chart="{kind}">{body}<figcaption>{caption}</figcaption></figure>'


def folded(summary: str, body: str, rows: int) -> str:
    """``body`` behind a line to click if it has more than :data:`FOLD_ROWS` rows, plain otherwise."""
    if rows <= FOLD_ROWS:
        return body
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def legend(*entries: tuple[str, str]) -> str:
    """(class of the mark, what it stands for) side by side."""
    items = "".join(
        f'<li><svg class="swatch" aria-hidden="true"><rect class="{kind}" width="100%" height="100%"/></svg>'
        f"{text(meaning)}</li>"
        for kind, meaning in entries
    )
    return f'<ul class="legend">{items}</ul>'
