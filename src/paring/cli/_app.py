"""From words to a command, and from what went wrong to one line and an exit code."""

from __future__ import annotations

import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from inspect import cleandoc
from typing import Any

import typer

from paring import __version__
from paring.cli._invocation import remember
from paring.cli.commands import compress, cost, demo, distill, evaluate, inspect, report, run, sensitivity, train
from paring.cli.render._output import errors, note, rank, show_error
from paring.errors import EXIT_INTERRUPTED, ArgumentError, CheckpointError, DivergenceError, ParingError

#: Errors that every process of a training finds out alike.
_EVERYWHERE = (ArgumentError, CheckpointError, DivergenceError)
#: Exit code of a fault in Paring itself.
EXIT_INTERNAL = 70
#: Seconds for which a further process keeps an error to itself that the first one will have, too.
_PATIENCE = 5.0
#: Root of all that typer raises about wrong usage; typer has carried click inside since 0.20.
_UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

app = typer.Typer(
    name="paring",
    help="Pares convolutional networks down to a file you can measure and a program you can time.\n\n"
    "Start with [bold]paring demo[/bold]: it trains a small network, compresses it and runs the file without PyTorch, "
    "in a few minutes.",
    epilog="Every command explains itself: paring COMMAND --help. Exit codes: 0 done, 1 other error, 2 wrong argument, "
    "3 data, 4 file refused, 5 network, 6 checkpoint, 7 output, 8 training, 70 internal, 130 Ctrl-C.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: Commands that write and that processes of a launcher cannot share.
_ALONE = ("demo", "sensitivity")
_COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "train": train.train,
    "distill": distill.distill,
    "compress": compress.compress,
    "eval": evaluate.evaluate,
    "run": run.run,
    "inspect": inspect.inspect,
    "report": report.report,
    "cost": cost.cost,
    "sensitivity": sensitivity.sensitivity,
}
for _name, _command in _COMMANDS.items():  # typer would keep the line breaks of the source
    _paragraphs = cleandoc(_command.__doc__ or "").split("\n\n")
    _words = [p if p.startswith("\b") else " ".join(p.split()) for p in _paragraphs]  # a list keeps its lines
    app.command(_name, help="\n\n".join(_words), cls=getattr(_command, "help_class", None))(_command)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"paring {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error; also PARING_DEBUG=1."),
) -> None:
    """Options before the command."""


def execute(arguments: list[str]) -> int:
    """Exit code of these words; every error has been shown on stderr.

    Args:
        arguments: the words after ``paring``. ``--debug`` may stand anywhere among them.
    """
    debug = "--debug" in arguments or os.environ.get("PARING_DEBUG", "") not in ("", "0")
    words = [word for word in arguments if word != "--debug"]
    try:
        remember(words)
        command = typer.main.get_command(app)
        _check_alone(words)
        _check_empty(words)
        with warnings.catch_warnings():
            warnings.showwarning = _warned  # type: ignore[assignment]
            with command.make_context("paring", list(words)) as context:  # not app(): it has its own way with errors
                command.invoke(context)
        sys.stdout.flush()
        return 0
    except typer.Exit as error:
        sys.stdout.flush()
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        errors.print("Interrupted.", style="yellow", highlight=False)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as error:  # nothing of Paring's ends the program from within a command
        message = f"your code ended the program; found sys.exit({error.code!r}). Keep it out of the network."
        return _failed(message, ArgumentError.exit_code, debug)
    except ParingError as error:
        return _failed(str(error), error.exit_code, debug, isinstance(error, _EVERYWHERE))
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help has been shown
            return 2
        where = getattr(error, "ctx", None)
        hint = f"Try: {where.command_path} --help" if where else ""
        message = error.format_message().strip()
        return _failed(f"{message}{'' if message[-1:] in '.?!' else '.'} {hint}".rstrip(), 2, debug)
    except MemoryError:
        return _failed("Out of memory. Take fewer images (--limit) or smaller batches (--batch-size).", 1, debug)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _failed(f"{place}{error.strerror or error}.", 7, debug)
    except Exception as error:
        message = (
            f"Internal error, {type(error).__name__}: {error}. That is a fault in Paring, not in what you did. Please "
            "report it with the command and the traceback that --debug prints."
        )
        return _failed(message, EXIT_INTERNAL, debug)


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """A warning of Paring's own as one line among the others; of others, with its place."""
    if not rank():
        own = os.sep + "paring" + os.sep in filename or issubclass(category, UserWarning)
        note(str(message) if own else f"{filename}:{lineno}: {category.__name__}: {message}")


def _check_alone(words: list[str]) -> None:
    """A launcher's processes share the work of a training; of anything else each would do the whole."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1 and words and words[0] in _ALONE and "--help" not in words:
        raise ArgumentError(
            "is the work of one process",
            where=f"paring {words[0]}",
            found=f"{size} processes (WORLD_SIZE)",
            fix="Start it without torchrun or accelerate launch",
        )


def _check_empty(words: list[str]) -> None:
    """An empty word is what a shell makes of a variable that is not set; it would be taken for "not given"."""
    for before, word in zip(["paring", *words], words, strict=False):
        option = word.partition("=")[0] if word.startswith("--") and word.endswith("=") else before
        if not word or option is not before:
            fix = "Give it a value or leave it out; a shell variable that is not set gives an empty one"
            raise ArgumentError("empty word", where=f"after {option}" if not word else option, fix=fix)


def _failed(message: str, code: int, debug: bool, everywhere: bool = False) -> int:
    if debug:
        traceback.print_exc()
    if rank() and everywhere:
        # Every process finds out alike. The first one says it and ends, and the launcher ends the others, unless this
        # one is alone with it.
        time.sleep(_PATIENCE)
    show_error(f"process {rank()}: {message}" if rank() else message)
    return code
