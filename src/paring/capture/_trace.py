"""Tracing without computing: shapes only, in milliseconds.

``torch.export`` takes seconds on a deep network and loads a compiler first. For a cost table neither numbers nor
guards matter, so this tracer lets the module run under a dispatch mode that records every aten call and answers the
expensive ones with uninitialized memory of the right shape.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from paring.capture._capture import as_plain, examples_for
from paring.capture._export import explained, place_of
from paring.capture._lower import RULES, SAME_SHAPE, Lowering
from paring.capture._patterns import recognized
from paring.capture._program import Call, Place, Program, Ref, base_name, replaced
from paring.errors import GraphError, ParingError
from paring.forms import Dense, Form, Stream, StreamSpec
from paring.graph import Graph, simplify
from paring.layers import bare, check_layers

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)


def outline(module: nn.Module, example: Any) -> Graph:
    """The graph of a network without its numbers: every weight has a shape and reads as zeros.

    Batch norms stay ``scale_shift`` nodes, so that :attr:`paring.graph.Graph.parameters` is the published count.
    Arguments and errors as in :func:`paring.capture.capture`.
    """
    return simplify(Lowering(quick_trace(module, example), Unfilled).run())


def quick_trace(module: nn.Module, example: Any) -> Program:
    """The module's calls in eval mode, nothing computed but what does not depend on the input."""
    return record(module, example)[0]


def record(module: nn.Module, example: Any) -> tuple[Program, Recorder]:
    """The same, with the recorder, which knows the shapes."""
    module = bare(module)
    check_layers(module)
    with as_plain(module), torch.no_grad():
        examples = examples_for(module, example)
        recorder = Recorder(module)
        inputs = [recorder.enter(tensor) for tensor in examples]
        try:
            with recorder.following(), recorder:
                answer = module(*examples)
        except ParingError:
            raise
        except Exception as error:
            raise explained(error) from error
    outputs = [recorder.refs[id(t)] for t in tree_leaves(answer) if isinstance(t, Tensor)]
    names = ["x"] if len(inputs) == 1 else [f"x{i + 1}" for i in range(len(inputs))]
    entries = [(name, ref, tuple(t.shape)) for name, ref, t in zip(names, inputs, examples, strict=True)]
    return recognized(
        Program(entries, recorder.constants, recorder.names, recorder.calls, outputs, recorder.known)
    ), recorder


@contextmanager
def without_initialization() -> Iterator[None]:
    """Networks built in here keep uninitialized weights; building them takes no time."""

    class Skip(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(func, "__name__", "") in _FILLS:
                return args[0] if args else (kwargs or {}).get("tensor")
            return func(*args, **(kwargs or {}))

    with Skip():
        yield


_FILLS = {"uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_"}
_FILLS |= {"xavier_normal_", "orthogonal_", "zeros_", "ones_", "constant_", "fill_", "zero_", "bernoulli_"}


class Unfilled(Form):
    """A 32-bit dense weight of which only the shape is known, and how many of its numbers are parameters.

    Zeros for connections a layer does not have, made-up ones and what follows from a parameter that is counted
    elsewhere are left out of ``size``, which costs are counted from.
    """

    kind = "dense"

    def __init__(self, shape: tuple[int, ...], entries: int) -> None:
        self.shape = shape
        self.entries = entries

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.entries

    def dense(self) -> np.ndarray:
        return np.zeros(self.shape, np.float32)

    @property
    def nonzeros(self) -> int:
        """All, for want of knowing better."""
        return self.size

    def params(self) -> dict[str, int]:
        return {"bits": 32}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"values": np.broadcast_to(np.float32(0), self.shape)}

    def streams(self) -> tuple[Stream, ...]:
        """As many numbers as there are parameters."""
        spec = StreamSpec("values", (self.entries,), 0, np.dtype(np.float32))
        return (Stream(spec, np.broadcast_to(np.float32(0), (self.entries,))),)

    specs = Dense.specs
    from_arrays = Dense.from_arrays


class Recorder(TorchDispatchMode):
    """Records aten calls. ``live`` holds the references of tensors that depend on the input."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.refs: dict[int, Ref] = {}
        self.kept: list[Tensor] = []  # an id may be reused once its tensor is gone
        self.constants: dict[Ref, Tensor] = {}
        self.names: dict[Ref, str] = {}
        self.live: set[Ref] = set()
        self.known: dict[Ref, Tensor] = {}
        self.modules = dict(module.named_modules())
        self.paths = {id(m): path for path, m in self.modules.items()}
        self.stack = [""]
        self.places: dict[str, Place] = {}
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            ref = self._ref(tensor)
            self.constants[ref] = tensor
            self.names[ref] = name

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True, torch's default, would import its whole compiler on the first call: more than a second.
        return False

    def enter(self, tensor: Tensor) -> Ref:
        """Take a tensor as an input."""
        ref = self._ref(tensor)
        self.live.add(ref)
        return ref

    @contextmanager
    def following(self) -> Iterator[None]:
        """Know which module is running."""

        def enter(module: nn.Module, inputs: Any) -> None:
            self.stack.append(self.paths.get(id(module), ""))

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            self.stack.pop()

        before = hooks.register_module_forward_pre_hook(enter)
        after = hooks.register_module_forward_hook(leave)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def shape(self, ref: Ref) -> tuple[int, ...]:
        """Of a tensor that was seen, batch included."""
        return tuple(self.kept[ref.number].shape)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        op, inplace = base_name(func)
        known_args, known_kwargs = replaced((tuple(args), dict(kwargs)), self._seen, Tensor)
        read = [r for r in _refs((known_args, known_kwargs)) if r in self.live]
        if op == "_local_scalar_dense" and read:
            raise GraphError("the network decides something by the numbers inside a tensor", where=self._where())
        if read and inplace:
            result = args[0]
        elif (op in _SHAPES or op in SAME_SHAPE) and (read or _large(args)):
            result = _SHAPES.get(op, _same)(*args, **kwargs)
        else:
            result = func(*args, **kwargs)
        made = [self._ref(t, new=True) for t in _tensors(result)]
        if read:
            self.live.update(made)
        elif isinstance(result, Tensor):
            self.known[made[0]] = result
        out: Any = made[0] if isinstance(result, Tensor) else made
        place = self._place(op)
        self.calls.append(Call(op, func, known_args, known_kwargs, out, inplace, place))
        return result

    def _ref(self, tensor: Tensor, new: bool = False) -> Ref:
        if new or id(tensor) not in self.refs:
            self.refs[id(tensor)] = Ref(len(self.kept))
            self.kept.append(tensor)
        return self.refs[id(tensor)]

    def _seen(self, tensor: Tensor) -> Ref:
        if id(tensor) not in self.refs:  # an attribute that is neither parameter nor buffer
            self.constants[self._ref(tensor)] = tensor
        return self.refs[id(tensor)]

    def _place(self, op: str) -> Place:
        path = self.stack[-1]
        if op not in RULES:  # the line is for the error that will come
            return place_of(self.modules, path, self._where())
        if path not in self.places:
            self.places[path] = place_of(self.modules, path, "")
        return self.places[path]

    def _where(self) -> str:
        """The line of the network's own code that runs; empty if torch's modules call each other."""
        frame = sys._getframe(1)
        while frame is not None and frame.f_code is not record.__code__:  # beyond are those who asked for the trace
            file = frame.f_code.co_filename
            if not file.startswith((_TORCH, _HERE)):
                return f"{Path(file).name}:{frame.f_lineno}"
            frame = frame.f_back  # type: ignore[assignment]
        return ""


def _refs(value: Any) -> list[Ref]:
    found: list[Ref] = []
    replaced(value, found.append, Ref)
    return found


def _tensors(value: Any) -> list[Tensor]:
    found: list[Tensor] = []
    replaced(value, found.append, Tensor)
    return found


# --- shapes of what is not computed -------------------------------------------------------------------------------


def _steps(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool = False) -> int:
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    steps = -(-room // stride) if ceil else room // stride
    if ceil and steps * stride >= size + padding:
        steps -= 1
    return steps + 1


def _wide(value: int | Sequence[int], axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


def _convolution(
    x: Tensor,
    w: Tensor,
    b: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    g: int,
) -> Tensor:
    axes = x.ndim - 2
    s, p, d, o = (_wide(v, axes) for v in (stride, padding, dilation, output_padding))
    if transposed:
        sides = [(x.shape[i + 2] - 1) * s[i] - 2 * p[i] + d[i] * (w.shape[i + 2] - 1) + o[i] + 1 for i in range(axes)]
        return x.new_empty(x.shape[0], w.shape[1] * g, *sides)
    sides = [_steps(x.shape[i + 2], w.shape[i + 2], s[i], p[i], d[i]) for i in range(axes)]
    return x.new_empty(x.shape[0], w.shape[0], *sides)


def _pool(x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> Tensor:
    axes = len(_wide(kernel, 2))
    k, s, p, d = (_wide(v, axes) for v in (kernel, stride or kernel, padding, dilation))
    lead = x.ndim - axes
    return x.new_empty(*x.shape[:lead], *(_steps(x.shape[lead + i], k[i], s[i], p[i], d[i], ceil) for i in range(axes)))


def _same(x: Any, *args: Any, **kwargs: Any) -> Tensor:
    return torch.empty_like(x)


def _binary(x: Any, y: Any = 0, *args: Any, **kwargs: Any) -> Tensor:
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        return torch.empty_like(x if isinstance(x, Tensor) else y)
    # torch.broadcast_shapes would do, but imports a computer algebra system
    sides = zip_longest(reversed(x.shape), reversed(y.shape), fillvalue=1)
    return x.new_empty([b if a == 1 else a for a, b in sides][::-1])


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    shape = list(tensors[0].shape)
    shape[dim] = sum(t.shape[dim] for t in tensors)
    return tensors[0].new_empty(shape)


def _mean(x: Tensor, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Tensor:
    axes = range(x.ndim) if dim is None else [d % x.ndim for d in _wide(dim, 1)]
    return x.new_empty([1 if i in axes else s for i, s in enumerate(x.shape) if keepdim or i not in axes])


def _large(args: Sequence[Any]) -> bool:
    """Whether a constant is computed from weights, whose numbers mean nothing here; small ones may be indices."""
    return any(isinstance(a, Tensor) and a.is_floating_point() and a.numel() > 1 << 16 for a in args)


#: How the dear calls are answered.
_SHAPES: dict[str, Callable[..., Any]] = {
    "convolution": _convolution,
    "addmm": lambda b, x, w, **_: x.new_empty(x.shape[0], w.shape[1]),
    "mm": lambda x, w: x.new_empty(x.shape[0], w.shape[1]),
    "native_batch_norm": lambda x, *_: (torch.empty_like(x), x.new_empty(0), x.new_empty(0)),
    "max_pool2d_with_indices": lambda x, k, s=(), p=0, d=1, c=False: (_pool(x, k, s, p, d, c), x.new_empty(0)),
    "avg_pool2d": lambda x, k, s=(), p=0, c=False, *_: _pool(x, k, s, p, 1, c),
    "avg_pool3d": lambda x, k, s=(), p=0, c=False, *_: _pool(x, k, s, p, 1, c),
    "_adaptive_avg_pool2d": lambda x, size: x.new_empty(*x.shape[:-2], *size),
    "max_unpool2d": lambda x, i, size: x.new_empty(*x.shape[:-2], *size),
    "mean": _mean,
    "clone": lambda x, **_: x.new_empty(x.shape),  # contiguous, as the view that follows needs it
    "cat": _cat,
    "constant_pad_nd": lambda x, pad, value=0: x.new_empty(
        [s + sum(pad[2 * (x.ndim - 1 - i) :][:2]) for i, s in enumerate(x.shape)]
    ),
    **dict.fromkeys(("add", "sub", "mul", "div", "rsub"), _binary),
    "where": lambda condition, *_: torch.empty(condition.shape),
    **dict.fromkeys(("ge", "gt", "le", "lt"), lambda x, *_: x.new_empty(x.shape, dtype=torch.bool)),
    **dict.fromkeys(("pow", "_softmax", "_prelu_kernel", "neg", "abs", "round", "hardtanh", "clamp", "gelu"), _same),
}
