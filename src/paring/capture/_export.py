"""Tracing through ``torch.export``."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_unflatten

from paring.capture._program import Call, Place, Program, Ref, base_name, replaced
from paring.errors import GraphError

_TORCH = str(Path(torch.__file__).parent)


def export_program(module: nn.Module, examples: tuple[Tensor, ...]) -> Program:
    """What ``module`` computes from ``examples``, by ``torch.export``.

    Raises:
        GraphError: if torch cannot export it, naming the user's line where it stopped.
    """
    try:
        with warnings.catch_warnings(), _quiet(), torch.no_grad():
            warnings.simplefilter("ignore")
            exported = torch.export.export(module, examples, strict=False)
    except Exception as error:
        raise explained(error) from error
    return _Reader(module, exported).program()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's log of a call that does not fit, a page of its own lines; the error says the same in one."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


class _Reader:
    def __init__(self, module: nn.Module, exported: Any) -> None:
        self.exported = exported
        self.modules = dict(module.named_modules())
        self.refs: dict[str, Ref] = {}
        self.constants: dict[Ref, Tensor] = {}
        self.names: dict[Ref, str] = {}
        self.inputs: list[tuple[str, Ref, tuple[int, ...]]] = []
        self.calls: list[Call] = []
        self.outputs: list[Ref] = []
        self.places: list[int] = []  # of the outputs, among all that the network returns
        self.made = 0

    def program(self) -> Program:
        signature = {spec.arg.name: spec for spec in self.exported.graph_signature.input_specs}
        for node in self.exported.graph.nodes:
            ref = self.refs[node.name] = Ref(self._next())
            if node.op == "placeholder":
                self._placeholder(node, ref, signature[node.name])
            elif node.op == "output":
                self._output(node)
            else:
                self._step(self.exported.graph_module, node, ref)
        return Program(
            self.inputs, self.constants, self.names, self.calls, self.outputs, output_names=self._output_names()
        )

    def _placeholder(self, node: Any, ref: Ref, spec: Any) -> None:
        if spec.kind.name == "USER_INPUT":
            value = node.meta.get("val")
            if not isinstance(value, Tensor):
                raise GraphError("an input is not a tensor", where=node.name, found=type(value).__name__)
            self.inputs.append((node.name, ref, tuple(int(size) for size in value.shape)))
            return
        state = self.exported.state_dict
        tensor = state[spec.target] if spec.target in state else self.exported.constants[spec.target]
        self.constants[ref] = tensor
        # A tensor shared by two modules keeps the name it is found under first.
        for other, name in self.names.items():
            if self.constants[other] is tensor:
                self.names[ref] = name
                return
        self.names[ref] = spec.target

    def _step(self, owner: nn.Module, node: Any, ref: Ref) -> None:
        if node.op == "get_attr":
            attribute = owner
            for step in node.target.split("."):
                attribute = getattr(attribute, step)
            if isinstance(attribute, Tensor):
                self.constants[ref] = attribute
        elif node.op == "call_function":
            region = next((a for a in node.args if _is_region(owner, a)), None)
            if region is None:
                self._call(node, ref)
            else:
                self._inline(getattr(owner, region.target), node, ref, region)

    def _inline(self, region: torch.fx.GraphModule, node: Any, ref: Ref, marker: Any) -> None:
        """The calls inside a ``torch.enable_grad()`` or ``torch.autocast()`` block, which export keeps apart."""
        given = iter(node.args[node.args.index(marker) + 1 :])
        outer = dict(self.refs)
        for inner in region.graph.nodes:
            if inner.op == "placeholder":
                self.refs[inner.name] = outer[next(given).name]
            elif inner.op == "output":
                results = replaced(tuple(inner.args[0]), self._ref, torch.fx.Node)
                self.calls.append(Call("results", lambda *r: r, results, {}, ref, False, self._place(node)))
            else:
                # Names inside may repeat names outside, so they are forgotten again below.
                inner_ref = self.refs[inner.name] = Ref(self._next())
                self._step(region, inner, inner_ref)
        self.refs = outer

    def _next(self) -> int:
        self.made += 1
        return self.made

    def _call(self, node: Any, ref: Ref) -> None:
        args, kwargs = replaced((tuple(node.args), dict(node.kwargs)), self._ref, torch.fx.Node)
        op, inplace = base_name(node.target)
        self.calls.append(Call(op, node.target, args, kwargs, ref, inplace, self._place(node)))

    def _ref(self, node: Any) -> Ref:
        return self.refs[node.name]

    def _place(self, node: Any) -> Place:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        path = re.sub(r"@\d+", "", stack[-1][0]) if stack else ""
        return place_of(self.modules, path, _user_line(node.meta.get("stack_trace") or ""))

    def _output_names(self) -> list[str]:
        """Names of several answers of which some stand in a dictionary: keys and places on the way, ``boxes.0``."""
        shape = self.exported.call_spec.out_spec
        found = _paths(tree_unflatten(list(range(shape.num_leaves)), shape))
        names = [".".join(map(str, found[place])) for place in self.places if place in found]
        keyed = any(isinstance(step, str) for path in found.values() for step in path)
        fits = len(names) == len(self.outputs) > 1 and len(set(names)) == len(names)
        return names if keyed and fits else []

    def _output(self, node: Any) -> None:
        specs = self.exported.graph_signature.output_specs
        own = [v for spec, v in zip(specs, node.args[0], strict=False) if spec.kind.name == "USER_OUTPUT"]
        for place, value in enumerate(own):  # others are buffers the module updates for itself
            if isinstance(value, torch.fx.Node):
                self.outputs.append(self._ref(value))
                self.places.append(place)
            elif value is not None:
                raise GraphError("an output is not a tensor", found=value)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> dict[int, tuple[Any, ...]]:
    """Where each number is in nested dictionaries, tuples and lists."""
    if isinstance(value, Mapping | list | tuple):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return {number: found for key, part in items for number, found in _paths(part, (*path, key)).items()}
    return {value: path} if isinstance(value, int) else {}


def _is_region(owner: nn.Module, argument: Any) -> bool:
    return (
        isinstance(argument, torch.fx.Node)
        and argument.op == "get_attr"
        and isinstance(getattr(owner, str(argument.target), None), torch.fx.GraphModule)
    )


def place_of(modules: dict[str, nn.Module], path: str, source: str) -> Place:
    """A call's place from its module's path."""
    module = modules.get(path)
    if module is None:
        return Place(path, source=source)
    own = next(module.children(), None) is None
    return Place(path, own, type(module).__module__.startswith("torch.nn.modules"), source)


def _user_line(trace: str) -> str:
    """``file.py:12`` of the last line of a stack trace that is not torch's own."""
    lines = [m for m in re.findall(r'File "([^"]+)", line (\d+)', trace) if not m[0].startswith(_TORCH)]
    return f"{Path(lines[-1][0]).name}:{lines[-1][1]}" if lines else ""


def explained(error: Exception) -> GraphError:
    """What torch.export stumbled over, in one sentence with the user's line."""
    where, traceback = None, error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith((_TORCH, "<")) and "paring/capture" not in file.replace("\\", "/"):
            where = f"{Path(file).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    text = str(error).strip().splitlines()
    kind = type(error).__name__
    if "DataDependent" in kind or "data-dependent" in str(error).lower():
        return GraphError(
            "the network decides something by the numbers inside a tensor",
            where=where,
            fix="Remove the `if`, loop or index that reads them, or capture the part before it",
        )
    return GraphError(
        "torch could not trace the network", where=where, found=f"{kind}: {text[0] if text else 'no message'}"
    )
