import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import paring as package
from paring import errors
from paring.cli import _app as _main

COMMANDS = ["demo", "train", "compress", "eval", "run", "inspect", "report", "cost", "sensitivity"]
PLAIN = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}


def process(*words, **options):
    """The command line in a process of its own."""
    code = "from paring.cli import main; main()"
    words = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, env=PLAIN, **options)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(paring, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = paring(command, "--help")
    assert (code, err) == (0, "")
    assert f"paring {command}" in out
    assert "Example" in out
    assert "--json" in out


def test_help_and_version(paring):
    code, out, _ = paring("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)
    assert paring("--version")[:2] == (0, f"paring {package.__version__}\n")
    code, out, err = paring("compres")
    assert (code, out) == (2, "")
    assert "compress" in err
    assert paring("inspect", "--frobnicate", "x")[0] == 2


@pytest.mark.parametrize("words", [["--help"], *([command, "--help"] for command in COMMANDS), ["inspect", "PARE"]])
def test_nothing_heavy_is_imported(pare, words):
    code = (
        "import sys\nfrom paring.cli import main\ntry:\n main()\nfinally:\n"
        " print('LOADED', *{name.split('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, *(str(pare) if word == "PARE" else word for word in words)]
    done = subprocess.run(command, capture_output=True, text=True, env=PLAIN, check=True)
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert "typer" in loaded
    # The help of compress lists the recipes that are installed, and their options; they are found where torch is.
    allowed = {"torch"} if words[:1] == ["compress"] else set()
    heavy = {"torch", "scipy", "pandas", "sklearn", "matplotlib", "pyarrow", "datasets", "PIL", "mlxtend"}
    assert not loaded & heavy - allowed


def test_eval_and_run_of_a_file_do_without_torch(pare, idx_folder):
    for words in (
        ["eval", pare, "--data", f"mnist:{idx_folder}"],
        ["report", pare, "--out", pare.with_suffix(".html")],
    ):
        code = "import sys\nsys.modules['torch'] = None\nfrom paring.cli import main\nmain()"
        words = [sys.executable, "-c", code, *map(str, words)]
        done = subprocess.run(words, capture_output=True, text=True, env=PLAIN)
        assert done.returncode == 0, done.stderr


def test_every_kind_of_error_has_its_code(paring, monkeypatch, pare):
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ParingError)]
    assert {kind.exit_code for kind in kinds} == {1, 2, 3, 4, 5, 6, 7, 8}
    for kind in kinds:

        def raising(path, kind=kind):
            raise kind("it went [bold]wrong[/bold]", where="conv1", found=3, expected=4, fix="Do better")

        monkeypatch.setattr("paring.container.inspect", raising)
        code, out, err = paring("inspect", pare)
        assert (code, out) == (kind.exit_code, "")
        assert err == "error: conv1: it went [bold]wrong[/bold]; found 3; expected 4. Do better.\n"


def test_a_fault_of_our_own(paring, monkeypatch, pare):
    def raising(path):
        raise KeyError("gone")

    monkeypatch.setattr("paring.container.inspect", raising)
    code, out, err = paring("inspect", pare)
    assert (code, out) == (_main.EXIT_INTERNAL, "")
    assert "Internal error, KeyError: 'gone'" in err
    assert "Traceback" not in err
    for words, variable in (
        (["--debug", "inspect", pare], ""),
        (["inspect", pare, "--debug"], ""),
        (["inspect", pare], "1"),
    ):
        monkeypatch.setenv("PARING_DEBUG", variable)
        code, out, err = paring(*words)
        assert (code, out) == (_main.EXIT_INTERNAL, "")
        assert "Traceback" in err


def test_ctrl_c(paring, monkeypatch, pare):
    def raising(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("paring.container.inspect", raising)
    assert paring("inspect", pare) == (errors.EXIT_INTERRUPTED, "", "Interrupted.\n")


def test_a_closed_pipe_is_no_error(pare):
    code = f"from paring.cli import main; main(['inspect', {str(pare)!r}, '--json'])"
    done = subprocess.run(
        f'{sys.executable} -c "{code}" | true; echo ${{PIPESTATUS[0]}}',
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        env=PLAIN,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_full_disk_leaves_nothing(pare, tmp_path):
    """The limit on a file's size stands for a full disk: writing fails after some bytes."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = process("report", pare, "--out", tmp_path / "page.html", "--no-time", preexec_fn=limit)
    assert done.returncode == 7, done.stderr
    assert "page.html: report cannot be written; found File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_exit_codes_are_documented():
    text = (Path(__file__).resolve().parent.parent.parent / "docs" / "reference" / "cli.md").read_text()
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, _main.EXIT_INTERNAL, errors.EXIT_INTERRUPTED):
        assert f"| {code} |" in text
