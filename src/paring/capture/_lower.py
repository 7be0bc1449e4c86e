"""From a traced network to a graph: the walk over the calls and what all lowering rules share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from paring.capture._program import BATCH, Call, Place, Program, Ref, references, replaced
from paring.capture._values import Const as Const
from paring.capture._values import Value as Value
from paring.capture._values import advice, plain_dims, to_array, unique
from paring.capture._view import Dim, whole
from paring.errors import GraphError
from paring.forms import Dense, Form
from paring.graph import OPS, Graph, Node

#: aten name to the rule that lowers it; arguments are the aten schema's own, in its order.
RULES: dict[str, Callable[..., Any]] = {}
#: aten names of what answers in the shape of its first argument, whatever else it does.
SAME_SHAPE: set[str] = set()


def rule(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: this function lowers these aten calls."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            RULES[name] = function
        return function

    return enter


#: Calls that leave the numbers as they are, whatever else they do.
_UNCHANGED = (
    "detach",
    "alias",
    "contiguous",
    "clone",
    "to",
    "_to_copy",
    "lift_fresh",
    "lift_fresh_copy",
    "detach_copy",
)


#: Calls that can read channels picked by an index.
_TAKE_PICKED = ("conv2d", "convolution")
#: Calls that can read the answer to a comparison.
_TAKE_COMPARED = ("where",)


class _Stale:
    """Stands for a tensor that an in-place call changed behind its back, or that a rule does not make."""

    def __init__(self, why: str, fix: str) -> None:
        self.why, self.fix = why, fix


_CHANGED = ("reads memory that an in-place call changed through another view", "Write that call out of place")
_FURTHER = ("reads a result that has no counterpart in a graph (a max pool's indices)", advice(""))


class Lowering:
    """One walk. Rules receive it as their first argument.

    Args:
        program: the traced network.
        blank: for the quick tracer, whose numbers mean nothing: makes a form of a shape and a number of entries.
    """

    def __init__(self, program: Program, blank: Callable[[tuple[int, ...], int], Form] | None = None) -> None:
        self.program = program
        self.blank = blank
        self.nodes: list[Node] = []
        self.weights: dict[str, Form] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.env: dict[Ref, Any] = {}
        self.call = Call("", print, (), {}, Ref(-1))
        self.used: set[str] = set()
        self._arrays: dict[str, np.ndarray] = {}
        self._counts: dict[str, int] = {}
        self._counted: set[str] = set()

    # --- the walk -------------------------------------------------------------------------------------------------

    def run(self) -> Graph:
        """The graph; :func:`paring.graph.simplify` validates it.

        Raises:
            GraphError: naming module, source line and operator, on anything a graph cannot hold.
        """
        calls, wanted = self.program.needed()
        for ref, tensor in self.program.constants.items():
            if ref in wanted:
                name = self.program.names.get(ref)
                own = name is not None and isinstance(tensor, torch.nn.Parameter)
                self.env[ref] = Const(tensor, name, origin=frozenset([str(name)]) if own else None)
                self.used.update(filter(None, [name]))
        inputs = {}
        for name, ref, shape in self.program.inputs:
            inputs[name] = self._add_input(name, ref, shape)
        for call in calls:
            self.call = call
            self._step(call)
        self.call = Call("output", print, (), {}, Ref(-1))
        outputs = tuple(self._answer(ref) for ref in self.program.outputs)
        return Graph(inputs, self.nodes, outputs, self.weights, tuple(self.program.output_names))

    def _add_input(self, name: str, ref: Ref, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) not in (2, 3, 4):
            raise GraphError("input is no batch of maps or vectors", where=name, found=shape, expected="2 to 4 axes")
        if len(shape) == 2:
            inner: tuple[int, ...] = (shape[1],)
        else:
            inner = (shape[2] if len(shape) == 4 else 1, shape[-1], shape[1])
        self.shapes[name] = inner
        self.env[ref] = Value(name, plain_dims(inner, len(shape)))
        return inner

    def _step(self, call: Call) -> None:
        args, kwargs = replaced((call.args, call.kwargs), self._lookup, Ref)
        flat = [self.env[ref] for ref in references((call.args, call.kwargs))]
        if not any(isinstance(value, Value | list) for value in flat):
            result = self._evaluate(call, args, kwargs)
        else:
            function = RULES.get(call.op)
            if any(isinstance(v, Value) and v.picked is not None for v in flat) and call.op not in _TAKE_PICKED:
                raise self.refusal("picks channels by index and does not go straight into a convolution")
            if any(isinstance(v, Value) and v.compared is not None for v in flat) and call.op not in _TAKE_COMPARED:
                raise self.refusal("compares an activation and does not go straight into torch.where")
            if function is None:
                raise self.refusal(f"operator {call.op!r} has no counterpart in a graph", fix=advice(call.op))
            try:
                result = function(self, *args, **kwargs)
            except TypeError as error:
                if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                    raise  # from inside the rule: a fault of ours, not of the arguments
                raise self.refusal(f"operator {call.op!r} is used in an unknown way", found=str(error)) from error
        if call.inplace:
            self._overwrite(call.args[0], result)
        if isinstance(call.out, Ref):
            self.env[call.out] = result
        else:
            results = result if isinstance(result, list | tuple) else [result]
            self.env |= {ref: _Stale(*_FURTHER) for ref in call.out} | dict(zip(call.out, results, strict=False))

    def _lookup(self, ref: Ref) -> Any:
        value = self.env[ref]
        if isinstance(value, _Stale):
            raise self.refusal(value.why, fix=value.fix)
        return value

    def _evaluate(self, call: Call, args: Any, kwargs: Any) -> Any:
        """Compute a call none of whose arguments depend on the input."""
        first = args[0] if args and isinstance(args[0], Const) else Const(torch.empty(0))
        consts = [self.env[ref] for ref in references((call.args, call.kwargs))]
        origins = [c.origin for c in consts if isinstance(c, Const) and c.origin is not None]
        origin = frozenset().union(*origins) if origins else None
        args, kwargs = replaced((args, kwargs), lambda const: const.tensor, Const)
        if call.inplace:
            args = (args[0].clone(), *args[1:])
        if isinstance(call.out, Ref) and call.out in self.program.known:
            result = self.program.known[call.out]
        else:
            try:
                with torch.no_grad():
                    result = call.target(*args, **kwargs)
            except IndexError:
                raise self.refusal(_FURTHER[0], fix=_FURTHER[1]) from None
        if call.op in ("t", "transpose") and result.ndim == 2 and result.shape == first.tensor.shape[::-1]:
            return Const(result, first.flipped, first.name, origin)
        if call.op in _UNCHANGED and result.shape == first.tensor.shape:
            return Const(result, first.name, first.flipped, origin)
        return replaced(result, lambda tensor: Const(tensor, origin=origin), torch.Tensor)

    def _overwrite(self, ref: Ref, result: Any) -> None:
        """Let every name of the overwritten tensor mean the result, and refuse its other views from here on."""
        before = self.env[ref]
        if isinstance(before, Const) or not isinstance(result, Value):
            self.env[ref] = result
            return
        for other, value in self.env.items():
            if isinstance(value, Value) and value.storage is before.storage:
                same = value.name == before.name and value.dims == before.dims
                self.env[other] = result if same else _Stale(*_CHANGED)

    def _answer(self, ref: Ref) -> str:
        value = self._lookup(ref)
        if not isinstance(value, Value):
            raise GraphError("an output does not depend on the input", fix="Return only what depends on it")
        if len(value.dims) == 2:
            return self.vector(value)
        return self.map(value)

    # --- what rules ask for ---------------------------------------------------------------------------------------

    def refusal(self, what: str, found: object = None, expected: object = None, fix: str | None = None) -> GraphError:
        """An error that says where in the user's network it is."""
        place = self.call.place
        where = ", ".join(filter(None, [place.path, place.source])) or f"call of {self.call.op!r}"
        return GraphError(what, where=where, found=found, expected=expected, fix=fix)

    def emit(
        self,
        op: str,
        inputs: Sequence[str],
        attrs: dict[str, Any] | None = None,
        weights: dict[str, Const] | None = None,
        implied: bool = False,
    ) -> str:
        """Add a node; its name, which is also its value's. An implied one leaves the module's name to the next."""
        attrs = attrs or {}
        name = self._node_name(self.call.place, op, bool(weights), implied)
        names = {role: self._weight(value, role, name) for role, value in (weights or {}).items()}
        spec = OPS[op]
        try:
            shapes = {role: self.weights[key].shape for role, key in names.items()}
            self.shapes[name] = spec.infer({**spec.attrs, **attrs}, [self.shapes[i] for i in inputs], shapes)
        except GraphError as error:
            raise self.refusal(f"{op}: {error.what}", error.found, error.expected) from None
        self.nodes.append(Node(name, op, tuple(inputs), attrs, names))
        return name

    def plain(self, name: str, ndim: int) -> Value:
        """A fresh tensor of ``ndim`` axes, batch first, over a graph value."""
        return Value(name, plain_dims(self.shapes[name], ndim))

    def map(self, value: Any) -> str:
        """The graph value that holds this (N, C, H, W) or (N, C, L) tensor as (H, W, C).

        Raises:
            GraphError: if its axes are in an order no graph value has.
        """
        self.expect_value(value)
        inner = self.shapes[value.name]
        height, width, _ = inner if len(inner) == 3 else (1, 1, 0)
        spatial = [whole("h", height), whole("w", width)][4 - len(value.dims) :]
        fits = len(value.dims) in (3, 4) and (len(value.dims) == 4 or height == 1)
        if not fits or value.dims[0] != whole("n", BATCH) or list(value.dims[2:]) != spatial:
            raise self.refusal(
                "axes are in an order a graph cannot follow",
                found=self.described(value),
                expected="(N, C, H, W)",
                fix="Permute back before this call",
            )
        return self.ordered(value, value.dims[1])

    def vector(self, value: Any) -> str:
        """The graph value that holds this (N, F) tensor as (F,), through a flatten where there is need."""
        self.expect_value(value)
        if len(value.dims) != 2 or value.dims[0] != whole("n", BATCH):
            raise self.refusal("expected a batch of vectors", found=self.described(value), expected="(N, F)")
        inner, atoms = self.shapes[value.name], value.dims[1]
        if len(inner) == 1:
            return self.ordered(value, atoms)
        height, width, channels = inner
        c, h, w = whole("c", channels), whole("h", height), whole("w", width)
        # Channels may have been shuffled on the way; everything else must be in one piece.
        c_first = atoms[: len(atoms) - len(h + w)]
        c_last = atoms[len(h + w) :]
        if atoms[len(c_first) :] == h + w and all(atom.axis == "c" for atom in c_first):
            order, part = "chw", c_first
        elif atoms[: len(h + w)] == h + w and all(atom.axis == "c" for atom in c_last):
            order, part = "hwc", c_last
        else:
            raise self.refusal(
                "flattens axes in an order a graph cannot follow",
                found=self.described(value),
                expected="(N, C * H * W) or (N, H * W * C)",
            )
        name = self.ordered(value, part) if part != c else value.name
        return self.emit("flatten", [name], {"order": order}, implied=True)

    def canonical(self, value: Any) -> str:
        """The graph value behind (N, F), (N, C, L) or (N, C, H, W)."""
        self.expect_value(value)
        return self.vector(value) if value.ndim == 2 else self.map(value)

    def ordered(self, value: Value, atoms: Dim) -> str:
        """The graph value whose channels are in the order of ``atoms``, through a channel shuffle if that is one."""
        channels = self.shapes[value.name][-1]
        if any(atom.axis != "c" for atom in atoms) or prod(atom.size for atom in atoms) != channels:
            raise self.refusal("splits channels in a way a graph cannot follow", found=self.described(value))
        if atoms == whole("c", channels):
            return value.name
        if len(atoms) == 2 and atoms[0].stride == 1 and atoms[1].stride == atoms[0].size:
            return self.emit("channel_shuffle", [value.name], {"groups": atoms[1].size}, implied=True)
        raise self.refusal("reorders channels in a way that is no channel shuffle", found=self.described(value))

    def expect_value(self, value: Any) -> None:
        """Refuse a constant where a tensor that depends on the input is needed."""
        if not isinstance(value, Value):
            raise self.refusal(f"{self.call.op!r} takes a constant where an activation is expected")

    def expect_const(self, value: Any, what: str) -> Const:
        """Refuse a weight that is computed from the input."""
        if not isinstance(value, Const):
            raise self.refusal(f"{what} depends on the input", fix="Use a parameter or buffer")
        return value

    def described(self, value: Value) -> str:
        """The tensor's axes for people: ``(n2, c64, h7 w7)``."""
        return "(" + ", ".join(" ".join(f"{a.axis}{a.size}" for a in dim) or "1" for dim in value.dims) + ")"

    # --- names ----------------------------------------------------------------------------------------------------

    def _node_name(self, place: Place, op: str, weighted: bool, implied: bool) -> str:
        if implied:
            parent = place.path.rpartition(".")[0] if place.own else place.path
            return self._numbered(".".join(filter(None, [parent, op])))
        if place.path and place.own and (weighted or place.builtin) and place.path not in self.shapes:
            return place.path
        return self._numbered(".".join(filter(None, [place.path, op])))

    def _numbered(self, name: str) -> str:
        """``name``, or with the next free number behind it."""
        count = self._counts.get(name, 0)
        while (candidate := name if count == 0 else f"{name}_{count + 1}") in self.shapes:
            count += 1
        self._counts[name] = count
        return candidate

    def _weight(self, value: Const, role: str, node: str) -> str:
        """Keep a weight; the same parameter read twice is kept once."""
        place = self.call.place
        name = value.name or f"{place.path if place.path and place.own else node}.{role}"
        array = to_array(value.tensor)
        kept = self._arrays.get(name)
        if kept is not None:
            if kept.shape == array.shape and np.array_equal(kept, array, equal_nan=True):
                return name
            name = unique(name, self._arrays)
        self._arrays[name] = array
        self.weights[name] = Dense(array) if self.blank is None else self.blank(array.shape, self._parameters(value))
        return name

    def _parameters(self, value: Const) -> int:
        """How many of its numbers are parameters that no weight before it holds; alpha of alpha sign(W) has none."""
        if value.origin is not None:
            if value.origin <= self._counted:
                return 0
            self._counted |= value.origin
        return value.tensor.numel() if value.entries is None else value.entries
