"""Lowering rules of views and parts: mostly bookkeeping."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from paring.capture._lower import Const, Lowering, Value, rule
from paring.capture._view import Atom, Dim, merged, reshaped, resolved, size_of, whole

# --- nothing happens ----------------------------------------------------------------------------------------------


@rule("contiguous", "clone", "detach", "alias", "dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
@rule("native_dropout", "lift_fresh", "lift_fresh_copy", "positive", "resolve_conj", "resolve_neg")
def unchanged(low: Lowering, x: Any, *args: Any, **kwargs: Any) -> Any:
    """The same numbers; dropout is captured in eval mode."""
    same = x.seen(x.dims)
    return (same,) if low.call.op == "native_dropout" else same


@rule("to", "_to_copy", "type_as")
def to(low: Lowering, x: Any, *args: Any, **kwargs: Any) -> Value:
    """A change of precision among floating-point types is not kept."""
    for argument in (*args, *kwargs.values()):
        if isinstance(argument, torch.dtype) and not argument.is_floating_point:
            raise low.refusal("conversion to a type that is no floating-point number", found=argument)
    return x.seen(x.dims)


@rule("getitem")
def getitem(low: Lowering, values: Sequence[Any], index: int) -> Any:
    """One of several results."""
    return values[index]


@rule("results")
def results(low: Lowering, *values: Any) -> list[Any]:
    """What a block of calls answers with."""
    return list(values)


# --- views --------------------------------------------------------------------------------------------------------


@rule("view", "reshape", "_unsafe_view", "_reshape_alias", "view_copy")
def view(low: Lowering, x: Value, shape: Any, *strides: Any) -> Value:
    """Other axes over the same elements."""
    if isinstance(shape, torch.dtype):
        raise low.refusal("view as another type", found=shape)
    dims = reshaped(x.dims, resolved(shape, prod(x.shape)))
    if dims is None:
        raise low.refusal("view cuts an axis unevenly", found=f"{low.described(x)} to {list(shape)}")
    return x.seen(dims)


@rule("view_as", "reshape_as")
def view_as(low: Lowering, x: Value, other: Any) -> Value:
    """The other tensor's axes over the same elements."""
    return view(low, x, _shape_of(other))


@rule("flatten")
def flatten(low: Lowering, x: Value, start: int = 0, end: int = -1) -> Value:
    """Axes ``start`` to ``end`` as one."""
    start, end = start % x.ndim, end % x.ndim
    joined = merged(atom for dim in x.dims[start : end + 1] for atom in dim)
    return x.seen((*x.dims[:start], joined, *x.dims[end + 1 :]))


@rule("unflatten")
def unflatten(low: Lowering, x: Value, dim: int, sizes: Sequence[int]) -> Value:
    """One axis as several."""
    dim %= x.ndim
    sizes = resolved(sizes, x.shape[dim])
    return view(low, x, [*x.shape[:dim], *sizes, *x.shape[dim + 1 :]])


@rule("squeeze")
def squeeze(low: Lowering, x: Value, dim: Any = None) -> Value:
    """Without axes of one element, all or some."""
    chosen = range(x.ndim) if dim is None else [d % x.ndim for d in ([dim] if isinstance(dim, int) else dim)]
    return x.seen([d for i, d in enumerate(x.dims) if i not in chosen or size_of(d) > 1])


@rule("unsqueeze")
def unsqueeze(low: Lowering, x: Value, dim: int) -> Value:
    """With one more axis of one element."""
    dim %= x.ndim + 1
    return x.seen((*x.dims[:dim], (), *x.dims[dim:]))


@rule("permute")
def permute(low: Lowering, x: Value, order: Sequence[int]) -> Value:
    """Axes in another order."""
    return x.seen([x.dims[d] for d in order])


@rule("transpose", "swapaxes", "swapdims")
def transpose(low: Lowering, x: Value, first: int, second: int) -> Value:
    """Two axes exchanged."""
    order = list(range(x.ndim))
    order[first], order[second] = order[second], order[first]
    return permute(low, x, order)


@rule("t", "numpy_T")
def turn(low: Lowering, x: Value) -> Value:
    """Axes of a matrix exchanged."""
    return permute(low, x, range(x.ndim)[::-1])


@rule("expand")
def expand(low: Lowering, x: Value, sizes: Sequence[int], *, implicit: bool = False) -> Value:
    """Left to the arithmetic that follows, which broadcasts by itself."""
    if len(sizes) != x.ndim:
        raise low.refusal("expands to more axes", found=list(sizes), expected=f"{x.ndim} axes")
    return x.seen(x.dims)


@rule("expand_as")
def expand_as(low: Lowering, x: Any, other: Any) -> Any:
    """The same, up to another tensor's shape."""
    if isinstance(x, Const):
        return Const(x.tensor.expand(_shape_of(other)))
    return expand(low, x, _shape_of(other))


def _shape_of(x: Any) -> tuple[int, ...]:
    return tuple(x.tensor.shape) if isinstance(x, Const) else x.shape


# --- parts --------------------------------------------------------------------------------------------------------


def part(low: Lowering, x: Value, dim: int, start: int, stop: int) -> Value:
    """Elements ``start`` to ``stop - 1`` of an axis made of channels."""
    chosen, rest = x.dims[dim], [atom for i, d in enumerate(x.dims) if i != dim for atom in d if atom.axis == "c"]
    if any(atom.axis != "c" for atom in chosen):
        raise low.refusal(
            "takes a part of an axis that is not the channels",
            found=f"{start}:{stop} of {size_of(chosen)} in {low.described(x)}",
            expected="all of it, or every n-th row and column",
        )
    name = low.ordered(x, merged((*chosen, *rest)))
    block = prod(atom.size for atom in rest)
    name = low.emit("slice_channels", [name], {"start": start * block, "stop": stop * block})
    dims: list[Dim] = []
    stride = block
    for position, axis in enumerate(x.dims):
        if position == dim:
            dims.append((Atom("c", block, stop - start),) if stop - start > 1 else ())
            continue
        moved = []
        for atom in axis:
            if atom.axis == "c":
                stride //= atom.size
                atom = Atom("c", stride, atom.size)
            moved.append(atom)
        dims.append(tuple(moved))
    return Value(name, tuple(dims), x.storage)


@rule("slice")
def slice_(low: Lowering, x: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Value:
    """Python's ``start:end:step`` along one axis."""
    dim %= x.ndim
    size = x.shape[dim]
    start, stop, step = slice(start, end, step).indices(size)
    if (start, stop, step) == (0, size, 1):
        return x.seen(x.dims)
    inner = low.shapes[x.name]
    if start == 0 and stop == size and len(inner) == 3 and x.dims[dim] in (whole("h", inner[0]), whole("w", inner[1])):
        axis = x.dims[dim][0].axis
        name = low.emit("subsample", [x.name], {"stride": (step, 1) if axis == "h" else (1, step)})
        dims = list(x.dims)
        dims[dim] = whole(axis, -(-size // step))
        return Value(name, tuple(dims), x.storage)
    if step == 1:
        return part(low, x, dim, start, stop)
    if start == 0 and size % step == 0 and stop == size:  # every step-th channel
        columns = view(low, x, [*x.shape[:dim], size // step, step, *x.shape[dim + 1 :]])
        return squeeze(low, part(low, columns, dim + 1, 0, 1), dim + 1)
    raise low.refusal("slice with a step", found=f"{start}:{stop}:{step} of {low.described(x)}")


@rule("narrow")
def narrow(low: Lowering, x: Value, dim: int, start: int, length: int) -> Value:
    """``length`` elements from ``start``."""
    return slice_(low, x, dim, start, start + length)


@rule("select")
def select(low: Lowering, x: Value, dim: int, index: int) -> Value:
    """One element of an axis, and the axis gone."""
    dim, index = dim % x.ndim, index % x.shape[dim]
    one = slice_(low, x, dim, index, index + 1)
    return one.seen((*one.dims[:dim], *one.dims[dim + 1 :]))


@rule("index_select")
def index_select(low: Lowering, x: Value, dim: int, index: Any) -> Value:
    """Channels in any order and number, on their way into a convolution."""
    picked = low.expect_const(index, "index").tensor.flatten().long()
    dim %= x.ndim
    if x.dims[dim] != whole("c", low.shapes[x.name][-1]) or dim != 1 or x.ndim == 2:
        raise low.refusal("picks along an axis that is not the channels of a map", found=low.described(x))
    dims = (*x.dims[:dim], whole("c", picked.numel()), *x.dims[dim + 1 :])
    return Value(x.name, dims, x.storage, picked)


@rule("index")
def index(low: Lowering, x: Value, indices: Sequence[Any]) -> Value:
    """``x[:, order]``."""
    given = [dim for dim, one in enumerate(indices) if one is not None]
    if len(given) != 1:
        raise low.refusal("index along several axes", found=given)
    return index_select(low, x, given[0], indices[given[0]])


@rule("unbind")
def unbind(low: Lowering, x: Value, dim: int = 0) -> list[Value]:
    """Every element of an axis."""
    return [select(low, x, dim, index) for index in range(x.shape[dim])]


@rule("split_with_sizes")
def split_with_sizes(low: Lowering, x: Value, sizes: Sequence[int], dim: int = 0) -> list[Value]:
    """Parts of these sizes."""
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [slice_(low, x, dim, end - size, end) for size, end in zip(sizes, ends, strict=True)]


@rule("split", "unsafe_split")
def split(low: Lowering, x: Value, size: Any, dim: int = 0) -> list[Value]:
    """Parts of one size, the last perhaps smaller, or of given sizes."""
    if not isinstance(size, int):
        return split_with_sizes(low, x, size, dim)
    total = x.shape[dim]
    return [slice_(low, x, dim, at, min(at + size, total)) for at in range(0, total, size)]


@rule("chunk", "unsafe_chunk")
def chunk(low: Lowering, x: Value, chunks: int, dim: int = 0) -> list[Value]:
    """About equal parts."""
    return split(low, x, -(-x.shape[dim] // chunks), dim)


@rule("tensor_split")
def tensor_split(low: Lowering, x: Value, sections: Any, dim: int = 0) -> list[Value]:
    """About equal parts, the larger first, or parts that end at given places."""
    total = x.shape[dim]
    if isinstance(sections, int):
        size, larger = divmod(total, sections)
        return split_with_sizes(low, x, [size + (i < larger) for i in range(sections)], dim)
    ends = [*sections, total]
    return split_with_sizes(low, x, [end - start for start, end in zip([0, *sections], ends, strict=True)], dim)


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(low: Lowering, x: Value, groups: int) -> Value:
    """Viewed as groups x C / groups, transposed."""
    return low.plain(low.emit("channel_shuffle", [low.map(x)], {"groups": int(groups)}), x.ndim)
