"""The page as a whole, and its file."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from paring.files import write_atomic
from paring.report._card import card_section
from paring.report._headline import headline
from paring.report._html import text
from paring.report._model import Report
from paring.report._run import paper_section, recipe_section, time_section
from paring.report._size import bytes_section, weights_section

_SECTIONS = (
    ("bytes", "Bytes", bytes_section),
    ("weights", "Weights", weights_section),
    ("recipe", "Stages", recipe_section),
    ("time", "Time", time_section),
    ("paper", "Paper", paper_section),
    ("card", "Network card", card_section),
)


def render(report: Report) -> str:
    """The report as one HTML page that asks nothing of any network.

    Every string of the report is escaped, and the page's content security policy allows no request and no script but
    the page's own, so names from a stranger's file stay names.

    Args:
        report: what to show; parts without data are replaced by one sentence that says why.

    Returns:
        The document, to be written as UTF-8.
    """
    body = "".join(build(report) for _, _, build in _SECTIONS)
    links = [(key, title) for key, title, _ in _SECTIONS]
    footer = (
        "Sizes are lengths of files, times medians of timed runs, errors over the set named; what was only simulated "
        "says so."
    )
    return document(report.title, headline(report), links, body, footer, report.version)


def document(title: str, header: str, sections: Sequence[tuple[str, str]], body: str, footer: str, version: str) -> str:
    """A page around its parts, with style, script and a policy that allows no other.

    Args:
        title: of the page, plain text.
        header: markup of the top.
        sections: (id, title) for the links.
        body: markup of the sections.
        footer: one sentence, markup.
        version: of the Paring that made it, or empty.
    """
    style, script = _resource("page.css"), _resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    links = "".join(f'<li><a href="#{key}">{text(shown)}</a></li>' for key, shown in sections)
    made = f"Made by Paring {text(version)}" if version else "Made by Paring"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{text(title)} – Paring report</title>"
        f'<link rel="icon" href="data:,"><style>{style}</style></head><body><main>{header}'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>{body}</main>'
        f"<footer>{made}. {footer}</footer><script>{script}</script></body></html>\n"
    )


def write_page(path: str | os.PathLike[str], page: str) -> Path:
    """Write the page whole or not at all.

    Args:
        path: where to; an existing file is replaced.
        page: what :func:`render` returned.

    Raises:
        OutputError: if the folder is missing, the disk is full or writing is not allowed; nothing is left behind.
    """
    path = Path(path)
    write_atomic(path, page.encode(), what="report")
    return path


def _resource(name: str) -> str:
    return resources.files("paring.report").joinpath(name).read_text("utf-8")
