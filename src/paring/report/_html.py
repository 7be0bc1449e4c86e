"""Markup and numbers for people. Every string that reaches the page passes through :func:`text`."""

from __future__ import annotations

import html
import re
from math import floor, log10

from paring.errors import UNPRINTABLE

#: Between a number and its unit, so that they stay on one line.
_GAP = "\u00a0"


def text(value: object) -> str:
    """``value`` escaped for character data and for quoted attributes; unprintable characters become U+FFFD."""
    return html.escape(UNPRINTABLE.sub("\ufffd", str(value)), quote=True)


def name(value: object) -> str:
    """A name out of a file: isolated from the direction of the text around it, breakable where its words end."""
    shown = re.sub(r"([./_\-])(?=.)", "\\1<wbr>", text(value))
    return f"<bdi>{shown}</bdi>"


def count(number: int) -> str:
    """``1,234,567``."""
    return f"{number:,}"


def short_bytes(number: float) -> str:
    """At most four figures with a decimal unit: ``921 B``, ``43.9 KB``, ``1.72 MB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if number >= size * 0.9995:
            return f"{significant(number / size)}{_GAP}{unit}"
    return f"{number:.0f}{_GAP}B"


def significant(number: float, figures: int = 3) -> str:
    """Plain decimal notation with this many significant figures, whole numbers never cut."""
    if number == 0:
        return "0"
    rounded = float(f"{number:.{figures - 1}e}")
    places = max(figures - 1 - floor(log10(abs(rounded))), 0)
    return f"{number:.{places}f}".replace("-", "\u2212")


def percent(fraction: float, places: int = 2) -> str:
    """``0.0123`` as ``1.23 %``; a positive share too small to show says so."""
    if 0 < fraction < 0.5 * 10 ** -(places + 2):
        return f"< {10**-places:.{places}f}{_GAP}%"
    return f"{100 * fraction:.{places}f}{_GAP}%"


def milliseconds(number: float, like: float | None = None) -> str:
    """Three significant figures, in microseconds if ``like``, the largest number beside it, is below a millisecond."""
    small = (number if like is None else like) < 1
    return f"{significant(number * 1000)}{_GAP}µs" if small else f"{significant(number)}{_GAP}ms"


def seconds(number: float) -> str:
    """``< 0.1 s``, ``0.4 s``, ``38 s``, ``4 min 10 s``, ``1 h 05 min``."""
    if 0 < number < 0.05:
        return f"< 0.1{_GAP}s"
    if number < 9.95:
        return f"{number:.1f}{_GAP}s"
    whole = round(number)
    if whole < 60:
        return f"{whole}{_GAP}s"
    if whole < 3600:
        return f"{whole // 60}{_GAP}min {whole % 60:02d}{_GAP}s"
    return f"{whole // 3600}{_GAP}h {whole % 3600 // 60:02d}{_GAP}min"


def times(ratio: float) -> str:
    """``39.2×``."""
    return f"{significant(ratio)}×"


def shape(axes: tuple[int, ...]) -> str:
    """``24 × 24 × 20``."""
    return " × ".join(map(str, axes)) or "scalar"
