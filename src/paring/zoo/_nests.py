"""Checkpoints as they are found: which of their mappings holds the weights, under which prefix, in which disguise.

A training script's checkpoint is a mapping of mappings: weights beside an optimizer's state, often twice, plain and
averaged. A part is one of these mappings, or the tensors of one whose names share a prefix (``student.``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from paring.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

#: Names of mappings, the one that is taken first of several leading; any other name is as good, but later.
_FIRST = ("state_dict", "model_state_dict", "model", "net", "weights")
#: What a name of averaged weights has in it: they are taken where there are no plain ones.
_AVERAGED = ("ema", "averag", "shadow")
#: Mappings that hold no weights, though they hold tensors.
_OTHERS = ("optim", "sched", "scaler", "hyper", "callback", "loops")
#: Prefixes of wrappers, taken off wherever all names have them; the network's own names may begin with them, too.
_PREFIXES = ("module.", "model.", "net.", "network.")
#: Wrappers that may stand anywhere in a name.
_INSIDE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_DEPTH = 4


class StandIn:
    """In place of an object of a checkpoint that only code could rebuild: nothing of it is kept."""

    def __new__(cls, *_: Any, **__: Any) -> StandIn:
        """Whatever the object was made of."""
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Nothing is kept."""

    def __setstate__(self, state: Any) -> None:
        """Nothing is kept."""


class Part(NamedTuple):
    """Tensors by name, and where in the checkpoint they are (``model_ema``, ``ema.module``; "" for the top)."""

    name: str
    tensors: dict[str, Tensor]
    prefixed: bool = False


def split(source: str | os.PathLike[str]) -> tuple[Path, str]:
    """``file.pt#ema`` as a path and the name of a part; the name is empty where none is given."""
    word = os.fspath(source)
    path, mark, part = word.rpartition("#")
    return (Path(path), part) if mark and not Path(word).exists() else (Path(word), "")


def parts(content: Mapping[str, Any], where: str, wanted: Mapping[str, Any], chosen: str = "") -> list[Part]:
    """The parts of a checkpoint, best first; those whose names share a prefix come behind.

    Args:
        content: of the file.
        where: its name, for errors.
        wanted: the network's own tensors: no prefix that they have is taken off.
        chosen: only this part.

    Raises:
        CheckpointError: if there are no tensors, something else is among them, or there is no such part.
    """
    read = [(name, *_tensors(inner, wanted)) for name, inner in sorted(_walk(content), key=_order)]
    whole = [(name, tensors) for name, tensors, strange in read if tensors and not strange]
    strange = next((strange for _, _, strange in read if strange), "")
    if not whole and strange:
        raise CheckpointError("not a plain state dict", where=where, found=strange)
    found = [Part(name, _without_wrappers(tensors, wanted)) for name, tensors in whole]
    found += [part for one in found for part in _prefixed(one, wanted)]
    if not found:
        raise CheckpointError("the checkpoint holds no tensors", where=where)
    if not chosen:
        return found
    named = [part for part in found if part.name == chosen]
    if not named:
        names = [name for name, _ in whole if name] or [part.name for part in found if part.prefixed]
        raise CheckpointError(
            "checkpoint has no such part", where=where, found=chosen, expected=" or ".join(names[:10]) or None
        )
    return [part._replace(prefixed=False) for part in named[:1]]


def _walk(content: Mapping[str, Any], name: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Mappings with names for keys that hold something like a tensor, by their own names."""
    inner = {key: value for key, value in content.items() if isinstance(value, Mapping) and isinstance(key, str)}
    for key, value in inner.items():
        if depth < _DEPTH and not any(word in key.lower() for word in _OTHERS):
            yield from _walk(value, f"{name}.{key}" if name else key, depth + 1)
    mixed = bool(inner) and any(key in _FIRST or _averaged(key) for key in inner)
    if not mixed:
        yield name, content


def _averaged(name: str) -> bool:
    return any(word in name.lower() for word in _AVERAGED)


def _order(part: tuple[str, Any]) -> tuple[bool, int]:
    head = part[0].partition(".")[0]
    return _averaged(part[0]), _FIRST.index(head) if head in _FIRST else len(_FIRST)


def _tensors(content: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
    """What a mapping holds of tensors, numbers beside them passed over, and what does not belong beside tensors."""
    import numpy as np
    import torch

    tensors: dict[str, Tensor] = {}
    strange = ""
    for key, value in content.items():
        if isinstance(value, np.ndarray):
            value = torch.as_tensor(value)
        if isinstance(value, torch.Tensor) and isinstance(key, str):
            tensors[key] = value
        elif not isinstance(value, int | float | np.generic | Mapping | None) and not _number(value):
            strange = strange or f"{key}: {type(value).__name__}"
    if "n_averaged" not in wanted:  # of torch.optim.swa_utils.AveragedModel
        tensors.pop("n_averaged", None)
    return tensors, strange if tensors else ""


def _number(value: Any) -> bool:
    return isinstance(value, StandIn) and type(value).__name__.startswith("numpy.")


def _without_wrappers(tensors: Mapping[str, Tensor], wanted: Mapping[str, Any]) -> dict[str, Tensor]:
    for inside in _INSIDE:
        if not any(inside in key for key in wanted):
            tensors = {key.replace(inside, ""): value for key, value in tensors.items()}
    while True:
        shared = [p for p in _PREFIXES if all(k.startswith(p) for k in tensors) and not _has(wanted, p)]
        if not shared:
            return dict(tensors)
        tensors = {key[len(shared[0]) :]: value for key, value in tensors.items()}


def _has(wanted: Mapping[str, Any], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in wanted)


def _prefixed(whole: Part, wanted: Mapping[str, Any]) -> Iterator[Part]:
    """The tensors below each prefix of names: ``student.`` beside ``teacher.``."""
    name, tensors, _ = whole
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        words = key.split(".")
        for depth in range(1, min(len(words), _DEPTH)):
            groups.setdefault(".".join(words[:depth]), {})[".".join(words[depth:])] = value
    for prefix, group in sorted(groups.items(), key=lambda item: _averaged(item[0])):
        yield Part(f"{name}.{prefix}" if name else prefix, _without_wrappers(group, wanted), True)


def folded(tensors: Mapping[str, Tensor], wanted: Mapping[str, Any]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Weights out of what they were parametrized by, where the network has them plain.

    Masks of ``torch.nn.utils.prune`` (``weight_orig * weight_mask``) and weight norm in both of torch's forms
    (``g * v / |v|``).

    Returns:
        the tensors, and the names of those that were made.
    """
    found, made = dict(tensors), []
    for key in tensors:
        if key.endswith("_orig") and f"{key[:-5]}_mask" in tensors:
            name = key[:-5]
            weight = tensors[key] * tensors[f"{name}_mask"].to(tensors[key].dtype)
            used = [key, f"{name}_mask"]
        elif key.endswith("_g") and f"{key[:-2]}_v" in tensors:
            name = key[:-2]
            used = [key, f"{name}_v"]
            weight = _normed(*(tensors[part] for part in used))
        elif ".parametrizations." in f".{key}" and key.endswith(".original0") and f"{key[:-1]}1" in tensors:
            name = f".{key}".replace(".parametrizations.", ".")[1:].removesuffix(".original0")
            used = [key, f"{key[:-1]}1"]
            weight = _normed(*(tensors[part] for part in used))
        else:
            continue
        if any(part in wanted for part in used):
            continue
        for part in used:
            del found[part]
        found[name] = weight
        made.append(name)
    return found, tuple(made)


def _normed(g: Tensor, v: Tensor) -> Tensor:
    """``g * v / |v|``; the norm goes over the axes along which g has one number (Salimans and Kingma, 2016)."""
    import torch

    axes = [axis for axis in range(v.ndim) if axis >= g.ndim or g.shape[axis] == 1]
    return g * v / torch.linalg.vector_norm(v, dim=axes or None, keepdim=True)
