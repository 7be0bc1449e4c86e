"""From a torch module to a graph."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from paring.capture import _rules_activations as _rules_activations
from paring.capture import _rules_arithmetic as _rules_arithmetic
from paring.capture import _rules_binary as _rules_binary
from paring.capture import _rules_layers as _rules_layers
from paring.capture import _rules_pooling as _rules_pooling
from paring.capture import _rules_views as _rules_views
from paring.capture._export import export_program
from paring.capture._forms import with_forms
from paring.capture._lower import Lowering
from paring.capture._patterns import recognized
from paring.capture._program import BATCH, Program, Ref, references
from paring.capture._rebuild import Rebuilt
from paring.errors import ArgumentError
from paring.graph import Graph, fold_scale_shift, simplify
from paring.layers import bare, check_layers


def capture(module: nn.Module, example: Any, *, fold: bool = True, forms: bool = True) -> Graph:
    """The network as a graph, in eval mode, through ``torch.export``.

    Nodes are named after the modules that made them (``layer1.0.conv1``), weights after the parameters
    (``layer1.0.conv1.weight``), in torch's layout and float32. A weight that trains in a form (pruned, shared, ternary,
    ...) has that form in the graph, a binary layer's one bit a sign; any other parametrized weight
    (``torch.nn.utils.parametrize``) is captured with its effective value under its plain name. A parameter shared by
    two modules is kept once, under its first path. Views, transposes and flattens become bookkeeping; what is left of
    them is a ``flatten`` or ``channel_shuffle`` node. The module is left as it was, training flags included.

    Args:
        module: the network; called with one tensor per example.
        example: an input ``(N, C, H, W)``, ``(N, C, L)`` or ``(N, F)`` as tensor or array, of which only the shape
            behind N counts; or that shape alone, ``(C, H, W)``; or a list of these for a network of many inputs.
        fold: fold batch norms and other per-channel factors into the convolution or fully connected layer before
            them, where it is the only reader of that layer and the weight is 32-bit dense: folded into any other form,
            they would scale its values apart. With False they stay ``scale_shift`` nodes.
        forms: keep the forms of trained weights. With False every weight is dense.

    Returns:
        A validated graph. Its answers are those of the module, maps as ``(H, W, C)``.

    Raises:
        GraphError: naming module, source line and operator, if something has no counterpart in a graph; naming the
            weight, if its form did not reach the graph.
        ArgumentError: if ``example`` is no input.

    Warns:
        UserWarning: if parameters do not reach the output, with their names.
    """
    module = bare(module)
    if isinstance(module, Rebuilt) and module.takes(examples_for(module, example)):
        graph = module.as_graph()
    else:
        program = trace(module, example)
        if missing := unread(program):
            warnings.warn(f"parameters that no output depends on are left out: {', '.join(missing)}", stacklevel=2)
        graph = simplify(Lowering(program).run())
    if forms:
        graph = with_forms(graph, module, lambda: unused(module, example))
    return fold_scale_shift(graph) if fold else graph


def unused(module: nn.Module, example: Any) -> list[str]:
    """Paths of the parameters that no output depends on in eval mode; see :func:`capture` for the arguments."""
    module = bare(module)
    program = trace(module, example)
    known = set(program.names.values())
    absent = [name for name, _ in module.named_parameters() if name not in known]
    return unread(program) + [name for name in absent if not _parametrized(name)]


def trace(module: nn.Module, example: Any) -> Program:
    """The module's calls by ``torch.export``, in eval mode with effective weights."""
    examples = examples_for(module, example)
    with as_plain(module):
        return recognized(export_program(module, examples))


def unread(program: Program) -> list[str]:
    """Paths of parameters of the program that no output depends on."""
    calls, _ = program.needed()
    read = {program.names.get(ref) for call in calls for ref in references((call.args, call.kwargs))}
    read |= {program.names.get(ref) for ref in program.outputs}
    parameters = [name for ref, name in program.names.items() if isinstance(program.constants[ref], nn.Parameter)]
    return [name for name in dict.fromkeys(parameters) if name not in read]


def examples_for(module: nn.Module, example: Any) -> tuple[Tensor, ...]:
    """Inputs of the network's device and type with the batch it is traced with."""
    check_layers(module)
    if isinstance(example, Sequence) and example and all(isinstance(e, Tensor | np.ndarray | tuple) for e in example):
        return tuple(examples_for(module, one)[0] for one in example)
    if isinstance(example, Sequence) and example and all(isinstance(size, int) for size in example):
        inner = tuple(example)
    elif isinstance(example, Tensor | np.ndarray) and example.ndim >= 2:
        inner = tuple(example.shape[1:])
    else:
        raise ArgumentError(
            "example is no input",
            found=tuple(example.shape) if hasattr(example, "shape") else repr(example),
            expected="a tensor (N, C, H, W) or a shape (C, H, W)",
        )
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    return (torch.zeros(BATCH, *inner, dtype=like.dtype, device=like.device),)


@contextmanager
def as_plain(module: nn.Module) -> Iterator[None]:
    """The module in eval mode, its parametrized tensors as plain parameters of their present value; restored after."""
    training = {m: m.training for m in module.modules()}
    module.eval()
    undo: list[tuple[nn.Module, type, dict[str, Any], list[str]]] = []
    made: dict[nn.Module, nn.Parameter] = {}
    try:
        for owner in list(module.modules()):
            if parametrize.is_parametrized(owner):
                _settle(owner, undo, made)
        yield
    finally:
        for owner, kind, children, names in reversed(undo):
            for name in names:
                del owner._parameters[name]
            owner.__class__ = kind
            owner._modules.clear()
            owner._modules.update(children)
        for m, flag in training.items():
            m.training = flag


def _settle(
    owner: nn.Module,
    undo: list[tuple[nn.Module, type, dict[str, Any], list[str]]],
    made: dict[nn.Module, nn.Parameter],
) -> None:
    """Swap an owner's parametrized tensors for plain ones and note how to undo it.

    One parametrization that several modules share becomes one parameter that they share.
    """
    chains: dict[str, Any] = dict(owner._modules["parametrizations"]._modules)  # type: ignore[union-attr]
    with torch.no_grad():
        for name, chain in chains.items():
            if chain not in made:
                made[chain] = nn.Parameter(getattr(owner, name).detach().clone(), requires_grad=False)
    undo.append((owner, type(owner), dict(owner._modules), list(chains)))
    owner.__class__ = type(owner).__bases__[0]
    del owner._modules["parametrizations"]
    for name, chain in chains.items():
        owner.register_parameter(name, made[chain])


def _parametrized(name: str) -> bool:
    return ".parametrizations." in f".{name}"


__all__ = ["Ref", "as_plain", "capture", "examples_for", "trace", "unread", "unused"]
