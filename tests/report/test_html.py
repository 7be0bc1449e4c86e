import html as stdlib_html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paring.report import _html


@given(st.text(st.characters()))
def test_text_reads_back_as_itself_and_holds_no_markup(value):
    escaped = _html.text(value)
    assert not set("<>\"'") & set(escaped)
    escaped.encode("utf-8")
    printable = "".join(c if _html.text(c) != "\ufffd" else "\ufffd" for c in value)
    assert stdlib_html.unescape(escaped) == printable


@pytest.mark.parametrize("bad", ["\x00", "\x1b", "\x7f", "\x9f", "\udc80", "\uffff", "\u202e", "\u2067"])
def test_what_html_cannot_hold_is_replaced(bad):
    assert _html.text(f"a{bad}b") == "a\ufffdb"


def test_a_name_is_isolated_and_breaks_at_dots():
    assert _html.name("a.b<") == "<bdi>a.<wbr>b&lt;</bdi>"


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 KB"), (43_912, "43.9 KB"), (999_600, "1.00 MB"), (1_724_320, "1.72 MB"),
     (123_456_789, "123 MB"), (2.5e9, "2.50 GB")],
)  # fmt: skip
def test_short_bytes(size, shown):
    assert _html.short_bytes(size).replace("\u00a0", " ") == shown


@pytest.mark.parametrize(
    ("fraction", "places", "shown"),
    [(0, 2, "0.00 %"), (0.0074, 2, "0.74 %"), (1, 1, "100.0 %"), (0.00001, 2, "< 0.01 %"), (0.0004, 1, "< 0.1 %")],
)
def test_percent_never_calls_something_nothing(fraction, places, shown):
    assert _html.percent(fraction, places).replace("\u00a0", " ") == shown


@pytest.mark.parametrize(
    ("number", "like", "shown"),
    [(0.0831, None, "83.1 µs"), (0.0831, 2.0, "0.0831 ms"), (4.377, None, "4.38 ms"), (156.2, None, "156 ms"),
     (1234.5, None, "1234 ms"), (0, 0.5, "0 µs")],
)  # fmt: skip
def test_milliseconds(number, like, shown):
    assert _html.milliseconds(number, like).replace("\u00a0", " ") == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0.0 s"),
        (0.04, "< 0.1 s"),
        (0.06, "0.1 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (250, "4 min 10 s"),
        (3900, "1 h 05 min"),
        (3599.7, "1 h 00 min"),
    ],
)  # fmt: skip
def test_seconds(number, shown):
    assert _html.seconds(number).replace("\u00a0", " ") == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(0.000123456, "0.000123"), (-0.5, "\u22120.500"), (39.24, "39.2"), (12345.6, "12346")]
)
def test_significant(number, shown):
    assert _html.significant(number) == shown
