"""How a torch tensor lies over a graph value: views, transposes and splits as bookkeeping, not as operators.

A graph value is batch-free NHWC. A torch tensor of the traced network is the same numbers under axes of its own: each
of them is an ordered product of *atoms*, pieces of the batch, channel, height or width axis. ``permute``, ``view`` and
``flatten`` only rearrange atoms. When an operator needs the plain order (N, C, H, W), what is left of the rearrangement
is either nothing, a flatten, or a channel shuffle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Atom:
    """A piece of an axis: ``size`` steps of ``stride`` elements along ``axis`` (one of n, c, h, w)."""

    axis: str
    stride: int
    size: int


Dim = tuple[Atom, ...]


def whole(axis: str, size: int) -> Dim:
    """The whole of an axis; an axis of one element has no atoms."""
    return (Atom(axis, 1, size),) if size > 1 else ()


def size_of(dim: Dim) -> int:
    """Number of elements along a torch axis."""
    return prod(atom.size for atom in dim)


def merged(atoms: Iterable[Atom]) -> Dim:
    """Adjacent atoms that continue each other joined."""
    out: list[Atom] = []
    for atom in atoms:
        last = out[-1] if out else None
        if last and last.axis == atom.axis and last.stride == atom.stride * atom.size:
            out[-1] = Atom(atom.axis, atom.stride, last.size * atom.size)
        else:
            out.append(atom)
    return tuple(out)


def reshaped(dims: Sequence[Dim], shape: Sequence[int]) -> tuple[Dim, ...] | None:
    """The dims of a view in row-major order, or None if it would cut an atom unevenly."""
    queue = [atom for dim in dims for atom in dim]
    out: list[Dim] = []
    for size in shape:
        taken: list[Atom] = []
        missing = size
        while missing > 1:
            if not queue:
                return None
            atom = queue.pop(0)
            if missing % atom.size == 0:
                taken.append(atom)
                missing //= atom.size
            elif atom.size % missing == 0:
                inner = atom.size // missing
                taken.append(Atom(atom.axis, atom.stride * inner, missing))
                queue.insert(0, Atom(atom.axis, atom.stride, inner))
                missing = 1
            else:
                return None
        out.append(merged(taken))
    return None if queue else tuple(out)


def resolved(shape: Sequence[int], elements: int) -> list[int]:
    """``shape`` with its -1 filled in."""
    shape = [int(size) for size in shape]
    if -1 in shape:
        known = prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = elements // max(known, 1)
    return shape
