"""The guide does what it says: its commands run in a row on a few digits, and its Python prints what it shows."""

import re
import shlex
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("mlxtend", reason="mlxtend is not installed")
from paring.cli._app import execute

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
#: What makes a command quick enough for a test.
SHORTER = {
    "train": ["--limit", "200"],
    "compress": ["--limit", "200"],
    "sensitivity": ["--limit", "100"],
    "eval": ["--limit", "50"],
}


def run_commands(page: str) -> list[list[str]]:
    lines = [shlex.split(line)[1:] for line in re.findall(r"^paring .*", (GUIDE / page).read_text(), re.MULTILINE)]
    for words in lines:
        assert execute([*words, *SHORTER.get(words[0], [])]) == 0, words
    return lines


def test_the_first_ten_minutes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(run_commands("first_ten_minutes.md")) == 7
    made = {path.name for path in tmp_path.iterdir()}
    assert made >= {"lenet.safetensors", "int8.pare", "sensitivity.json", "small.pare", "small.html"}


def test_your_own_network(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module, use = re.findall(r"```python\n(.*?)```", (GUIDE / "your_network.md").read_text(), re.DOTALL)
    (tmp_path / "net.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        exec(compile(use, "docs/guide/your_network.md", "exec"), {})
    finally:
        sys.modules.pop("net", None)
    shown = re.findall(r"#.*?(\[.*\])$", use, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == shown
    assert len(run_commands("your_network.md")) == 3
    assert {"small.pare", "last.pare"} <= {path.name for path in tmp_path.iterdir()}
