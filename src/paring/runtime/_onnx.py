"""A graph as a float ONNX file: maps become ``(N, C, H, W)``, every form is decoded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from paring.errors import GraphError, OutputError, ParingError
from paring.forms import Form
from paring.graph import INTEGER_OPS, Graph, Node
from paring.runtime import reference

#: Version of ONNX's operators; 17 is what ONNX Runtime has read since 1.12.
OPSET = 17
#: Examples that the file is tried with, and how far answers may be off beside their largest.
_EXAMPLES, _TOLERANCE = 2, 1e-3


def write_onnx(path: str | os.PathLike[str], graph: Graph) -> dict[str, float]:
    """Write a graph as an ONNX file and run it before success is reported.

    Inputs are float32 ``(N, C, H, W)`` or ``(N, F)``, outputs likewise, whatever N. Two examples of noise are run in
    ONNX Runtime, or in the interpreter of the ``onnx`` package where that is not installed, and compared with the
    reference interpreter.

    Returns:
        ``bytes`` of the file and ``difference``, the largest between the two answers.

    Raises:
        ParingError: if the ``onnx`` package is not installed.
        GraphError: naming the node, if ONNX has no such operator; if the file answers otherwise than the graph.
        OutputError: if the file cannot be written.
    """
    try:
        import onnx
    except ImportError:
        raise ParingError("writing ONNX needs onnx", fix="Install it with: pip install 'paring[onnx]'") from None
    model = _Writer(graph, onnx).model()
    data = model.SerializeToString()
    difference = _tried(graph, data, model)
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise OutputError(f"file cannot be written ({error.strerror})", where=path) from None
    return {"bytes": len(data), "difference": difference}


def _tried(graph: Graph, data: bytes, model: Any) -> float:
    rng = np.random.default_rng(0)
    inputs = {n: rng.standard_normal((_EXAMPLES, *s), np.float32) for n, s in graph.inputs.items()}
    expected: Any = reference.run(graph, inputs if len(inputs) > 1 else next(iter(inputs.values())))
    expected = list(expected.values()) if isinstance(expected, dict) else [expected]
    given = {name: _first(x) for name, x in inputs.items()}
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        answers: Any = ReferenceEvaluator(model).run(None, given)
    else:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        answers = session.run(None, given)
    worst = 0.0
    for name, mine, theirs in zip(dict.fromkeys(graph.outputs), expected, answers, strict=True):
        mine = _first(mine)
        # infinities that agree differ by nothing
        off = float(np.abs(np.subtract(mine, theirs, where=mine != theirs, out=np.zeros_like(mine))).max(initial=0))
        worst = max(worst, off)
        if not off <= _TOLERANCE * max(1.0, float(np.abs(mine[np.isfinite(mine)]).max(initial=0))):
            raise GraphError("ONNX file answers otherwise than the network", where=name, found=f"{off:.3g} off")
    return worst


def _first(x: np.ndarray) -> np.ndarray:
    """Channels behind the examples."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


class _Writer:
    def __init__(self, graph: Graph, onnx: Any) -> None:
        self.graph, self.onnx, self.shapes = graph, onnx, graph.shapes
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def model(self) -> Any:
        for node in self.graph.nodes:
            write = _OPERATORS.get(node.op)
            if write is None:
                codes = node.op in INTEGER_OPS
                raise GraphError(
                    "network computes with integers, which the float export does not say"
                    if codes
                    else f"ONNX has no counterpart of {node.op}",
                    where=node.name,
                    found=node.op,
                    fix="Export the float network, or weights alone (activations=None)" if codes else None,
                )
            write(self, node)
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        sides = [
            [helper.make_tensor_value_info(name, kind, ["N", *_turned(self.shapes[name])]) for name in names]
            for names in (self.graph.inputs, dict.fromkeys(self.graph.outputs))
        ]
        tensors = [self.onnx.numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        made = helper.make_graph(self.nodes, "paring", *sides, tensors)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="paring")
        model.ir_version = 8
        self.onnx.checker.check_model(model)
        return model

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(op, inputs, [output], name=f"{output}:{op}", **attributes))
        return output

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        self.constants[name] = np.ascontiguousarray(values, dtype)
        return name

    def weight(self, node: Node, role: str) -> str:
        name = node.weights[role]
        form: Form = self.graph.weights[name]
        return name if name in self.constants else self.constant(name, form.dense())

    def per_channel(self, node: Node, role: str) -> str:
        """A vector so that it broadcasts over ``(N, C, H, W)``."""
        values = self.graph.weights[node.weights[role]].dense()
        ranks = len(self.shapes[node.inputs[0]])
        return self.constant(f"{node.name}:{role}", values.reshape(-1, *[1] * (ranks - 1)))


def _turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[-1], *shape[:-1])


def _pads(node: Node) -> list[int]:
    a: Any = node.attrs
    top, bottom, left, right = a["padding"]
    return [top, left, bottom, right]


def _plain(op: str, **attributes: Any) -> Callable[[_Writer, Node], object]:
    return lambda w, node: w.add(op, list(node.inputs), node.name, **attributes)


def _convolution(op: str) -> Callable[[_Writer, Node], object]:
    def write(w: _Writer, node: Node) -> None:
        a: Any = node.attrs
        extra = {}
        if op == "ConvTranspose":
            extra["output_padding"] = list(a["output_padding"])
            if any(e >= s for e, s in zip(a["output_padding"], a["stride"], strict=True)):
                expected = "output padding below the stride"
                raise GraphError(f"ONNX Runtime wants {expected}", where=node.name, found=a["output_padding"])
        w.add(
            op,
            [node.inputs[0], *(w.weight(node, role) for role in ("weight", "bias") if role in node.weights)],
            node.name,
            strides=list(a["stride"]),
            dilations=list(a["dilation"]),
            group=a["groups"],
            pads=_pads(node),
            **extra,
        )

    return write


def _linear(w: _Writer, node: Node) -> None:
    roles = [role for role in ("weight", "bias") if role in node.weights]
    w.add("Gemm", [node.inputs[0], *(w.weight(node, role) for role in roles)], node.name, transB=1)


def _scale_shift(w: _Writer, node: Node) -> None:
    scaled = w.add("Mul", [node.inputs[0], w.per_channel(node, "scale")], f"{node.name}:scaled")
    w.add("Add", [scaled, w.per_channel(node, "shift")], node.name)


def _clip(w: _Writer, node: Node) -> None:
    ends = [w.constant(f"{node.name}:{end}", node.attrs[end]) for end in ("low", "high")]
    w.add("Clip", [node.inputs[0], *ends], node.name)


def _silu(w: _Writer, node: Node) -> None:
    w.add("Mul", [node.inputs[0], w.add("Sigmoid", list(node.inputs), f"{node.name}:sigmoid")], node.name)


def _gelu(w: _Writer, node: Node) -> None:
    x, name = node.inputs[0], node.name
    scaled = w.add("Mul", [x, w.constant(f"{name}:root", 0.5**0.5)], f"{name}:scaled")
    erf = w.add("Erf", [scaled], f"{name}:erf")
    risen = w.add("Add", [erf, w.constant(f"{name}:one", 1.0)], f"{name}:risen")
    half = w.add("Mul", [x, w.constant(f"{name}:half", 0.5)], f"{name}:halved")
    w.add("Mul", [half, risen], name)


def _sign(w: _Writer, node: Node) -> None:
    name = node.name
    positive = w.add("GreaterOrEqual", [node.inputs[0], w.constant(f"{name}:zero", 0.0)], f"{name}:positive")
    w.add("Where", [positive, w.constant(f"{name}:up", 1.0), w.constant(f"{name}:down", -1.0)], name)


def _pool(op: str) -> Callable[[_Writer, Node], object]:
    def write(w: _Writer, node: Node) -> None:
        a: Any = node.attrs
        extra: dict[str, Any] = {"count_include_pad": int(a["count_include_pad"])} if op == "AveragePool" else {}
        if op == "MaxPool":
            extra = {"dilations": list(a["dilation"])}
        common = {"kernel_shape": list(a["kernel"]), "strides": list(a["stride"]), "pads": _pads(node)}
        w.add(op, list(node.inputs), node.name, ceil_mode=int(a["ceil_mode"]), **common, **extra)

    return write


def _adaptive(w: _Writer, node: Node) -> None:
    a: Any = node.attrs
    (height, width, _), (tall, wide) = w.shapes[node.inputs[0]], a["size"]
    if height % tall or width % wide:
        raise GraphError(
            "ONNX has no pool whose windows differ in size",
            where=node.name,
            found=f"{height}x{width} to {tall}x{wide}",
            expected="a size that divides the map",
        )
    kernel = [height // tall, width // wide]
    w.add("AveragePool", list(node.inputs), node.name, kernel_shape=kernel, strides=kernel)


def _flatten(w: _Writer, node: Node) -> None:
    x = node.inputs[0]
    if node.attrs["order"] == "hwc" and len(w.shapes[x]) == 3:
        x = w.add("Transpose", [x], f"{node.name}:hwc", perm=[0, 2, 3, 1])
    w.add("Flatten", [x], node.name, axis=1)


def _both(op: str) -> Callable[[_Writer, Node], object]:
    def write(w: _Writer, node: Node) -> None:
        first, second = node.inputs
        missing = len(w.shapes[first]) - len(w.shapes[second])
        if missing:
            axes = w.constant(f"{node.name}:axes", range(2, 2 + missing), np.int64)
            second = w.add("Unsqueeze", [second, axes], f"{node.name}:spread")
        w.add(op, [first, second], node.name)

    return write


def _slice(w: _Writer, node: Node) -> None:
    words = {"starts": [node.attrs["start"]], "ends": [node.attrs["stop"]], "axes": [1]}
    parts = [w.constant(f"{node.name}:{key}", values, np.int64) for key, values in words.items()]
    w.add("Slice", [node.inputs[0], *parts], node.name)


def _subsample(w: _Writer, node: Node) -> None:
    words = {"starts": [0, 0], "ends": [1 << 30] * 2, "axes": [2, 3], "steps": node.attrs["stride"]}
    parts = [w.constant(f"{node.name}:{key}", values, np.int64) for key, values in words.items()]
    w.add("Slice", [node.inputs[0], *parts], node.name)


def _shuffle(w: _Writer, node: Node) -> None:
    a: Any = node.attrs
    x, name, groups = node.inputs[0], node.name, a["groups"]
    channels, *sides = _turned(w.shapes[x])
    axes = len(sides) + 3
    table = w.constant(f"{name}:table", [-1, groups, channels // groups, *sides], np.int64)
    apart = w.add("Reshape", [x, table], f"{name}:apart")
    swapped = w.add("Transpose", [apart], f"{name}:swapped", perm=[0, 2, 1, *range(3, axes)])
    w.add("Reshape", [swapped, w.constant(f"{name}:whole", [-1, channels, *sides], np.int64)], name)


def _pad(w: _Writer, node: Node) -> None:
    a: Any = node.attrs
    (top, bottom, left, right), (front, back) = a["padding"], a["channels"]
    amounts = w.constant(f"{node.name}:pads", [0, front, top, left, 0, back, bottom, right], np.int64)
    w.add("Pad", [node.inputs[0], amounts], node.name)


def _lrn(w: _Writer, node: Node) -> None:
    a: Any = node.attrs
    if a["size"] % 2 == 0:
        raise GraphError("ONNX normalizes over an odd number of channels", where=node.name, found=a["size"])
    w.add("LRN", list(node.inputs), node.name, size=a["size"], alpha=a["alpha"], beta=a["beta"], bias=a["k"])


_OPERATORS: dict[str, Callable[[_Writer, Node], object]] = {
    "conv2d": _convolution("Conv"),
    "conv_transpose2d": _convolution("ConvTranspose"),
    "linear": _linear,
    "scale_shift": _scale_shift,
    "relu": _plain("Relu"),
    "clip": _clip,
    "leaky_relu": lambda w, n: w.add("LeakyRelu", list(n.inputs), n.name, alpha=n.attrs["slope"]),
    "sigmoid": _plain("Sigmoid"),
    "tanh": _plain("Tanh"),
    "hard_sigmoid": _plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hard_swish": _plain("HardSwish"),
    "silu": _silu,
    "gelu": _gelu,
    "softmax": _plain("Softmax", axis=1),
    "prelu": lambda w, n: w.add("PRelu", [n.inputs[0], w.per_channel(n, "slope")], n.name),
    "sign": _sign,
    "abs": _plain("Abs"),
    "max_pool": _pool("MaxPool"),
    "avg_pool": _pool("AveragePool"),
    "adaptive_avg_pool": _adaptive,
    "global_avg_pool": _plain("ReduceMean", axes=[2, 3], keepdims=0),
    "channel_mean": _plain("ReduceMean", axes=[1], keepdims=1),
    "flatten": _flatten,
    "add": _both("Add"),
    "mul": _both("Mul"),
    "concat": _plain("Concat", axis=1),
    "slice_channels": _slice,
    "channel_shuffle": _shuffle,
    "subsample": _subsample,
    "pad": _pad,
    "lrn": _lrn,
}
