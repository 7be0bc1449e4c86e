"""The native engine: a graph compiled once into fused steps over packed weights, then run on batches."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from paring._native import engine as native
from paring.errors import ArgumentError, ParingError
from paring.graph import Graph
from paring.runtime._compile import compile_graph, without_kernel
from paring.runtime.reference import checked_inputs

#: Every kernel to its variants that this processor can run, the better ones last; a variant is named by the
#: instruction set it is written for.
VARIANTS: dict[str, list[str]] = {}
for _kernel, _isa in native.variants():
    VARIANTS.setdefault(_kernel, []).append(_isa)
#: The instruction sets that this processor has and some kernel is written for.
ISAS: tuple[str, ...] = tuple(dict.fromkeys(isa for isas in VARIANTS.values() for isa in isas))


@dataclass(frozen=True)
class StepTime:
    """One step of the engine.

    Attributes:
        name: the node whose value it makes; of fused nodes the last one.
        kernel: what computes it (``conv2d gemm``, ``linear sparse``, ...).
        weight_bytes: bytes of its packed weights.
        seconds: mean time per run.
    """

    name: str
    kernel: str
    weight_bytes: int
    seconds: float


class Engine:
    """A compiled network.

    Weights are packed for the kernels from their forms once, here. Answers are the same bits for any batch size and any
    number of threads. Between instruction sets, operators on floats differ by rounding; those on codes do not. Calls
    from several Python threads wait for one another; the interpreter lock is released while the network runs.

    Args:
        graph: the network; not kept.
        threads: how many threads a run uses, 1 to 256.
        isa: the instruction sets that kernels may use, joined by ``+`` (``scalar``, ``avx2``, ...); each brings those
            it needs. Default is the environment variable ``PARING_ISA``, else all that this processor has.
        sparse: ``auto`` computes a layer from its non-zero weights where that is estimated to be faster, ``always``
            wherever there is a kernel for it, ``never`` nowhere.

    Raises:
        GraphError: if the engine has no kernel for an operator (one that was registered from outside), or values do
            not fit memory.
        ArgumentError: on an impossible argument.
    """

    def __init__(self, graph: Graph, threads: int = 1, *, isa: str | None = None, sparse: str = "auto") -> None:
        if not 1 <= threads <= 256:
            raise ArgumentError("thread count is out of range", found=threads, expected="1 to 256")
        if sparse not in ("auto", "always", "never"):
            raise ArgumentError("unknown choice of sparse kernels", found=sparse, expected="auto, always or never")
        self.isa = chosen_isa(isa)
        self.threads = threads
        self._inputs = graph.inputs
        outputs = dict.fromkeys(graph.outputs)
        self._shapes = [graph.shapes[name] for name in outputs]
        self._outputs = tuple(outputs)
        self._named = graph.answers({name: name for name in outputs})
        self._input = next(iter(graph.inputs.values())) if len(graph.inputs) == 1 else None
        self._rank = 0 if self._input is None else len(self._input) + 1
        try:
            self._program = compile_graph(graph, self.isa, threads, sparse)
        except MemoryError:
            raise ParingError("network does not fit memory") from None

    def run(self, x: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray | dict[str, np.ndarray]:
        """What the network answers.

        Args:
            x: float32 ``(N, *input shape)``, NHWC; a dict by input name if the graph has several inputs.

        Returns:
            float32 ``(N, *output shape)``; a dict by output name if the graph has several outputs.

        Raises:
            ArgumentError: if ``x`` does not fit the graph's inputs.
        """
        if (
            type(x) is np.ndarray
            and x.dtype == np.float32
            and x.ndim == self._rank
            and x.shape[1:] == self._input
            and x.flags.c_contiguous
        ):
            inputs: tuple[np.ndarray, ...] = (x,)
        else:
            arrays = checked_inputs(self._inputs, x)
            inputs = tuple(np.ascontiguousarray(array) for array in arrays.values())
        count = len(inputs[0]) if inputs else 0
        outputs = tuple(np.empty((count, *shape), np.float32) for shape in self._shapes)
        if count:
            try:
                self._program.run(inputs, outputs, count)
            except MemoryError:
                raise ParingError("batch does not fit memory", found=f"{count} examples") from None
        if isinstance(self._named, str):
            return outputs[0]
        found = dict(zip(self._outputs, outputs, strict=True))
        return {name: found[value] for name, value in self._named.items()}

    __call__ = run

    def profile(self, x: np.ndarray | Mapping[str, np.ndarray], repeats: int = 10) -> list[StepTime]:
        """Mean time of every step over ``repeats`` runs on ``x``, in the order in which they run."""
        self.run(x)
        self._program.profile(True)
        try:
            for _ in range(repeats):
                self.run(x)
            lines: list[tuple[str, str, int, float]] = self._program.lines()
        finally:
            self._program.profile(False)
        return [StepTime(name, kernel, size, seconds / repeats) for name, kernel, size, seconds in lines]

    @property
    def kernels(self) -> list[tuple[str, str]]:
        """Name and kernel of every step."""
        return [(name, kernel) for name, kernel, _, _ in self._program.lines()]

    @property
    def weight_bytes(self) -> int:
        """Bytes of packed weights in memory."""
        return sum(size for _, _, size, _ in self._program.lines())


def engine_for(graph: Graph, threads: int) -> Engine | None:
    """The native engine of a network; None, with a warning, where only the reference interpreter can run it.

    Warns:
        RuntimeWarning: naming the operators that have no kernel.
    """
    if missing := without_kernel(graph):
        what = f"no kernel for {', '.join(missing)}: the network runs in the reference interpreter, which is slow"
        warnings.warn(what, RuntimeWarning, stacklevel=3)
        return None
    return Engine(graph, threads)


def chosen_isa(isa: str | None) -> str:
    """The instruction sets to use: ``isa``, else ``PARING_ISA``, else all this processor has.

    Returns:
        Those that the best kernels for them make use of, in the form of the argument.

    Raises:
        ArgumentError: if one is unknown or this processor lacks it.
    """
    source = "isa"
    if isa is None:
        source, isa = "PARING_ISA", os.environ.get("PARING_ISA") or native.best_isa()
    for name in isa.split("+"):
        if name not in ISAS:
            expected = ", ".join(ISAS) + " or several joined by +"
            raise ArgumentError("instruction set is not available", where=source, found=name, expected=expected)
    live: str = native.live_isa(isa)
    return live


def info() -> dict[str, Any]:
    """What the native engine is and can do here: the instruction sets that its best kernels use, those in use now, and
    for every kernel the variant that is live.
    """
    live = chosen_isa(None)
    kernels = {kernel: native.variant_for(kernel, live) for kernel in VARIANTS}
    return {
        "best_isa": native.best_isa(),
        "isa": live,
        "kernels": {kernel: isa for kernel, isa in kernels.items() if isa},
    }
