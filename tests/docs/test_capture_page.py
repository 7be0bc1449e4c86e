"""The examples of the pages run."""

import doctest
from pathlib import Path

import pytest

pytest.importorskip("torch")

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["capture.md", "cost.md"])
def test_examples(page):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testfile(str(DOCS / "reference" / page), module_relative=False, optionflags=flags)
    assert tried > 5
    assert failed == 0
