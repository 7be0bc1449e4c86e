"""How OpenMP's threads wait: the command line chooses where nobody has, the library never."""

import os
import subprocess
import sys

import pytest

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
COMMAND = """
from paring.cli import main
try:
    main(["--version"])
except SystemExit:
    pass
"""


def environment_after(code, **chosen):
    """What the process of this code has in its environment in the end, of the variables above."""
    plain = {name: value for name, value in os.environ.items() if name not in NAMES}
    tail = f"\nimport os\nprint('FOUND', *(f'{{n}}={{os.environ[n]}}' for n in {NAMES} if n in os.environ))"
    words = [sys.executable, "-c", code + tail]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=plain | chosen)
    return done.stdout.split("FOUND")[1].split()


def test_the_command_line_lets_threads_sleep():
    assert environment_after(COMMAND) == ["OMP_WAIT_POLICY=passive"]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_user_has_chosen_stays(name):
    value = {"OMP_WAIT_POLICY": "active", "KMP_LIBRARY": "turnaround"}.get(name, "100")
    assert environment_after(COMMAND, **{name: value}) == [f"{name}={value}"]


def test_nothing_is_chosen_once_torch_has_read_it():
    assert environment_after("import sys\nsys.modules['torch'] = object()" + COMMAND) == []


@pytest.mark.parametrize("module", ["paring", "paring.methods", "paring.cli"])
def test_importing_changes_nothing(module):
    assert environment_after(f"import {module}") == []
