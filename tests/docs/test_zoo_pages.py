"""The pages of docs/zoo: their examples run, their tables say what the cards say."""

import doctest
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")
from paring import zoo

PAGES = sorted((Path(__file__).parents[2] / "docs" / "zoo").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page):
    failures, _ = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert failures == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tables_say_what_the_cards_say(page):
    for names, table in re.findall(r"<!-- cards: ([\w ]+) -->\n(.*?)<!-- end -->", page.read_text(), re.DOTALL):
        rows = {row[0].strip("` "): row for row in (line.strip("|").split("|") for line in table.splitlines()[2:])}
        assert list(rows) == names.split()
        for name, row in rows.items():
            card = zoo.card(name)
            assert row[2].strip() == f"{card.parameters:,}"
            assert row[3].strip() == f"{card.macs / 1e6:,.2f}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_name_every_network_of_their_table(page):
    """A page with a card table leaves none of its family's networks out."""
    text = page.read_text()
    if "<!-- cards:" in text:
        family = [name for name in zoo.list() if zoo.card(name).family == page.stem]
        assert not [name for name in family if f"`{name}`" not in text]
