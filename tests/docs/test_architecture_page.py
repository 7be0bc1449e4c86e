"""The table of packages says what tests/test_house.py holds."""

import re
from pathlib import Path

from tests.test_house import BELOW, GROUND

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "architecture.md").read_text()
ROWS = {
    row[0]: row[1] for row in re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE) if row[0] in BELOW
}


def named(package: str) -> set[str]:
    words = ROWS[package].strip()
    if words == "everything":
        return set(BELOW) - {package}
    return set(GROUND) if words == "the small half" else {word for word in words.split(", ") if word != "nothing"}


def reached(package: str) -> set[str]:
    """All that the row names, and what those rows name."""
    return named(package).union(*(reached(name) for name in named(package) if name in ROWS and name != package))


def test_every_package_has_a_row():
    assert set(ROWS) == set(BELOW)


def test_rows_name_only_what_the_house_allows():
    assert {name: named(name) - BELOW[name] - {"_native"} for name in ROWS} == {name: set() for name in BELOW}


def test_all_that_the_house_allows_is_reached():
    assert {name: BELOW[name] - reached(name) - {"_native"} for name in ROWS} == {name: set() for name in BELOW}
