"""The worked examples of docs/contributing.md do what the page says."""

import re
import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
from paring import zoo
from paring.zoo import _registry

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "contributing.md").read_text()


def example(path: str) -> str:
    """The block of the page that is the file at ``path``."""
    (found,) = re.findall(rf"<!-- file: {re.escape(path)} -->\n```\w*\n(.*?)```", PAGE, re.DOTALL)
    return found


@pytest.fixture
def strided(tmp_path, monkeypatch):
    """The page's network, in a folder that the zoo also looks into."""
    (tmp_path / "strided.py").write_text(example("src/paring/zoo/strided.py"))
    monkeypatch.setattr(zoo, "__path__", [*zoo.__path__, str(tmp_path)])
    yield "strided_small"
    for table in (_registry._BUILDERS, _registry._CARDS):  # families met on the way stay, since no import comes again
        table.pop("strided_small", None)
    sys.modules.pop("paring.zoo.strided", None)
    vars(zoo).pop("strided", None)


def test_a_zoo_network_is_found_by_its_file(strided):
    assert strided in zoo.list("strided*")
    assert zoo.card(strided).family == "strided"


def test_a_zoo_networks_test_passes(strided, tmp_path):
    (tmp_path / "test_strided.py").write_text(example("tests/zoo/test_strided.py"))
    tests = runpy.run_path(str(tmp_path / "test_strided.py"))
    names = [name for name in tests if name.startswith("test_")]
    assert len(names) == 2
    for name in names:
        tests[name]()


def test_a_zoo_networks_table_is_written_as_shown(strided):
    table = runpy.run_path(str(ROOT / "benchmarks" / "zoo_tables.py"))["table"]
    assert table([strided]) in example("docs/zoo/strided.md")


def test_a_zoo_network_is_trained_by_the_command(strided, tmp_path, capsys, monkeypatch):
    pytest.importorskip("mlxtend", reason="mlxtend is not installed")
    from paring.cli._app import execute

    monkeypatch.chdir(tmp_path)
    (line,) = re.findall(r"`paring (train strided_small .*?)`", PAGE)
    assert execute([*line.split(), "--limit", "100", "--epochs", "1"]) == 0
    assert (tmp_path / "strided.safetensors").exists()


def test_every_row_of_the_table_leads_to_its_section():
    rows = re.findall(r"^\| \[([^\]]+)\]\(#([\w-]+)\) \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert rows
    for _, anchor, files in rows:
        assert re.search(rf"^## {anchor.replace('-', ' ')}$", PAGE, re.MULTILINE | re.IGNORECASE)
        assert files.strip()
