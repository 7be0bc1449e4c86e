"""The worked example of an operator in docs/contributing.md runs, and names files that are there."""

import doctest
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.graph.operators import restored

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs" / "contributing.md").read_text().split("## An elementwise operator\n")[1].split("\n## ")[0]


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(SECTION, {}, "An elementwise operator", "docs/contributing.md", 0)
    with restored():
        result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert result.attempted > 10
    assert result.failed == 0


def test_an_operator_is_named_in_no_source_file_but_those_of_the_list():
    """`hard_swish` stands for every elementwise operator."""
    listed = set(re.findall(r"^\| `([\w/.]+)`", SECTION, re.MULTILINE))
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "native").rglob("*.h"), *(ROOT / "native").rglob("*.cc")]
    named = {path.relative_to(ROOT).as_posix() for path in sources if re.search(r"\bhard_swish\b", path.read_text())}
    assert named == listed | {"src/paring/runtime/_onnx.py"}  # ONNX's name is no step on the way to the engine
    assert len(listed) <= 6
