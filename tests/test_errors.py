"""What an error says, also of what strangers wrote."""

import pytest

from paring.errors import ArgumentError, ParingError, visible


def test_all_parts_are_said():
    error = ArgumentError("invalid x", where="a", found=1, expected=2, fix="Do y")
    assert str(error) == "a: invalid x; found 1; expected 2. Do y."


@pytest.mark.parametrize("bad", ["\x1b[2J", "\x9b31m", "\r", "\x00", "\u202e", "\u2066", "\u2028", "\udc80", "\x7f"])
def test_what_a_terminal_would_obey_is_shown(bad):
    shown = visible(f"a{bad}b\n\tc")
    assert shown.isprintable() is False  # the line break and the tab are still there
    assert shown.replace("\n\t", "").isprintable()
    assert shown == f"a{ascii(bad)[1:-1]}b\n\tc"
    assert bad not in str(ParingError("no", where=f"x{bad}", found=bad, expected=bad))


def test_names_of_any_script_stay():
    for name in ("häuser", "猫", "кошка", "خروف", "🐑"):
        assert visible(name) == name
