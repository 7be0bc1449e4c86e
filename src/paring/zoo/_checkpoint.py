"""Load weights from files and state dicts, by name, or say exactly what does not fit.

A family's file lists the layouts it reads besides its own as ``LAYOUTS``: rows of (pattern, what it becomes), applied
to each tensor's name, first match wins; and as ``TRAINING_ONLY`` a pattern of parts a checkpoint may carry although the
network was built without them (auxiliary heads).
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from paring.errors import ArgumentError, CheckpointError, ParingError
from paring.files import check_archive
from paring.zoo._nests import Part, StandIn, folded, parts, split

if TYPE_CHECKING:
    from torch import Tensor, nn

Rules = Sequence[tuple[str, str]]
_SHOWN = 20


class Misfit(NamedTuple):
    """A tensor whose shape or kind is not the network's."""

    name: str
    found: str
    expected: str


@dataclass(frozen=True)
class LoadReport:
    """What :func:`load_weights` did; names are the network's own.

    Attributes:
        layout: the layout the names were read in.
        part: which part of the checkpoint was taken (``state_dict``, ``model_ema``); "" for the whole.
        others: further parts that fit the network.
        classes: of the checkpoint, where the network's are others; 0 where they agree.
        folded: tensors that were made of a mask, or of weight norm's two parts.
        loaded: tensors that were loaded.
        reinitialized: layers left at their fresh weights because the number of classes changed.
        ignored: tensors of parts only training uses that this network was built without.
        missing: tensors of the network the checkpoint does not have (none when strict).
        unexpected: tensors of the checkpoint the network does not have (none when strict).
        misfits: tensors of other shape or kind (none when strict).
    """

    layout: str
    loaded: tuple[str, ...]
    reinitialized: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    part: str = ""
    others: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    classes: int = 0

    @property
    def problems(self) -> int:
        """Number of tensors that keep this from being a strict load."""
        return len(self.missing) + len(self.unexpected) + len(self.misfits)

    def table(self) -> str:
        """The problems, one tensor a line."""
        rows: list[tuple[str, ...]] = [("problem", "tensor", "checkpoint", "network")]
        for kind, found in (
            ("mis-shaped", [tuple(misfit) for misfit in self.misfits]),
            ("missing", [(name, "-", "wanted") for name in self.missing]),
            ("unexpected", [(name, "present", "-") for name in self.unexpected]),
        ):
            rows += [(kind, *row) for row in found[:_SHOWN]]
            if len(found) > _SHOWN:
                rows.append((kind, f"... and {len(found) - _SHOWN} more", "", ""))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


def load_weights(
    model: nn.Module,
    source: str | os.PathLike[str] | Mapping[str, Any],
    strict: bool = True,
    layout: str = "auto",
) -> LoadReport:
    """Load a checkpoint into a network, in place; on an error the network is as it was.

    Files are read as safetensors or as plain PyTorch state dicts, the latter with ``weights_only=True``: nothing in
    them is executed. Wrappers (``{"state_dict": ...}``) and prefixes (``module.``) of training scripts are seen
    through; of several parts that fit (``model``, ``model_ema``) the plain weights are taken, and a warning names the
    others. Pruning masks and weight norm are multiplied out where the network has plain weights. When nothing but the
    number of classes differs, the classifier keeps its fresh weights and a warning names it. Counters of batch norm
    (``num_batches_tracked``) may be absent.

    Args:
        model: any module; the layouts are those of the zoo's file it comes from.
        source: path of a ``.safetensors``, ``.pt``, ``.pth`` or ``.bin`` file, or a state dict. ``FILE#PART`` takes one
            part of a checkpoint: ``last.pth#model_ema``, or ``all.pt#student`` for names that begin with ``student.``.
        strict: every tensor must be there, none more, all of the right shape. False loads what fits and warns.
        layout: "own", a name from the family's ``LAYOUTS`` ("torchvision", "cifar", "caffe", "pretrained-models"), or
            "auto" for the one in which most names are the network's.

    Returns:
        What was loaded and what was not.

    Raises:
        ArgumentError: on an unknown layout.
        CheckpointError: if the file is damaged or missing, or the tensors do not fit (a table lists them).
    """
    from paring.layers import bare

    model = bare(model)
    where, content, asked = _read(source)
    known = _layouts(model)
    if layout != "auto" and layout not in known:
        raise ArgumentError("unknown layout", found=repr(layout), expected=" or ".join(["'auto'", *map(repr, known)]))
    wanted = dict(model.state_dict(keep_vars=True))
    rules = {name: rules for name, rules in known.items() if layout in ("auto", name)}
    readings = [_reading(part, rules, wanted) for part in parts(content, where, wanted, asked)]
    fitting = [one for one in readings if one.fits]
    best = fitting[0] if fitting else max(readings, key=lambda one: one.score)
    chosen, renamed = best.layout, best.tensors
    if len(renamed) != best.total:
        raise CheckpointError("two tensors go by one name", where=where, expected=f"layout {chosen!r}")

    others = tuple(dict.fromkeys(one.part.name for one in fitting[1:] if one.part.name))
    report = replace(_compare(model, wanted, renamed, chosen), part=best.part.name, others=others, folded=best.folded)
    name = type(model).__name__
    if (report.problems and strict) or not report.loaded:
        counts = f"{len(report.missing)} missing, {len(report.unexpected)} unexpected, {len(report.misfits)} mis-shaped"
        raise CheckpointError(
            f"the checkpoint does not fit {name}",
            where=where,
            found=counts,
            expected=f"the tensors of the network in layout {chosen!r}",
            fix=f"The tensors:\n{report.table()}\nBuild the network the checkpoint is of, or load what fits "
            "(strict=False, --no-strict)",
        )
    if report.others:
        kept, rest = report.part or "the top", ", ".join(f"#{name}" for name in report.others[:5])
        warnings.warn(
            f"{where}: took the weights of {kept}; for others put this behind the file's name: {rest}", stacklevel=2
        )
    meta = any(tensor.is_meta for tensor in wanted.values())
    model.load_state_dict({key: renamed[key] for key in report.loaded}, strict=False, assign=meta)
    if report.problems:
        warnings.warn(f"{where}: {report.problems} tensors do not fit {name}:\n{report.table()}", stacklevel=2)
    for layer in report.reinitialized:
        old, new = renamed[f"{layer}.weight"].shape[0], wanted[f"{layer}.weight"].shape[0]
        warnings.warn(f"{where}: {layer} keeps fresh weights: {old} classes there, {new} in {name}", stacklevel=2)
    return report


class _Reading(NamedTuple):
    """A part of a checkpoint in the layout that suits it best."""

    part: Part
    layout: str
    tensors: dict[str, Tensor]
    total: int
    folded: tuple[str, ...]
    score: tuple[int, int]
    fits: bool


def _reading(part: Part, layouts: Mapping[str, Rules], wanted: Mapping[str, Tensor]) -> _Reading:
    tensors, made = folded(part.tensors, wanted)
    candidates = {name: _renamed(tensors, rules) for name, rules in layouts.items()}

    def score(name: str) -> tuple[int, int]:
        rows = candidates[name]
        return sum(key in wanted for key in rows), sum(_fits(wanted, *row) for row in rows.items())

    chosen = max(candidates, key=score)
    need = [key for key in wanted if not key.endswith("num_batches_tracked")]
    best = score(chosen)
    fits = len(candidates[chosen]) == len(tensors) and all(
        key in candidates[chosen] and _fits(wanted, key, candidates[chosen][key]) for key in need
    )
    return _Reading(part, chosen, candidates[chosen], len(tensors), made, best, fits)


def _compare(model: nn.Module, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], layout: str) -> LoadReport:
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    extra = [key for key in given if key not in wanted]
    training_only = getattr(sys.modules.get(type(model).__module__), "TRAINING_ONLY", None)
    ignored = [key for key in extra if training_only and re.match(training_only, key)]
    misfits = [
        Misfit(key, _shown(given[key], wanted[key]), _shown(wanted[key], given[key]))
        for key in wanted
        if key in given and not _fits(wanted, key, given[key])
    ]
    heads = _changed_heads(model, wanted, given, {misfit.name for misfit in misfits})
    if heads:
        misfits = []
    return LoadReport(
        layout=layout,
        loaded=tuple(key for key in wanted if key in given and _fits(wanted, key, given[key])),
        reinitialized=heads,
        ignored=tuple(ignored),
        missing=tuple(key for key in wanted if key not in given and key not in counters),
        unexpected=tuple(key for key in extra if key not in ignored and not key.endswith("num_batches_tracked")),
        misfits=tuple(misfits),
        classes=given[f"{heads[-1]}.weight"].shape[0] if heads else 0,
    )


def _changed_heads(
    model: nn.Module, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], misfits: set[str]
) -> tuple[str, ...]:
    """Layers that differ in the number of outputs alone, if together they explain every misfit.

    They are classifiers when the network's last layer is among them and all go from one number of classes to one other.
    """
    layers = [name for name in wanted if name.endswith(".weight") and wanted[name].ndim > 1]
    heads = {name.rpartition(".")[0] for name in misfits}
    last = layers[-1].rpartition(".")[0] if layers else None
    if last not in heads or not all(f"{head}.weight" in misfits for head in heads):
        return ()
    changes = {(given[name].shape[:1], wanted[name].shape[:1]) for name in misfits}
    same_tails = all(given[name].shape[1:] == wanted[name].shape[1:] for name in misfits)
    floats = all(given[name].is_floating_point() for name in misfits)
    return tuple(sorted(heads)) if len(changes) == 1 and same_tails and floats else ()


def _fits(wanted: Mapping[str, Tensor], key: str, tensor: Tensor) -> bool:
    target = wanted.get(key)
    return (
        target is not None
        and target.shape == tensor.shape
        and target.is_floating_point() == tensor.is_floating_point()
        and not tensor.is_quantized
    )


def _shown(tensor: Tensor, other: Tensor) -> str:
    """Shape, and the type where shapes agree."""
    shape = "x".join(map(str, tensor.shape)) or "scalar"
    return f"{shape} {str(tensor.dtype).removeprefix('torch.')}" if tensor.shape == other.shape else shape


def _layouts(model: nn.Module) -> dict[str, Rules]:
    family = sys.modules.get(type(model).__module__)
    return {"own": (), **getattr(family, "LAYOUTS", {})}


def _renamed(tensors: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    return {_rename(key, rules): tensor for key, tensor in tensors.items()}


def _rename(key: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        if match := re.match(pattern, key):
            return match.expand(replacement) + key[match.end() :]
    return key


def _read(source: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[str, Mapping[str, Any], str]:
    """Name, content and wanted part."""
    if isinstance(source, Mapping):
        return "state dict", source, ""
    path, part = split(source)
    if not path.is_file():
        raise CheckpointError("no such checkpoint", where=path)
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if not isinstance(content, Mapping):
        raise CheckpointError("not a state dict", where=path, found=type(content).__name__)
    return str(path), content, part


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ParingError(
            "reading .safetensors needs safetensors", fix="Install it with: pip install 'paring[torch]'"
        ) from error
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError("damaged safetensors file", where=path, found=str(error)) from error


def _read_torch(path: Path) -> Any:
    import torch

    try:
        check_archive(path)  # torch never compresses, but its reader would unpack what a stranger did
    except Exception as error:
        raise CheckpointError("not a checkpoint of torch", where=path, found=error) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles not torch's own, before it refuses them: the error says it
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds, down to bare RuntimeError
        if (content := _without_objects(path)) is not None:
            return content
        raise CheckpointError(
            "not a plain state dict: damaged, or it holds objects that only running code could rebuild",
            where=path,
            found=_trouble(error),
            fix="Save `model.state_dict()` alone where the checkpoint was made, best as safetensors",
        ) from error


def _without_objects(path: Path) -> Mapping[str, Any] | None:
    """The checkpoint with stand-ins for objects of other libraries (a score of numpy, a script's arguments).

    None if that does not do: no class or function that the file names is looked up, so nothing of it runs.
    """
    import torch

    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        instead: list[Any] = [(type(name, (StandIn,), {}), name) for name in names]
        with torch.serialization.safe_globals(instead):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # as above
        return None
    return content if isinstance(content, Mapping) else None


def _trouble(error: Exception) -> str:
    """What torch found, without its colors and its advice to load the file all the same."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    if unknown := re.search(r"GLOBAL (\S+)", text):
        return f"an object of {unknown[1]}"
    if isinstance(error, LookupError | EOFError):
        return "bytes that are no pickle"
    first = text.partition("\n")[0].partition(". ")[0]
    return f"{type(error).__name__}: {first}"[:200]
