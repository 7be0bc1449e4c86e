"""What an error says, also of what strangers wrote."""

import numpy as np
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


def test_a_large_found_value_is_shown_in_a_few_words():
    table = np.arange(5000.0).reshape(50, 100)
    assert str(ArgumentError("no", found=table)) == "no; found ndarray of shape (50, 100)."
    assert str(ArgumentError("no", found=np.float32(1.5))) == "no; found 1.5."
    assert str(ArgumentError("no", found=(3, 4))) == "no; found (3, 4)."
    long = str(ArgumentError("no", found=list(range(5000))))
    assert long.startswith("no; found [0, 1, 2")
    assert long.endswith("characters).")
    assert len(long) < 2100
