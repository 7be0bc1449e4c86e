"""Every command with a wrong value of every sort in every place; ``test_mistakes.py`` tries them all."""

import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import typer

from paring.cli import _app

#: Exit codes of the documentation but those of success, of a fault in Paring and of Ctrl-C.
DOCUMENTED = range(1, 9)
#: What only somebody who reads the source would understand, or what Python says of itself.
#: Commands whose table takes minutes.
LONG = ("train", "distill", "compress", "sensitivity")
#: Words that are right, though they look wrong: more than there is means all, and means may be below 0.
RIGHT = {("--batch-size", "huge"), ("--limit", "huge"), ("--top", "huge"), ("--mean", "negative")}
RIGHT |= {("--teacher-mean", "negative")}
INTERNAL = re.compile(
    r"Traceback|Errno|object at 0x|<class|NoneType|has no attribute|positional argument|keyword argument|\bKeyError\b|"
    r"\bTypeError\b|\bIndexError\b|_[a-z]+\.py|\x1b|weights_only|Internal error"
)


@dataclass(frozen=True)
class Mistake:
    """One wrong command line."""

    command: str
    place: str
    value: str
    words: tuple[str, ...]


class Places:
    """Files and folders of every sort that a path may wrongly be, and a right one of each."""

    def __init__(self, folder: Path, pare: Path, tiny: Path, idx: Path) -> None:
        self.folder, self.pare, self.net, self.data = folder, pare, f"{tiny}:tiny", f"mnist:{idx}"
        self.empty, self.text, self.missing = folder / "empty.bin", folder / "text.bin", folder / "missing.bin"
        self.empty.write_bytes(b"")
        self.text.write_text("hello")
        (folder / "folder.bin").mkdir(exist_ok=True)

    def of(self, suffix: str) -> dict[str, Path]:
        """Wrong paths with a suffix, each by what is wrong with it."""
        made = {"empty file": self.empty, "text file": self.text, "missing file": self.missing}
        found = {"folder": self.folder / f"folder{suffix}"}
        found["folder"].mkdir(exist_ok=True)
        for sort, path in made.items():
            found[sort] = path.with_suffix(suffix)
            if path.exists() and path != found[sort]:
                found[sort].write_bytes(path.read_bytes())
        return found

    def base(self, command: str, out: Path) -> list[str]:
        """A right command line, as quick as it can be."""
        training = ["--data", self.data, "-e", "1", "-b", "10", "--limit", "20", "--out", str(out / "net.safetensors")]
        return {
            "demo": ["--out", str(self.text)],  # so that it never trains, which takes minutes
            "train": [self.net, *training],
            "distill": [self.net, "--teacher", str(self.pare), *training],
            "compress": [self.net, "-d", self.data, "--limit", "20", "--effort", "0.1", "-o", str(out / "net.pare")],
            "eval": [str(self.pare), "--data", self.data, "--limit", "20"],
            "run": [str(self.pare), str(self.folder / "digit.png")],
            "inspect": [str(self.pare)],
            "report": [str(self.pare), "--out", str(out / "page.html"), "--no-time", "--data", self.data],
            "cost": [self.net, "--resolution", "28", "--channels", "1"],
            "sensitivity": [
                self.net, "--data", self.data, "--limit", "20", "--method", "prune=0.5", "--out", str(out / "s.json")
            ],
        }[command]  # fmt: skip


def mistakes(places: Places, out: Path) -> Iterator[Mistake]:
    """All of them, command by command."""
    for command, made in commands().items():
        base = places.base(command, out)
        yield Mistake(command, "an unknown option", "--nosuch", (command, *base, "--nosuch"))
        if command not in ("cost", "run"):  # which take any number
            yield Mistake(command, "one word too many", "", (command, *base, "x"))
        if command != "demo":
            yield Mistake(command, "nothing", "", (command,))
        for parameter in made.params:
            if parameter.name == "help":
                continue
            if parameter.param_type_name == "argument":
                for sort, value in arguments(command, parameter.name, places):
                    words = [value, *base[1:]] if parameter.name != "images" else [base[0], value]
                    yield Mistake(command, parameter.name.upper(), sort, (command, *words))
                continue
            option = max(parameter.opts, key=len)
            if getattr(parameter, "is_flag", False):
                continue
            yield Mistake(command, option, "no value", (command, *base, option))
            for sort, value in values(option, parameter.metavar or "", places):
                if (option, sort) in RIGHT:
                    continue
                yield Mistake(command, option, sort, (command, *base, option, value))


def commands() -> dict[str, typer.core.TyperCommand]:
    """Every command by its name, as typer made it."""
    return typer.main.get_command(_app.app).commands


def arguments(command: str, name: str, places: Places) -> Iterator[tuple[str, str]]:
    """Wrong values of an argument, each with what is wrong."""
    yield "empty", ""
    if name == "images":
        yield from ((sort, str(path)) for sort, path in places.of(".png").items())
        return
    yield from ((f"{sort} .pare", str(path)) for sort, path in places.of(".pare").items())
    if command not in ("run", "inspect", "report"):
        yield "unknown name", "resnet21"
        yield "a word of Python", "no.such:thing"
        yield "unknown function", places.net.replace(":tiny", ":nosuch")
        yield "a function that fails", places.net.replace(":tiny", ":broken")
        yield "a function of something else", places.net.replace(":tiny", ":number")
        yield from ((f"{sort} .safetensors", str(path)) for sort, path in places.of(".safetensors").items())
        yield from ((f"{sort} .pt2", str(path)) for sort, path in places.of(".pt2").items())


def values(option: str, metavar: str, places: Places) -> Iterator[tuple[str, str]]:
    """Wrong values of an option, each with what is wrong."""
    if metavar != "DIR" and option in ("--out", "--plot", "--report", "--cache"):
        suffix = {"--plot": ".png", "--report": ".html"}.get(option, Path(metavar).suffix or ".bin")
        yield "missing folder", str(places.folder / "none" / f"x{suffix}")
        yield "folder", str(places.of(suffix)["folder"])
        yield "wrong ending", str(places.folder / "x.nosuch")
        return
    if metavar in ("FILE",) or option == "--weights":
        for suffix in (".safetensors", ".pt"):
            yield from ((f"{sort} {suffix}", str(path)) for sort, path in places.of(suffix).items())
        return
    if metavar == "DIR":
        yield "text file", str(places.text)
        return
    yield "empty", ""
    if "NAME=VALUE" not in metavar:
        yield "no number and no name", "b@d"
    if metavar in ("N", "X", "T", "PIXELS", "STEPS", "SECONDS", "EPOCHS", "ALPHA", "SHARE", "R,G,B", "T,T", "X[,X]"):
        yield "negative", "-1"
        yield "not a number", "nan"
    if metavar in ("N", "PIXELS", "STEPS", "EPOCHS"):
        yield "huge", "99999999999999999999"
    if metavar == "SPEC":
        yield "unknown kind", "nosuch:here"
        yield from (
            (f"{kind} of a missing folder", f"{kind}:{places.missing}")
            for kind in ("mnist", "imagefolder", "cifar10", "parquet")
        )
        yield "a text file", f"imagefolder:{places.text}"
        yield "an empty folder", f"imagefolder:{places.of('.bin')['folder']}"


def run(words: tuple[str, ...]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command line, in this process."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = _app.execute(list(words))
    return code, out.getvalue(), err.getvalue()


def faults(code: int, err: str) -> list[str]:
    """What is wrong with what a wrong command line said."""
    lines = err.splitlines()
    found = []
    if code not in DOCUMENTED:
        found.append(f"exit code {code}")
    if sum(line.startswith("error: ") for line in lines) != 1 or not lines[-1].startswith("error: "):
        found.append(f"{len(lines)} lines")
    if inside := INTERNAL.search(err):
        found.append(f"says {inside[0]!r}")
    return found
