import re
import shlex
from pathlib import Path

import pytest
import torch
import typer

from paring.training import PRESETS

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "reference" / "training.md").read_text()


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("mlxtend", reason="mlxtend is not installed")
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(example, "docs/reference/training.md", "exec"), {})
    assert "% wrong after 16 steps" in capsys.readouterr().out
    assert (tmp_path / "runs" / "lenet" / "step-00000016.safetensors").exists()
    assert torch.is_grad_enabled()


def test_the_commands_are_understood():
    """Everything from `train` on, also behind a launcher; the launchers' own words by their parsers."""
    from torch.distributed.run import get_args_parser

    from paring.cli import _app as _main

    text = PAGE.replace("\\\n", " ")
    lines = re.findall(r"^(?:paring|torchrun|accelerate launch) .*", text, re.MULTILINE)
    assert len(lines) == 8
    group = typer.main.get_command(_main.app)
    for line in lines:
        words = shlex.split(line, comments=True)
        at = next(i for i, word in enumerate(words) if word in ("train", "report"))
        with group.make_context("paring", words[at : at + 1]) as context:
            name, command, _ = group.resolve_command(context, words[at:])
            command.make_context(name, words[at + 1 :], parent=context)
        if words[0] == "torchrun":
            assert get_args_parser().parse_args(words[1:]).training_script == "paring.cli"
        if words[0] == "accelerate":
            launch = pytest.importorskip("accelerate.commands.launch", reason="accelerate is not installed")
            assert launch.launch_command_parser().parse_args(words[2:]).training_script == "paring.cli"


def test_every_preset_is_listed_with_its_source():
    for name, preset in PRESETS.items():
        assert f"| `{name}` | {preset.source} |" in PAGE
