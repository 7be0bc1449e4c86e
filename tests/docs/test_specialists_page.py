"""The examples of the page run."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "recipes" / "specialists.md"


def test_examples():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried > 10
    assert failed == 0
