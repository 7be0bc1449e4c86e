"""A traced network: a flat list of aten calls, however it was traced.

Two tracers make one: :mod:`paring.capture._export` (``torch.export``, the careful one) and
:mod:`paring.capture._trace` (a dispatch mode that computes nothing, the quick one). The lowering to a graph reads
only this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

#: Images a network is traced with. Two, so that whatever mixes images is seen, and no squeeze can take the batch axis.
BATCH = 2


@dataclass(frozen=True)
class Ref:
    """A tensor (or list of tensors) of the traced network by its number."""

    number: int


@dataclass(frozen=True)
class Place:
    """Where a call comes from.

    Attributes:
        path: dotted path of the innermost module, empty for the root.
        own: whether that module has no children, so that its path can name the call.
        builtin: whether that module is one of torch's.
        source: ``file.py:12`` of the user's line, empty if unknown.
    """

    path: str = ""
    own: bool = False
    builtin: bool = False
    source: str = ""


@dataclass
class Call:
    """One aten call.

    Attributes:
        op: aten name without overload and without the underscore of in-place forms: ``conv2d``.
        target: what to call to compute it.
        args: positional arguments, tensors as :class:`Ref`.
        kwargs: keyword arguments, tensors as :class:`Ref`.
        out: what it makes: one reference, or one per tensor of a list.
        inplace: whether it overwrites its first argument.
        place: where it comes from.
    """

    op: str
    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Ref | list[Ref]
    inplace: bool = False
    place: Place = field(default_factory=Place)

    def outputs(self) -> list[Ref]:
        """The references it makes."""
        return [self.out] if isinstance(self.out, Ref) else self.out


@dataclass
class Program:
    """A traced network.

    Attributes:
        inputs: (name, reference, shape with the batch axis) of each input.
        constants: parameters, buffers and literal tensors by reference.
        names: dotted path of those constants that have one; tied ones have the first path.
        calls: in order.
        outputs: references of the answers.
        known: results that do not depend on the input and were computed while tracing.
        output_names: of the answers, where there are several and the network puts them into a dictionary; else empty.
    """

    inputs: list[tuple[str, Ref, tuple[int, ...]]]
    constants: dict[Ref, torch.Tensor]
    names: dict[Ref, str]
    calls: list[Call]
    outputs: list[Ref]
    known: dict[Ref, torch.Tensor] = field(default_factory=dict)
    output_names: list[str] = field(default_factory=list)

    def needed(self) -> tuple[list[Call], set[Ref]]:
        """The calls the outputs depend on, in order, and every reference these read."""
        wanted = set(self.outputs)
        kept: list[Call] = []
        for call in reversed(self.calls):
            # What an in-place call overwrites may be read later under any other name, so it always counts.
            if call.inplace or not wanted.isdisjoint(call.outputs()):
                kept.append(call)
                wanted.update(references((call.args, call.kwargs)))
        return kept[::-1], wanted

    def origins(self) -> dict[Ref, set[str]]:
        """Constant to the names of the parameters it is computed from, where there are any."""
        found = {ref: {self.names[ref]} for ref, t in self.constants.items() if isinstance(t, torch.nn.Parameter)}
        live = {ref for _, ref, _ in self.inputs}
        for call in self.calls:
            read = list(references((call.args, call.kwargs)))
            if live.intersection(read):
                live.update(call.outputs())
            elif names := set().union(*(found.get(ref, set()) for ref in read)):
                found.update(dict.fromkeys(call.outputs(), names))
        return found


#: What no tensor hides in; most arguments are these.
_LEAVES = frozenset((int, float, bool, str, type(None)))


def references(value: Any) -> Iterator[Ref]:
    """Every reference in nested lists, tuples and dicts."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            if type(item) not in _LEAVES:
                yield from references(item)
    elif isinstance(value, dict):
        yield from references(list(value.values()))


def replaced(value: Any, change: Callable[[Any], Any], kinds: type | tuple[type, ...]) -> Any:
    """``value`` with every leaf of ``kinds`` in nested lists, tuples and dicts put through ``change``."""
    if type(value) in _LEAVES:
        return value
    if isinstance(value, kinds):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(replaced(item, change, kinds) for item in value)
    if isinstance(value, dict):
        return {key: replaced(item, change, kinds) for key, item in value.items()}
    return value


def base_name(target: Any) -> tuple[str, bool]:
    """(aten name without overload, whether it is the in-place form) of an operator overload."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return getattr(target, "__name__", str(target)), False
    name = schema.name.rpartition("::")[2]
    inplace = name.endswith("_") and not name.endswith("__")
    return (name[:-1] if inplace else name), inplace
