"""Seeded damage to valid files; run by test_corruptions.py in a process of its own, under a memory limit.

Prints one JSON document: how many corruptions of each kind were tried, and what went wrong.

    python tests/fuzz/corruptions.py FOLDER [COUNT] [SEED]
"""

import json
import resource
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from paring.container import Contents, _frame, _network, read, write
from paring.container._bytes import Writer
from paring.errors import FormatError
from paring.forms import Codebook, Dense, Hashed, Integer, Product, Sparse
from paring.graph import Graph, Node
from paring.image import Preparation

#: What reading one damaged file may take on top of what the process has.
MEMORY = 256 << 20


def network(rng: np.random.Generator) -> Contents:
    """A small network with every form, a shared weight and every optional part."""
    conv = rng.normal(size=(8, 1, 3, 3)) * (rng.random((8, 1, 3, 3)) < 0.6)
    values = np.concatenate([[0.0], rng.normal(size=12)])
    fc = Codebook.from_assignment(values, (rng.random((30, 392)) < 0.1) * rng.integers(1, 13, (30, 392)))
    last = Codebook.from_assignment(values, rng.integers(0, 13, (30, 30)), bits=16)
    integer = {"scale": 0.25, "padding": (0, 0, 0, 1)}
    nodes = [
        Node("conv", "conv2d", ("x",), {"padding": (1, 1, 1, 1)}, {"weight": "conv.weight", "bias": "conv.bias"}),
        Node("codes", "quantize", ("conv",), {"scale": 0.03125, "zero_point": 7, "bits": 6}),
        Node("integer", "integer_conv2d", ("codes",), integer, {"weight": "integer.weight", "bias": "conv.bias"}),
        Node("real", "dequantize", ("integer",)),
        Node("pool", "max_pool", ("real",), {"kernel": (2, 2), "stride": (2, 2)}),
        Node("clip", "clip", ("pool",), {"low": -0.25, "high": 2.5}),
        Node("flat", "flatten", ("clip",)),
        Node("fc", "linear", ("flat",), {}, {"weight": "fc.weight"}),
        Node("binary", "linear", ("fc",), {}, {"weight": "binary.weight"}),
        Node("product", "linear", ("binary",), {}, {"weight": "product.weight"}),
        Node("hashed", "linear", ("product",), {}, {"weight": "hashed.weight"}),
        Node("again", "linear", ("hashed",), {}, {"weight": "last.weight"}),
        Node("last", "linear", ("again",), {}, {"weight": "last.weight"}),
    ]
    weights = {
        "conv.weight": Sparse.from_dense(conv),
        "conv.bias": Dense(rng.normal(size=8), bits=16),
        "fc.weight": fc,
        "last.weight": last,
        "integer.weight": Integer.from_dense(rng.normal(size=(8, 8, 1, 2)), rng.uniform(0.1, 0.2, 8), 5),
        "binary.weight": Integer.from_dense(rng.normal(size=(30, 30)), [0.75], 1),
        "product.weight": Product(rng.normal(size=(2, 6, 9, 5)), rng.integers(0, 9, (2, 30, 6)), bits=16),
        "hashed.weight": Hashed((30, 30), rng.normal(size=40), seed=1504),
    }
    graph = Graph({"x": (14, 14, 1)}, nodes, ("last",), weights)
    return Contents(
        graph, Preparation(14, 14, 1, (0.13,), (0.31,)), tuple(f"class {i}" for i in range(30)), {"by": "test"}
    )


def damaged(rng: np.random.Generator, data: bytes, contents: Contents) -> tuple[str, bytes]:
    """One corruption: its kind and the bytes, which differ from ``data``."""
    kinds = (flip, cut, overwrite, lengthen, lie_about_section, lie_about_weight, lie_about_boundary)
    while True:
        kind = kinds[rng.integers(len(kinds))]
        out = kind(rng, data, contents)
        if out is not None and out != data:
            return kind.__name__, out


def flip(rng, data, contents):
    out = bytearray(data)
    for bit in rng.integers(0, 8 * len(out), rng.integers(1, 5)):
        out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def cut(rng, data, contents):
    return data[: rng.integers(0, len(data))]


def overwrite(rng, data, contents):
    start, length = rng.integers(0, len(data)), rng.integers(1, 40)
    return (data[:start] + rng.bytes(length) + data[start + length :])[: len(data)]


def lengthen(rng, data, contents):
    at = rng.integers(0, len(data) + 1)
    return data[:at] + rng.bytes(rng.integers(1, 9)) + data[at:]


def _lie(rng, number):
    """Another number: near, huge, or of another order."""
    lies = (number + 1, number - 1, number * 2 + 3, number // 2, 0, 1 << 20, (1 << 32) - 1, (1 << 62) + number)
    return max(0, int(lies[rng.integers(len(lies))]))


def lie_about_section(rng, data, contents):
    """A wrong item count in the section table; all checksums hold."""
    sections = _frame.split(data, "valid")
    which = rng.integers(len(sections))
    old = sections[which]
    sections[which] = _frame.Section(old.kind, _lie(rng, old.items), old.data)
    return None if sections[which].items == old.items else _frame.join(sections)


def lie_about_boundary(rng, data, contents):
    """Bytes moved from one section to its neighbor, or off the end; all checksums hold."""
    sections = _frame.split(data, "valid")
    which = rng.integers(len(sections))
    body = sections[which].data
    keep = len(body) - rng.integers(1, min(20, len(body)) + 1)
    rest = body[keep:]
    sections[which] = _frame.Section(sections[which].kind, sections[which].items, body[:keep])
    if which + 1 < len(sections):
        after = sections[which + 1]
        sections[which + 1] = _frame.Section(after.kind, after.items, rest + after.data)
    return _frame.join(sections)


def lie_about_weight(rng, data, contents):
    """A wrong shape or parameter of a weight in the network section; all checksums hold."""
    graph = contents.graph
    name = list(graph.weights)[rng.integers(len(graph.weights))]
    form = graph.weights[name]
    shape, params = list(form.shape), dict(form.params())
    if rng.random() < 0.5:
        axis = rng.integers(len(shape))
        shape[axis] = _lie(rng, shape[axis])
    else:
        lied_about = [key for key in params if key != "seed"]  # any seed makes a valid file, of another network
        key = lied_about[rng.integers(len(lied_about))]
        params[key] = _lie(rng, params[key])
    if tuple(shape) == form.shape and params == form.params():
        return None
    liar = SimpleNamespace(kind=form.kind, shape=tuple(shape), params=lambda: params, param_names=form.param_names)
    weights = {**graph.weights, name: liar}
    lying = SimpleNamespace(
        inputs=graph.inputs, nodes=graph.nodes, outputs=graph.outputs, output_names=(), weights=weights
    )
    out = Writer()
    _network.write_graph(out, lying)
    _network.write_facts(out, contents)
    sections = _frame.split(data, "valid")
    sections[0] = network_section(bytes(out.data))
    return _frame.join(sections)


def network_section(plain: bytes) -> _frame.Section:
    """A network section that holds these bytes."""
    return _frame.Section(_frame.NETWORK, len(plain), _network.encode(plain))


def main(folder: Path, count: int, seed: int) -> None:
    """Damage, read, tell."""
    rng = np.random.default_rng(seed)
    contents = network(rng)
    valid = []
    for coding in ("adaptive", "huffman"):
        write(folder / f"{coding}.pare", contents, coding=coding)
        valid.append(((folder / f"{coding}.pare").read_bytes(), read(folder / f"{coding}.pare")))
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    tried: Counter[str] = Counter()
    faults = []
    target = folder / "damaged.pare"
    for number in range(count):
        data, original = valid[number % len(valid)]
        kind, broken = damaged(rng, data, original)
        tried[kind] += 1
        target.write_bytes(broken)
        try:
            read(target)
        except FormatError as error:
            if str(target) not in str(error) or "byte" not in str(error):
                faults.append(f"{number} {kind}: names no place: {error}")
        except BaseException as error:
            faults.append(f"{number} {kind}: {type(error).__name__}: {error}")
        else:
            faults.append(f"{number} {kind}: accepted")
    print(json.dumps({"tried": tried, "faults": faults}))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000, int(sys.argv[3]) if len(sys.argv) > 3 else 0
    )
