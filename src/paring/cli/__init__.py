"""The command line: one file per command. Needs typer and rich; torch is imported only by the commands that train."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

#: What users choose the same with: for every OpenMP, for GNU's, for LLVM's and Intel's.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``paring`` and exit with its code (``docs/reference/cli.md``).

    Args:
        arguments: the words after ``paring``; those of the process if not given.
    """
    if not (find_spec("rich") and find_spec("typer")):
        print("The command line needs typer and rich. Install them with: pip install 'paring[cli]'", file=sys.stderr)
        sys.exit(1)
    let_threads_sleep()
    from paring.cli._app import execute

    sys.exit(execute(sys.argv[1:] if arguments is None else list(arguments)))


def let_threads_sleep() -> None:
    """Have OpenMP's threads sleep where they wait for each other, unless the user or the loaded libraries have chosen.

    torch's threads meet after every operation. By default they turn in a loop there, and beside another busy process
    the one that turns takes the core from the one it waits for (``benchmarks/busy_machine.py``). The library reads this
    once, when torch loads it; processes that are started from here read it, too.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"
