"""What a compression run leaves behind: plain data that a report, a table or another run can read.

A recipe answers with a :class:`Record` and writes it as ``record.json`` into its run folder. Errors are fractions in
0..1, times seconds, sizes bytes. What nobody measured is ``None``. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from paring.errors import CheckpointError
from paring.files import read_file

#: Version of the JSON layout; raised when a field changes its meaning.
VERSION = 1
#: Largest record that is read, bytes.
_MOST = 64 << 20


@dataclass(frozen=True)
class Stage:
    """One stage of a recipe, in the order they ran.

    Attributes:
        name: ``train``, ``prune``, ``share``, ``tune``, ..., the second of a name ``tune-2``; what it left in the run
            folder has the same name behind the step's number.
        note: what was done and what it changed, in a few words.
        epochs: passes over the training data.
        seconds: wall time of the stage, interruptions left out.
        train_loss: mean loss of the last epoch.
        test_error: share of the test set answered wrongly after the stage.
        weights: number of weights of the float network (biases not counted).
        nonzeros: how many of them are not zero after the stage.
    """

    name: str
    note: str = ""
    epochs: int = 0
    seconds: float = 0.0
    train_loss: float | None = None
    test_error: float | None = None
    weights: int = 0
    nonzeros: int = 0


@dataclass(frozen=True)
class Layer:
    """One weight tensor before and after.

    Attributes:
        name: the weight's name in the graph (``fc1.weight``).
        op: the operator that reads it (``conv2d``, ``linear``, ``integer_conv2d``), or ``bias``.
        shape: the weight's shape, ``(out, in / groups, kh, kw)`` or ``(out, in)``.
        weights: number of weights.
        kept: how many are not zero.
        centroids: shared non-zero values; ``None`` if the weight is not shared.
        bits: width of a stored centroid, number or code.
        bytes: its length in the file, all streams together.
        paper_bytes: its length in Deep Compression's own coding (relative indices with fillers, Huffman codes),
            biases not counted.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    weights: int
    kept: int
    centroids: int | None = None
    bits: int = 32
    bytes: int | None = None
    paper_bytes: int | None = None


@dataclass
class Record:
    """A whole run.

    Attributes:
        recipe: its name, ``own list`` for steps of the user's own.
        preset: name of the preset the settings began with, or empty.
        network: zoo name of the network.
        data: the data set as the user named it (``mnist:FOLDER``).
        test_set: what the errors are over (``mnist test``), with ``test_images`` images.
        test_images: number of test images.
        classes: class names in the order of the network's answers.
        seed: what all randomness is derived from.
        settings: every resolved setting of the recipe, JSON values.
        commands: the command lines that made it, as typed.
        machine: ``processor``, ``cores``, ``threads``, ``system``, ``python``, ``torch``, ``paring``.
        stages: see :class:`Stage`.
        layers: see :class:`Layer`, in the graph's order.
        baseline_error: test error of the trained float network, before anything was taken away.
        final_error: test error of the network in the file, run in torch.
        float_bytes: the float network's weights and biases at four bytes each.
        file: the `.pare` file, relative to the run folder if it lies in it.
        file_bytes: its length.
        paper_bytes: length in Deep Compression's own coding, 32-bit biases included.
        baseline: NumPy archive with the float network's weights by name, relative to the run folder; for histograms.
    """

    recipe: str
    network: str
    data: str
    seed: int
    preset: str = ""
    test_set: str = ""
    test_images: int = 0
    classes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    baseline_error: float | None = None
    final_error: float | None = None
    float_bytes: int = 0
    file: str = ""
    file_bytes: int | None = None
    paper_bytes: int | None = None
    baseline: str = ""

    @property
    def seconds(self) -> float:
        """Wall time of all stages together."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def ratio(self) -> float | None:
        """How many times smaller the file is than the float network's weights."""
        return self.float_bytes / self.file_bytes if self.file_bytes else None

    def to_json(self) -> str:
        """Indented JSON with a ``version`` field; :meth:`from_json` reads it back equal."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Record:
        """The inverse of :meth:`to_json`.

        Raises:
            CheckpointError: if the text is no record or one of another version.
        """
        return cls(**_read(cls, text, "a run"))

    @classmethod
    def load(cls, path: str | Path) -> Record:
        """The record in a file, or in a run folder's ``record.json``.

        Raises:
            CheckpointError: if there is none or it cannot be read.
        """
        path = Path(path)
        if path.is_dir():
            path = path / "record.json"
        try:
            return cls.from_json(read_file(path, _MOST))
        except OSError as error:
            raise CheckpointError("no record of a run", where=path, found=error.strerror) from None


@dataclass
class Training:
    """A training run: what ``training.json`` in its folder says, for the report.

    Attributes:
        title: what was trained.
        settings: hyper-parameters and what else the result depends on, JSON values.
        about: what else there is to say (``network``, ``data``, ``command``), JSON values.
        history: one mapping for each epoch: ``epoch``, ``step`` (done so far), ``train_loss``, ``rate``, ``seconds``,
            ``images_per_second`` and ``score``, a mapping of what was evaluated (``error``, ``loss``).
        processes: how many trained together.
        done: False while it runs, and after it was stopped.
    """

    NAME: ClassVar[str] = "training.json"

    title: str
    settings: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    processes: int = 1
    done: bool = False

    def to_json(self) -> str:
        """Indented JSON with a ``version`` field."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1, allow_nan=False) + "\n"

    @classmethod
    def load(cls, path: str | Path) -> Training:
        """The record in a file, or in a run folder's ``training.json``.

        Raises:
            CheckpointError: if there is none, it cannot be read or is of another version.
        """
        path = Path(path)
        if path.is_dir():
            path = path / cls.NAME
        try:
            text = read_file(path, _MOST)
        except OSError as error:
            raise CheckpointError("no record of a training run", where=path, found=error.strerror) from None
        return cls(**_read(cls, text, "a training run", path))


def _read(kind: type, text: str | bytes, of: str, where: Path | None = None) -> dict[str, Any]:
    """The fields of a record, every value of its field's type.

    Raises:
        CheckpointError: if the text is no such record or one of another version.
    """
    try:
        values = json.loads(text, parse_constant=_no_constant)
        version = values.pop("version")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"not a record of {of}", where=where, found=error) from None
    if version != VERSION:
        raise CheckpointError("record has another version", where=where, found=version, expected=VERSION)
    try:
        return _fields(kind, values)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"not a record of {of}", where=where, found=error) from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON value")


def _fields(kind: Any, values: Any) -> dict[str, Any]:
    """JSON values as a dataclass's fields.

    Raises:
        TypeError: if a field is missing, unknown or of another type.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{kind.__name__} is {type(values).__name__}, not an object")
    types = {name: hint for name, hint in get_type_hints(kind).items() if get_origin(hint) is not ClassVar}
    if unknown := values.keys() - types.keys():
        raise TypeError(f"unknown field {min(unknown)!r}")
    needed = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    if missing := needed - values.keys():
        raise TypeError(f"field {min(missing)!r} is missing")
    return {name: _value(types[name], value, name) for name, value in values.items()}


def _value(hint: Any, value: Any, name: str) -> Any:
    """A JSON value in the type of a field."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return None if value is None else _value(arguments[0], value, name)
    if origin in (list, tuple):
        if isinstance(value, list):
            return origin(_value(arguments[0], one, name) for one in value)
    elif origin is dict:
        if isinstance(value, dict):
            return value
    elif hint is Any:
        return value
    elif is_dataclass(hint):
        return hint(**_fields(hint, value))  # type: ignore[operator]
    elif isinstance(value, (int, float) if hint is float else hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise TypeError(f"{name} is {str(value)[:40]!r}, not {getattr(hint, '__name__', hint)}")
