"""The cost of networks that are no graph, counted call by call."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import nn

from paring.capture._program import Call, Ref, references
from paring.capture._trace import Recorder, record
from paring.graph import Cost, Row

_PRODUCTS = ("convolution", "addmm", "mm")


def tally(module: nn.Module, example: Any) -> Cost:
    """Parameters and multiply-accumulates of any network that runs, whether a graph can hold it or not.

    One row per module that has parameters, in the order they are first read. Products with a weight that is computed
    from parameters count, products with other constants do not, nor do products of two activations. Without a graph
    there is no telling which activations live when: ``live_bytes`` and ``activations`` are 0, and every parameter
    counts 4 bytes. Arguments as in :func:`paring.capture.capture`.

    Raises:
        GraphError: if the network decides something by the numbers inside a tensor.
    """
    program, recorder = record(module, example)
    owners = program.origins()
    macs: dict[str, int] = {}
    outputs: dict[str, tuple[int, ...]] = {}
    for call in program.calls:
        named = sorted(owner for ref in references((call.args, call.kwargs)) for owner in owners.get(ref, ()))
        for owner in named:
            place = owner.rpartition(".")[0]
            macs.setdefault(place, 0)
        if call.op in _PRODUCTS and (weight := _weight(call)) in owners:
            place = call.place.path
            macs[place] = macs.get(place, 0) + _macs(call, weight, recorder)
            outputs[place] = tuple(recorder.shape(call.outputs()[0])[1:])
    return _rows(module, macs, outputs)


def _weight(call: Call) -> Ref:
    weight = call.args[2] if call.op == "addmm" else call.args[1]
    assert isinstance(weight, Ref)
    return weight


def _macs(call: Call, weight: Ref, recorder: Recorder) -> int:
    """One use of every weight per position: of the output, of the input where the convolution is transposed."""
    shape = recorder.shape(weight)
    transposed = call.op == "convolution" and call.args[6]
    if call.op != "convolution":
        return prod(shape)
    position = recorder.shape(call.args[0] if transposed else call.outputs()[0])[2:]
    return prod(shape) * prod(position)


def _rows(module: nn.Module, macs: dict[str, int], outputs: dict[str, tuple[int, ...]]) -> Cost:
    modules = dict(module.named_modules())
    counted: set[int] = set()
    rows = []
    for path, count in macs.items():
        owner = modules.get(path, module)
        own = [p for p in owner.parameters(recurse=False) if id(p) not in counted]
        counted.update(map(id, own))
        size = sum(p.numel() for p in own)
        if size or count:
            name = path or type(module).__name__
            kind = type(owner).__name__
            rows.append(Row(name, kind, "dense", outputs.get(path, ()), size, count, count, 0, 0, *[4 * size] * 3))
    return Cost(tuple(rows), 0, 4)
