import re
import shlex
from pathlib import Path

import pytest
import typer

from paring.cli import _app as _main
from paring.errors import ArgumentError

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def examples():
    """Every command line in docs/reference/cli.md and in the commands' own help."""
    shown = re.findall(r"^paring .*?(?=   |$)", (DOCS / "reference" / "cli.md").read_text(), re.MULTILINE)
    for command in _main._COMMANDS.values():
        shown += re.findall(r"\[bold\](paring .*?)\[/bold\]", re.sub(r"\s+", " ", command.__doc__))
    return sorted({line.strip() for line in shown})


def test_there_are_examples_of_every_command():
    assert {line.split()[1] for line in examples()} >= set(_main._COMMANDS)


@pytest.mark.parametrize("line", examples())
def test_examples_are_understood(line):
    words = shlex.split(line)[1:]
    group = typer.main.get_command(_main.app)
    with group.make_context("paring", words[:1]) as context:
        name, command, _ = group.resolve_command(context, words)
        command.make_context(name, words[1:], parent=context)  # raises on a wrong option, number or missing argument


def test_the_error_shown_in_the_docs_is_real():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from paring.parametrize import select
    from paring.zoo import create

    torch.manual_seed(0)
    shown = re.search(r"^error: (.*)$", (DOCS / "reference" / "cli.md").read_text(), re.MULTILINE).group(1)
    with pytest.raises(ArgumentError, match=re.escape(shown)):
        select(create("lenet_5_caffe"), {"cov*": 0.5})
