"""What a network in the user's hands is: a graph, and what is known about its pictures."""

from __future__ import annotations

import copy
import os
from typing import Any

import torch
from torch import nn

from paring.capture import Rebuilt, capture
from paring.container import OUTPUTS
from paring.data import is_data
from paring.errors import ArgumentError
from paring.graph import Graph
from paring.image import Preparation
from paring.layers import bare
from paring.networks import in_float32


def graph_of(net: Any, example: Any = None, *, fold: bool = True, forms: bool = True) -> Graph:
    """The network as a graph.

    Args:
        net: a module; or a graph, or what holds one (a model, contents), which is given back as it is.
        example: an input of the network or its shape, for a module that cannot tell (all but rebuilt ones).
        fold: as for :func:`paring.capture.capture`.
        forms: likewise.

    Raises:
        ArgumentError: if ``net`` is no network.
        GraphError: if it cannot be captured.
    """
    net = unwrapped(net)
    held = getattr(net, "graph", net)
    if isinstance(held, Graph):
        return held
    if not isinstance(net, nn.Module):
        found = net if isinstance(net, str | os.PathLike) else type(net).__name__
        cure = "Make it with paring.create(...)" if isinstance(net, str | os.PathLike) else None
        raise ArgumentError("not a network", found=found, expected="an nn.Module, a Graph or a Model", fix=cure)
    if example is None:
        own = preparation_of(net)
        if isinstance(net, Rebuilt):
            example = shape_of_rebuilt(net)
        elif own is not None:
            example = (own.channels, own.height, own.width)
        else:
            raise ArgumentError("shape of the input is not known", expected="an input, or its shape (C, H, W)")
    return capture(_single(net), example, fold=fold, forms=forms)


def _single(net: nn.Module) -> nn.Module:
    """The network, or a copy in single precision where it has weights in another."""
    tensors = (*net.parameters(), *net.buffers())
    if all(tensor.dtype is torch.float32 for tensor in tensors if tensor.is_floating_point()):
        return net
    return in_float32(copy.deepcopy(net))


def unwrapped(net: Any) -> Any:
    """A module out of its wrappers; anything else as it is."""
    return bare(net) if isinstance(net, nn.Module) else net


def shape_of_rebuilt(net: Rebuilt) -> Any:
    """``(C, H, W)`` or ``(F,)`` of a rebuilt network's input, of several a list."""
    shapes = [(shape[-1], *shape[:-1]) for shape in net._inputs.values()]
    return shapes[0] if len(shapes) == 1 else shapes


def preparation_of(net: Any) -> Preparation | None:
    """How the network wants its pictures, where it says so itself."""
    known = getattr(unwrapped(net), "preparation", None)
    return known if isinstance(known, Preparation) else None


def classes_of(net: Any) -> tuple[str, ...]:
    """Names of its classes, where it has them."""
    known = getattr(unwrapped(net), "classes", ())
    named = isinstance(known, tuple | list) and all(isinstance(name, str) for name in known)
    return tuple(known) if named else ()


def told(net: Any) -> str:
    """What a model or contents say their answers are; empty where they leave it to the graph."""
    found = getattr(getattr(net, "contents", net), "output", "")
    return found if isinstance(found, str) and found in OUTPUTS else ""


def shape_of(net: Any) -> tuple[int, int, int] | None:
    """``(H, W, C)`` of its input, where it is known."""
    net = unwrapped(net)
    own = preparation_of(net)
    if own is not None:
        return own.shape
    held = getattr(net, "graph", net)
    if isinstance(net, Rebuilt):
        shapes = list(net._inputs.values())
    elif isinstance(held, Graph):
        shapes = list(held.inputs.values())
    else:
        return None
    return shapes[0] if len(shapes) == 1 and len(shapes[0]) == 3 else None  # type: ignore[return-value]


def example_of(given: Any) -> Any:
    """A tensor, array or shape as it is; of anything else that holds images its first batch."""
    if isinstance(given, torch.Tensor) or hasattr(given, "shape"):
        return given
    if isinstance(given, tuple | list) and all(isinstance(side, int) for side in given):
        return tuple(given)
    if isinstance(given, tuple | list) and all(hasattr(one, "shape") or isinstance(one, tuple) for one in given):
        return given
    from paring.data import dataset

    if is_data(given) or isinstance(given, str | os.PathLike):
        data = dataset(given, labels=False, limit=1)
        height, width, channels = data.preparation.shape
        return channels, height, width
    from paring.data._given import batches

    return torch.from_numpy(next(iter(batches(given)))[0].transpose(0, 3, 1, 2).copy())
