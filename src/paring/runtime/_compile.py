"""From a graph to the native engine's program: one function for each operator hands it to its kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from paring._native import engine as native
from paring.errors import GraphError
from paring.forms import Codebook, Form, Integer
from paring.graph import OPS, PLUGIN, Graph, integer_bias, multiplier, multipliers, requantize
from paring.runtime._fuse import Job, fuse, live
from paring.runtime._layout import Layout, TensorView, lay_out

_NO_BIAS = np.empty(0, np.float32)


def compile_graph(graph: Graph, isa: str, threads: int, sparse: str) -> Any:
    """The native program of a graph; arguments as for :class:`paring.runtime.Engine`.

    Raises:
        GraphError: if an operator has no kernel, or its values do not fit memory.
    """
    if missing := without_kernel(graph):
        fix = "Run it in the reference interpreter: paring.load(path, engine='reference')"
        raise GraphError("operators have no kernel in the native engine", found=", ".join(missing), fix=fix)
    layout = lay_out(graph, fuse(graph))
    return _Compiler(graph, layout, isa, threads, sparse).program


class _Compiler:
    """Each operator has a method of its name that hands it to its kernel; slices are views, and all others unary."""

    def __init__(self, graph: Graph, layout: Layout, isa: str, threads: int, sparse: str) -> None:
        self.graph, self.layout, self.sparse = graph, layout, sparse
        self.codes = graph.quant_params
        # Inputs and outputs by their numbers, then the arena's.
        buffers = sorted(layout.buffers, key=lambda b: (("input", "output", "arena").index(b.place), b.offset))
        rows = [(b.place, b.size, b.offset) for b in buffers]
        self.buffers = {id(buffer): i for i, buffer in enumerate(buffers)}
        self.numbers: dict[tuple[int, ...], int] = {}
        self.weights: dict[tuple[str, tuple[int, ...] | None], Any] = {}
        self.program = native.Plan(rows, layout.arena, isa, threads)
        for job in layout.jobs:
            inputs = [self._number(layout.spots[name]) for name in job.inputs]
            getattr(self, job.node.op, self.unary)(job, inputs, self._number(layout.spots[job.name]))
        for source, target in layout.copies:
            self.program.copy("output", self._number(source), self._number(target), (1, 1), 0, 0, 0)

    def _number(self, spot: TensorView) -> int:
        key = (self.buffers[id(spot.buffer)], spot.offset, spot.height, spot.width, spot.channels, spot.ld)
        if key not in self.numbers:
            self.numbers[key] = self.program.value(*key, *[True] * spot.buffer.codes)
        return self.numbers[key]

    def _weight(self, name: str, columns: tuple[int, ...] | None = None) -> Any:
        key = (name, columns)
        if key not in self.weights:
            self.weights[key] = native_weight(self.graph.weights[name], columns)
        return self.weights[key]

    def _vector(self, job: Job, role: str) -> np.ndarray:
        name = job.node.weights.get(role)
        return _NO_BIAS if name is None else self.graph.weights[name].dense().ravel()

    def _outside(self, job: Job) -> tuple[int, ...]:
        """What a copy of codes puts where there is nothing, their zero point; floats have 0 without being told."""
        return (self.codes[job.name].zero_point,) if job.name in self.codes else ()

    def conv2d(self, job: Job, inputs: list[int], output: int) -> None:
        a, weight = _attrs(job), self._weight(job.node.weights["weight"])
        geometry = (a["stride"], a["padding"], a["dilation"], a["groups"])
        self.program.conv2d(
            job.name, inputs, output, weight, self._vector(job, "bias"), *geometry, job.low, job.high, self.sparse
        )

    def conv_transpose2d(self, job: Job, inputs: list[int], output: int) -> None:
        a, weight = _attrs(job), self._weight(job.node.weights["weight"])
        geometry = (a["stride"], a["padding"], a["dilation"], a["groups"])  # output_padding is in the output's size
        self.program.conv_transpose2d(job.name, inputs[0], output, weight, self._vector(job, "bias"), *geometry)

    def linear(self, job: Job, inputs: list[int], output: int) -> None:
        weight = self._weight(job.node.weights["weight"], self.layout.columns.get(job.node.name))
        self.program.linear(job.name, inputs, output, weight, self._vector(job, "bias"), job.low, job.high, self.sparse)

    def unary(self, job: Job, inputs: list[int], output: int) -> None:
        op, clamp = job.node.op, OPS[job.node.op].clamp
        if clamp is not None:
            self.program.unary(job.name, inputs[0], output, "clip", *clamp(job.node.attrs))
        else:
            self.program.unary(job.name, inputs[0], output, op, _attrs(job).get("slope", 0.0), 0.0)

    def scale_shift(self, job: Job, inputs: list[int], output: int) -> None:
        scale, shift = self._vector(job, "scale"), self._vector(job, "shift")
        self.program.scale_shift(job.name, inputs[0], output, scale, shift)

    def prelu(self, job: Job, inputs: list[int], output: int) -> None:
        self.program.prelu(job.name, inputs[0], output, self._vector(job, "slope"))

    def softmax(self, job: Job, inputs: list[int], output: int) -> None:
        self.program.softmax(job.name, inputs[0], output)

    def lrn(self, job: Job, inputs: list[int], output: int) -> None:
        a = _attrs(job)
        self.program.lrn(job.name, inputs[0], output, a["size"], a["alpha"] / a["size"], a["beta"], a["k"])

    def pool(self, job: Job, inputs: list[int], output: int) -> None:
        a, kind = _attrs(job), job.node.op.split("_")[0]
        shape = (a["kernel"], a["stride"], a["padding"], a.get("dilation", (1, 1)), a.get("count_include_pad", False))
        self.program.pool(job.name, inputs[0], output, kind, *shape)

    max_pool = avg_pool = pool

    def adaptive_avg_pool(self, job: Job, inputs: list[int], output: int) -> None:
        self.program.pool(job.name, inputs[0], output, "adaptive", (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), False)

    global_avg_pool = adaptive_avg_pool

    def binary(self, job: Job, inputs: list[int], output: int) -> None:
        self.program.binary(job.name, inputs, output, job.node.op)

    add = mul = binary

    def channel_mean(self, job: Job, inputs: list[int], output: int) -> None:
        self.program.channel_mean(job.name, inputs[0], output)

    def flatten(self, job: Job, inputs: list[int], output: int) -> None:
        source = self.layout.spots[job.inputs[0]]
        if _attrs(job)["order"] == "chw":
            self.program.flatten_chw(job.name, inputs[0], output)
            return
        target = self.layout.spots[job.name]  # seen as a map again, to copy pixel by pixel
        as_map = TensorView(target.buffer, 0, source.height, source.width, source.channels, source.channels)
        self.program.copy(job.name, inputs[0], self._number(as_map), (1, 1), 0, 0, 0, *self._outside(job))

    def concat(self, job: Job, inputs: list[int], output: int) -> None:
        whole, at = self.layout.spots[job.name], 0
        for name, number in zip(job.inputs, inputs, strict=True):
            spot = self.layout.spots[name]
            part = TensorView(whole.buffer, whole.offset + at, spot.height, spot.width, spot.channels, whole.ld)
            if part != spot:
                self.program.copy(job.name, number, self._number(part), (1, 1), 0, 0, 0, *self._outside(job))
            at += spot.channels

    def channel_shuffle(self, job: Job, inputs: list[int], output: int) -> None:
        self.program.channel_shuffle(job.name, inputs[0], output, _attrs(job)["groups"])

    def subsample(self, job: Job, inputs: list[int], output: int) -> None:
        self.program.copy(job.name, inputs[0], output, _attrs(job)["stride"], 0, 0, 0, *self._outside(job))

    def pad(self, job: Job, inputs: list[int], output: int) -> None:
        (top, _, left, _), (front, _) = _attrs(job)["padding"], _attrs(job)["channels"]
        self.program.copy(job.name, inputs[0], output, (1, 1), top, left, front, *self._outside(job))

    def quantize(self, job: Job, inputs: list[int], output: int) -> None:
        codes = self.codes[job.name]
        self.program.quantize(job.name, inputs[0], output, codes.scale, (codes.zero_point, 0, codes.high))

    def dequantize(self, job: Job, inputs: list[int], output: int) -> None:
        codes = self.codes[job.inputs[0]]
        self.program.dequantize(job.name, inputs[0], output, codes.scale, codes.zero_point)

    def integer_conv2d(self, job: Job, inputs: list[int], output: int) -> None:
        a, layer = _attrs(job), self._layer(job)
        geometry = (a["stride"], a["padding"], a["dilation"], a["groups"])
        end = (self.codes[job.inputs[0]].zero_point, *self._clamp(job))
        self.program.integer_conv2d(job.name, inputs[0], output, *layer, *geometry, end)

    def integer_linear(self, job: Job, inputs: list[int], output: int) -> None:
        codes, bias, factors = self._layer(job)
        codes = _ordered(codes, self.layout.columns.get(job.node.name))
        end = (self.codes[job.inputs[0]].zero_point, *self._clamp(job))
        self.program.integer_linear(job.name, inputs[0], output, codes, bias, factors, end)

    def integer_add(self, job: Job, inputs: list[int], output: int) -> None:
        sources = [self.codes[name] for name in job.inputs]
        factors = [float(multiplier(source.scale, self.codes[job.name].scale)) for source in sources]
        zeros = [source.zero_point for source in sources]
        self.program.integer_add(job.name, inputs, output, zeros, factors, self._clamp(job))

    def integer_mean(self, job: Job, inputs: list[int], output: int) -> None:
        a, source, target = _attrs(job), self.codes[job.inputs[0]], self.codes[job.name]
        window = (a.get("kernel", (1, 1)), a.get("stride", (1, 1)), a.get("padding", (0, 0, 0, 0)))
        constants = ((source.scale, target.scale), source.zero_point, self._clamp(job), "kernel" not in a)
        self.program.integer_mean(job.name, inputs[0], output, *constants, *window, a.get("count_include_pad", True))

    integer_avg_pool = integer_global_avg_pool = integer_mean

    def lookup(self, job: Job, inputs: list[int], output: int) -> None:
        """A table from the file; a rescaling of at most 256 codes is one, too."""
        table, source = np.zeros(256, np.uint8), self.codes[job.inputs[0]]
        if job.node.op == "lookup":
            table[: source.high + 1] = self._vector(job, "table")
        else:
            all_codes = np.arange(source.high + 1) - source.zero_point
            factor = multiplier(source.scale, self.codes[job.name].scale)
            table[: source.high + 1] = requantize(all_codes, factor, *self._clamp(job))
        self.program.lookup(job.name, inputs[0], output, table)

    rescale = lookup

    def _layer(self, job: Job) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A layer's codes, its integer biases and its multipliers, the last two ``(outputs,)``."""
        weight, source, target = self.graph.weights[job.node.weights["weight"]], job.inputs[0], job.name
        assert isinstance(weight, Integer)
        outputs = weight.shape[0]
        factors = multipliers(self.codes[source].scale, weight.scales, self.codes[target].scale)
        bias = np.zeros(outputs, np.int32)
        if "bias" in job.node.weights:
            bias = integer_bias(self._vector(job, "bias"), self.codes[source].scale, weight.scales)
        return weight.codes, bias, np.ascontiguousarray(np.broadcast_to(factors, (outputs,)))

    def _clamp(self, job: Job) -> tuple[int, int, int]:
        a = _attrs(job)
        return self.codes[job.name].zero_point, a["low"], a["high"]


def without_kernel(graph: Graph) -> list[str]:
    """The operators that some output depends on and that the engine has no kernel for: plug-ins on floats."""
    return sorted({node.op for node in live(graph) if OPS[node.op].number == PLUGIN})


def _attrs(job: Job) -> dict[str, Any]:
    return dict(job.node.attrs)  # types are checked by Graph


def native_weight(form: Form, columns: tuple[int, ...] | None = None) -> Any:
    """The engine's copy of a weight.

    Args:
        form: the weight.
        columns: if given, the ``(H, W, C)`` of the map a fully connected layer reads: its columns stand in CHW order
            and are brought into HWC order.
    """
    if isinstance(form, Codebook):
        return native.Weight.codebook(form.centroids.astype(np.float32), _ordered(form.indices, columns))
    return native.Weight.dense(_ordered(form.dense(), columns))


def _ordered(array: np.ndarray, columns: tuple[int, ...] | None) -> np.ndarray:
    """A fully connected weight with its columns from CHW in HWC order, if ``columns`` is given."""
    if columns is not None:
        height, width, channels = columns
        array = array.reshape(-1, channels, height * width).swapaxes(1, 2).reshape(array.shape)
    return np.ascontiguousarray(array)
