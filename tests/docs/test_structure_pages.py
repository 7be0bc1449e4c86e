"""The examples of the pages run."""

import doctest
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "methods"


@pytest.mark.parametrize(
    ("page", "least"),
    [
        ("low_rank.md", 10),
        ("folding.md", 9),
        ("product_quantization.md", 12),
        ("hashing.md", 9),
        ("structured_pruning.md", 12),
    ],
)
def test_examples(page, least):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testfile(str(PAGES / page), module_relative=False, optionflags=flags)
    assert tried >= least
    assert failed == 0
