"""Rounding activations to k bits in training: a clipped quantizer in the place of every ReLU.

Zhou et al., "DoReFa-Net", 2016, arXiv 1606.06160, section 2.4; see :class:`paring.layers.ClippedQuantizer`. The graph
gets ``quantize`` and ``dequantize`` nodes there, so the file and the engine round as the training did. Scales that fit
a network which was trained without are the business of :func:`paring.methods.quantize`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from paring.capture import outline
from paring.errors import ArgumentError
from paring.graph import OPS
from paring.layers import ClippedQuantizer

#: Modules that a clipped quantizer takes the place of.
REPLACEABLE = (nn.ReLU, nn.ReLU6, nn.Hardtanh, ClippedQuantizer)


@dataclass(frozen=True)
class QuantizedActivations:
    """What :func:`quantize_activations` did.

    Attributes:
        replaced: paths of the modules that are clipped quantizers now.
        left: name of every activation that is not, to why; only known where an example was given.
    """

    replaced: tuple[str, ...]
    left: Mapping[str, str]

    def __str__(self) -> str:
        lines = [f"{path}: rounded" for path in self.replaced]
        return "\n".join([*lines, *(f"{name}: left, {why}" for name, why in self.left.items())])


def quantize_activations(
    module: nn.Module, bits: int, patterns: Iterable[str] = ("*",), *, high: float = 1.0, example: Any = None
) -> QuantizedActivations:
    """Put a :class:`paring.layers.ClippedQuantizer` in the place of ReLU, ReLU6 and Hardtanh modules.

    Only modules can be replaced. A call of ``F.relu`` in somebody's ``forward`` cannot; with an ``example`` the network
    is traced and every activation that still is not rounded is named in the answer. The quantizers hold no state: to
    load a checkpoint, call this with the same arguments on the fresh network first.

    Args:
        module: the network, changed in place.
        bits: width of the codes, 1 to 8.
        patterns: shell patterns on the modules' paths.
        high: where activations are cut off, 1 in the paper.
        example: an input, or its shape without the batch, as for :func:`paring.capture.outline`.

    Returns:
        what was replaced and, with an example, what was not and why.

    Raises:
        ArgumentError: if the width cannot be, a pattern matches no such module, or there is none.
        GraphError: if an example is given and a graph cannot hold the network.
    """
    ClippedQuantizer(bits, high)  # refuses before anything is changed
    found = {path: child for path, child in module.named_modules(remove_duplicate=False) if _replaceable(path, child)}
    if not found:
        raise ArgumentError(
            "network has no ReLU, ReLU6 or Hardtanh module",
            fix="Make modules of functional calls such as F.relu; they cannot be replaced",
        )
    chosen: set[str] = set()
    for pattern in patterns:
        hits = {path for path in found if fnmatchcase(path, pattern)}
        if not hits:
            near = get_close_matches(pattern, found, 3, cutoff=0.4) or list(found)[:3]
            raise ArgumentError("pattern matches no ReLU", found=repr(pattern), expected=", ".join(near))
        chosen |= hits
    made: dict[int, ClippedQuantizer] = {}  # a module with two paths stays one
    for path in [path for path in found if path in chosen]:
        old = found[path]
        device = next((t.device for t in [*module.parameters(), *module.buffers()]), None)
        new = made.setdefault(id(old), ClippedQuantizer(bits, high).to(device).train(old.training))
        parent, _, leaf = path.rpartition(".")
        setattr(module.get_submodule(parent), leaf, new)
    replaced = tuple(path for path in found if path in chosen)
    return QuantizedActivations(replaced, {} if example is None else _left(module, example))


def _replaceable(path: str, child: nn.Module) -> bool:
    return bool(path) and isinstance(child, REPLACEABLE)


def _left(module: nn.Module, example: Any) -> dict[str, str]:
    """Every activation of the network that is not rounded, with the reason."""
    graph = outline(module, example)
    modules = dict(module.named_modules())
    rounded = {node.inputs[0] for node in graph.nodes if node.op == "quantize"}
    left = {}
    for node in graph.nodes:
        if not OPS[node.op].activation or node.name in rounded:
            continue
        if isinstance(modules.get(node.name), nn.ReLU | nn.ReLU6 | nn.Hardtanh):
            left[node.name] = "no pattern matches it"
        elif OPS[node.op].clamp is not None:
            left[node.name] = "a functional call cannot be replaced; make a module of it"
        else:
            left[node.name] = f"{node.op} is no ReLU"
    return left
