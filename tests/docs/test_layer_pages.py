"""The examples in the pages on layers and checkpoints run."""

import doctest
from pathlib import Path

import pytest

pytest.importorskip("torch")
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["convolution", "normalization", "checkpoints"])
def test_examples_run(name):
    page = str(DOCS / "reference" / f"{name}.md")
    failures, tried = doctest.testfile(page, module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried > 3
    assert failures == 0
