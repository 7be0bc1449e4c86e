"""The command line: one file per command. Needs typer and rich; torch is imported only by the commands that train."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``paring`` and exit with its code (``docs/reference/cli.md``).

    Args:
        arguments: the words after ``paring``; those of the process if not given.
    """
    if not (find_spec("rich") and find_spec("typer")):
        print("The command line needs typer and rich. Install them with: pip install 'paring[cli]'", file=sys.stderr)
        sys.exit(1)
    from paring.cli._app import execute

    sys.exit(execute(sys.argv[1:] if arguments is None else list(arguments)))
