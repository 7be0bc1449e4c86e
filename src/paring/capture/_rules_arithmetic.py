"""Lowering rules of joins, padding, arithmetic and reductions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from paring.capture._lower import Const, Lowering, Value, rule
from paring.capture._view import Atom, Dim, merged, size_of, whole

# --- joins --------------------------------------------------------------------------------------------------------


@rule("cat", "concat", "concatenate")
def cat(low: Lowering, tensors: Sequence[Any], dim: int = 0) -> Value:
    """Along the channels; zeros among the parts become padding."""
    values = [t for t in tensors if isinstance(t, Value)]
    first = values[0]
    dim %= first.ndim
    if first.ndim == 2 and dim == 1:
        names = [low.vector(t) if isinstance(t, Value) else t for t in tensors]
        return low.plain(_joined(low, names, 1), 2)
    names = []
    for tensor in tensors:
        if isinstance(tensor, Const):
            names.append(tensor)
            continue
        others = [axis for i, axis in enumerate(tensor.dims) if i != dim]
        expected = [axis for i, axis in enumerate(first.dims) if i != dim]
        if others != expected or any(atom.axis == "c" for axis in others for atom in axis):
            raise low.refusal("joins along an axis that is not the channels", found=low.described(tensor))
        names.append(low.ordered(tensor, tensor.dims[dim]))
    name = _joined(low, names, dim)
    dims = list(first.dims)
    dims[dim] = whole("c", low.shapes[name][-1])
    return Value(name, tuple(dims))


def _joined(low: Lowering, names: Sequence[Any], dim: int) -> str:
    """One value of all; leading and trailing zero constants as channel padding."""
    sizes = [0, 0]
    kept: list[str] = []
    for name in names:
        if isinstance(name, Const):
            if torch.count_nonzero(name.tensor):
                raise low.refusal("joins a constant that is not zero")
            sizes[1 if kept else 0] += name.tensor.shape[dim]
        elif sizes[1]:
            raise low.refusal("joins zeros between activations", expected="zeros before or behind them")
        else:
            kept.append(name)
    if len({len(low.shapes[name]) for name in kept}) > 1:  # some are 1x1 maps, some vectors
        kept = [low.emit("flatten", [n]) if len(low.shapes[n]) == 3 else n for n in kept]
    joined = kept[0] if len(kept) == 1 else low.emit("concat", kept)
    return low.emit("pad", [joined], {"channels": tuple(sizes)}) if any(sizes) else joined


@rule("stack")
def stack(low: Lowering, tensors: Sequence[Any], dim: int = 0) -> Value:
    """Joined along a new axis: the parts' channels one after the other, seen with the part's number as an axis."""
    for tensor in tensors:
        low.expect_value(tensor)
    first = tensors[0]
    dim %= first.ndim + 1
    channels = [i for i, axis in enumerate(first.dims) if any(atom.axis == "c" for atom in axis)]
    if len(channels) != 1:
        raise low.refusal("stacks tensors without a channel axis", found=low.described(first))
    joined = cat(low, tensors, channels[0])
    size = size_of(first.dims[channels[0]])
    dims = list(joined.dims)
    dims[channels[0]] = whole("c", size)
    return Value(joined.name, (*dims[:dim], (Atom("c", size, len(tensors)),), *dims[dim:]))


@rule("pad")
def pad(low: Lowering, x: Value, amounts: Sequence[int], mode: str = "constant", value: Any = None) -> Value:
    """Zeros around rows, columns and channels; torch counts axes from the last."""
    if mode != "constant":
        raise low.refusal("padding that is not zeros", found=mode, expected="constant 0")
    return constant_pad(low, x, amounts, value or 0)


@rule("constant_pad_nd")
def constant_pad(low: Lowering, x: Value, amounts: Sequence[int], value: Any = 0) -> Value:
    """As torch's dispatcher names it."""
    if value != 0:
        raise low.refusal("padding that is not zeros", found=value, expected=0)
    if min(amounts, default=0) < 0:
        raise low.refusal("negative padding crops", found=list(amounts))
    name = low.map(x)
    axes = {x.ndim - 1: "w", 1: "c"} | ({2: "h"} if x.ndim == 4 else {})
    sides = {"h": (0, 0), "w": (0, 0), "c": (0, 0), "": (0, 0)}
    for position in range(len(amounts) // 2):
        sides[axes.get(x.ndim - 1 - position, "")] = (int(amounts[2 * position]), int(amounts[2 * position + 1]))
    if any(sides[""]):
        raise low.refusal("padding of the batch", found=list(amounts))
    attrs = {"padding": (*sides["h"], *sides["w"]), "channels": sides["c"]}
    return low.plain(low.emit("pad", [name], attrs), x.ndim)


# --- arithmetic ---------------------------------------------------------------------------------------------------


#: Constants that come from no parameter.
_MADE_UP: frozenset[str] = frozenset()


def affine(low: Lowering, x: Value, scale: Any = None, shift: Any = None) -> Value:
    """``x * scale + shift`` with numbers or constant tensors that differ per channel at most."""
    given = scale if scale is not None else shift
    if isinstance(given, Const) and given.tensor.numel() > 1:
        name, ndim = low.canonical(x), x.ndim
        vector = _per_channel(low, given, low.shapes[name][-1], low.plain(name, ndim).shape)
        dims = None
    else:  # one number: the order of elements does not matter
        name, ndim, dims = x.name, x.ndim, x.dims
        number = given.tensor.reshape(()) if isinstance(given, Const) else torch.tensor(float(given))
        origin = given.origin if isinstance(given, Const) else _MADE_UP
        vector = Const(number.expand(low.shapes[name][-1]), origin=origin, entries=1)
    ones, zeros = (Const(made(vector.tensor), origin=_MADE_UP) for made in (torch.ones_like, torch.zeros_like))
    weights = {"scale": vector if scale is not None else ones, "shift": zeros if scale is not None else vector}
    out = low.emit("scale_shift", [name], weights=weights)
    return low.plain(out, ndim) if dims is None else Value(out, dims)


def _per_channel(low: Lowering, const: Const, channels: int, shape: tuple[int, ...]) -> Const:
    """The constant as one number per channel of a tensor of this torch shape."""
    try:
        full = const.tensor.expand(shape)
    except RuntimeError:
        raise low.refusal("constant does not fit", found=tuple(const.tensor.shape), expected=shape) from None
    corner: tuple[slice, ...] = (slice(0, 1), slice(None), *[slice(0, 1)] * (len(shape) - 2))
    column = full[corner]
    own = (1,) * (len(shape) - const.tensor.ndim) + tuple(const.tensor.shape)
    only_channels = prod(own) == own[1]
    if not only_channels and not torch.equal(full, column.expand(shape)):
        raise low.refusal(
            "constant differs within a channel", found=tuple(const.tensor.shape), expected=f"({channels}, 1, 1)"
        )
    return Const(column.reshape(channels), const.name, origin=const.origin)


def _both(low: Lowering, op: str, x: Value, y: Value) -> Value:
    if x.dims == y.dims and low.shapes[x.name] == low.shapes[y.name]:
        return Value(low.emit(op, [x.name, y.name]), x.dims)
    if x.ndim != y.ndim:
        raise low.refusal("operands differ in their number of axes", found=f"{low.described(x)} {low.described(y)}")
    names = [low.canonical(x), low.canonical(y)]
    if prod(low.shapes[names[0]]) < prod(low.shapes[names[1]]):
        names.reverse()
    return low.plain(low.emit(op, names), x.ndim)


@rule("add")
def add(low: Lowering, x: Any, y: Any, *, alpha: float = 1) -> Value:
    """``x + alpha * y``."""
    if alpha != 1:
        y = (
            Const(y.tensor * alpha)
            if isinstance(y, Const)
            else multiply(low, y, alpha)
            if isinstance(y, Value)
            else y * alpha
        )
    if isinstance(x, Value) and isinstance(y, Value):
        return _both(low, "add", x, y)
    value, other = (x, y) if isinstance(x, Value) else (y, x)
    if not isinstance(other, Const) and other == 0:
        return value.seen(value.dims)
    return affine(low, value, shift=other)


@rule("sub", "subtract")
def sub(low: Lowering, x: Any, y: Any, *, alpha: float = 1) -> Value:
    """``x - alpha * y``."""
    return add(low, x, y, alpha=-alpha)


@rule("rsub")
def rsub(low: Lowering, x: Any, y: Any, alpha: float = 1) -> Value:
    """``y - alpha * x``."""
    return add(low, y, x, alpha=-alpha)


@rule("neg")
def neg(low: Lowering, x: Value) -> Value:
    """``-x``."""
    return affine(low, x, scale=-1)


@rule("mul", "multiply")
def multiply(low: Lowering, x: Any, y: Any) -> Value:
    """``x * y``."""
    if isinstance(x, Value) and isinstance(y, Value):
        return _both(low, "mul", x, y)
    value, other = (x, y) if isinstance(x, Value) else (y, x)
    if not isinstance(other, Const) and other == 1:
        return value.seen(value.dims)
    return affine(low, value, scale=other)


@rule("div", "divide", "true_divide")
def div(low: Lowering, x: Any, y: Any, *, rounding_mode: str | None = None) -> Value:
    """``x / y`` with a constant ``y``."""
    if rounding_mode or isinstance(y, Value):
        raise low.refusal("division by an activation", fix="Divide by constants only")
    return multiply(low, x, Const(1 / y.tensor.double()) if isinstance(y, Const) else 1 / y)


@rule("pow", "square")
def power(low: Lowering, x: Any, exponent: Any = 2) -> Value:
    """``x`` squared."""
    if isinstance(exponent, Value | Const) or exponent not in (1, 2):
        raise low.refusal("power of an activation", found=exponent, expected="1 or 2")
    low.expect_value(x)
    return x.seen(x.dims) if exponent == 1 else _both(low, "mul", x, x)


# --- constants made to measure ------------------------------------------------------------------------------------


@rule("zeros_like", "new_zeros")
def zeros(low: Lowering, x: Value, size: Any = None, **kwargs: Any) -> Const:
    """Zeros of the same or a given shape."""
    return Const(torch.zeros(x.shape if size is None else tuple(size)), origin=_MADE_UP)


@rule("ones_like", "new_ones")
def ones(low: Lowering, x: Value, size: Any = None, **kwargs: Any) -> Const:
    """Ones of the same or a given shape."""
    return Const(torch.ones(x.shape if size is None else tuple(size)), origin=_MADE_UP)


@rule("full_like", "new_full")
def full(low: Lowering, x: Value, *args: Any, **kwargs: Any) -> Const:
    """One number, of the same or a given shape."""
    size, number = (x.shape, args[0]) if len(args) == 1 else (tuple(args[0]), args[1])
    return Const(torch.full(size, float(number)), origin=_MADE_UP)


# --- reductions ---------------------------------------------------------------------------------------------------


def _reduced(low: Lowering, x: Value, dim: Any, keepdim: bool) -> tuple[tuple[bool, bool], tuple[Dim, ...]]:
    """((rows gone, columns gone), the dims left)."""
    if dim is None or dim == []:
        raise low.refusal("reduces over the batch")
    axes = sorted(d % x.ndim for d in ([dim] if isinstance(dim, int) else dim))
    atoms = [atom for d in axes for atom in x.dims[d]]
    inner = low.shapes[x.name]
    h, w = (whole("h", inner[0]), whole("w", inner[1])) if len(inner) == 3 else ((), ())
    rows, columns = all(a in atoms for a in h), all(a in atoms for a in w)
    if any(atom not in h + w for atom in atoms):
        raise low.refusal("reduces over an axis that is not rows or columns", found=f"{dim} of {low.described(x)}")
    left = [() if i in axes else axis for i, axis in enumerate(x.dims) if keepdim or i not in axes]
    return (rows, columns), tuple(left)


def _over_channels(low: Lowering, x: Value, dim: Any, keepdim: bool) -> tuple[Dim, ...] | None:
    """The dims left, if it is all channels and nothing else that is reduced over."""
    if not isinstance(x, Value) or dim is None:
        return None
    axes = [d % x.ndim for d in ([dim] if isinstance(dim, int) else dim)]
    atoms = sorted((atom for d in axes for atom in x.dims[d]), key=lambda atom: -atom.stride)
    if not atoms or merged(atoms) != whole("c", low.shapes[x.name][-1]):
        return None
    return tuple(() if i in axes else axis for i, axis in enumerate(x.dims) if keepdim or i not in axes)


@rule("mean")
def mean(low: Lowering, x: Value, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Value:
    """Over rows, columns or both, or over the channels."""
    if (over := _over_channels(low, x, dim, keepdim)) is not None:
        return Value(low.emit("channel_mean", [x.name]), over)
    (rows, columns), dims = _reduced(low, x, dim, keepdim)
    inner = low.shapes[x.name]
    if len(inner) == 1:
        return x.seen(dims)
    if rows and columns:
        name = low.emit("adaptive_avg_pool", [x.name], {"size": (1, 1)})
    else:
        kernel = (inner[0] if rows else 1, inner[1] if columns else 1)
        name = low.emit("avg_pool", [x.name], {"kernel": kernel, "stride": kernel})
    return Value(name, dims)


@rule("sum")
def total(low: Lowering, x: Value, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Value:
    """Mean times the number of elements."""
    before = prod(x.shape)
    out = mean(low, x, dim, keepdim)
    return affine(low, out, scale=float(before // prod(out.shape)))


@rule("amax")
def amax(low: Lowering, x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    """Largest over rows, columns or both."""
    (rows, columns), dims = _reduced(low, x, dim, keepdim)
    inner = low.shapes[x.name]
    if len(inner) == 1:
        return x.seen(dims)
    kernel = (inner[0] if rows else 1, inner[1] if columns else 1)
    name = low.emit("max_pool", [x.name], {"kernel": kernel, "stride": kernel})
    return Value(name, dims)


@rule("max")
def max_(low: Lowering, x: Value, dim: Any = None, keepdim: bool = False) -> tuple[Value]:
    """The same, with the place of the maximum, which nothing here reads."""
    if isinstance(dim, Value | Const):
        raise low.refusal("largest of two tensors has no counterpart in a graph")
    return (amax(low, x, dim, keepdim),)
