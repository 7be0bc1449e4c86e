"""Files that strangers would make by hand; every checksum holds, and still nothing is believed."""

import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from paring.container import Contents, _frame, _network, read, write
from paring.container._bytes import Writer
from paring.errors import FormatError
from paring.forms import Codebook, Dense, Sparse
from paring.graph import OPS, Graph, Node
from tests.fuzz import corruptions


def liar(kind, shape, **params):
    """A weight that is declared so, whatever stands behind it."""
    names = {"dense": ("bits",), "sparse": ("bits", "kept"), "codebook": ("bits", "centroids")}
    names |= {"product": ("bits", "length", "centroids", "stages"), "hashed": ("bits", "buckets", "seed")}
    return SimpleNamespace(kind=kind, shape=shape, params=lambda: params, param_names=names[kind])


def sections(graph, weights=b"", *, facts=b"\0\0\0", count=None):
    """A file of this graph, not validated, with these bytes where its weights should be."""
    out = Writer()
    _network.write_graph(out, graph)
    network = corruptions.network_section(bytes(out.data) + facts)
    count = len(graph.weights) if count is None else count
    return [network, *([_frame.Section(_frame.ADAPTIVE, count, weights)] if weights else [])]


def unchecked(inputs, nodes, outputs, weights=None):
    """What a graph holds, though it may be none."""
    return SimpleNamespace(inputs=inputs, nodes=nodes, outputs=outputs, output_names=(), weights=weights or {})


def valid(parts):
    return Graph(**vars(parts))


def linear(form, features=4):
    return unchecked(
        {"x": (features,)}, [Node("fc", "linear", ("x",), {}, {"weight": "fc.weight"})], ("fc",), {"fc.weight": form}
    )


def refused(tmp_path, data, says):
    path = tmp_path / "hostile.pare"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=says) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert peak < 100 << 20, f"{peak} bytes for a file of {len(data)}"


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (liar("dense", (1 << 16, 1 << 16), bits=32), "too large|too much"),
        (liar("dense", (1 << 31,) * 8, bits=32), "too large"),
        (liar("dense", (30_000, 30_000), bits=16), "too much"),
        (liar("codebook", (40_000, 40_000), bits=32, centroids=1), "too much"),
        (liar("sparse", (40_000, 40_000), bits=32, kept=0), "too much"),
        (liar("sparse", (4, 4), bits=32, kept=17), "keeps more"),
        (liar("codebook", (4, 4), bits=32, centroids=70_000), "too many centroids"),
        (liar("dense", (4, 4), bits=8), "width"),
        (liar("hashed", (40_000, 40_000), bits=32, buckets=1, seed=0), "too much"),
        (liar("hashed", (4, 4), bits=32, buckets=17, seed=0), "more buckets"),
        (liar("hashed", (4, 4), bits=32, buckets=1, seed=1 << 32), "seed"),
        (liar("product", (40_000, 40_000), bits=16, length=40_000, centroids=1, stages=1), "too much"),
        (liar("product", (4, 4), bits=32, length=3, centroids=1, stages=1), "divide"),
        (liar("product", (4, 4), bits=32, length=2, centroids=70_000, stages=1), "centroids"),
        (liar("product", (4, 4), bits=32, length=2, centroids=2, stages=17), "stages"),
        (liar("product", (1, 1 << 20), bits=32, length=1, centroids=1 << 16, stages=16), "too large"),
        (liar("dense", (0, 4), bits=32), "empty axis"),
    ],
    ids=str,
)
def test_a_weight_that_promises_too_much(tmp_path, form, says):
    refused(tmp_path, _frame.join(sections(linear(form), b"\0" * 64)), says)


def test_a_few_bytes_cannot_ask_for_a_large_map(tmp_path):
    nodes = [Node("big", "pad", ("x",), {**OPS["pad"].attrs, "padding": (60_000, 0, 60_000, 0)})]
    refused(tmp_path, _frame.join(sections(unchecked({"x": (1, 1, 1)}, nodes, ("big",)))), "too large")


def test_a_value_cannot_be_read_before_it_is_made(tmp_path):
    """A loop cannot be written down: references count backwards from the present node."""
    out = Writer()
    out.number(1)
    out.text("x")
    out.number(1)
    out.number(4)
    out.number(1)  # one node: relu of itself
    out.number(OPS["relu"].number)
    out.text("loop")
    out.number((1 << 63) - 1)
    refused(tmp_path, _frame.join([corruptions.network_section(bytes(out.data) + b"\1\0\0\0\0")]), "before it is made")


def test_names_must_be_unique(tmp_path):
    graph = unchecked({"x": (4,)}, [Node("a", "relu", ("x",), {}), Node("x", "relu", ("a",), {})], ("a",))
    refused(tmp_path, _frame.join(sections(graph)), "twice")


def test_weights_must_have_different_names(tmp_path):
    """Two declarations of one name would leave one of the two in the dark."""
    weight = Dense(np.ones((4, 4)))
    graph = linear(weight)
    graph.nodes.append(Node("fc2", "linear", ("fc",), {}, {"weight": "fc2.weight"}))
    graph.weights["fc2.weight"] = weight
    plain = Writer()
    _network.write_graph(plain, graph)
    # fc2's weight named in full and as the first one's: "fc.weight"
    at = bytes(plain.data).index(b"fc2") + 3
    tail = bytes(plain.data)[at:]
    head, how, declaration = tail[:2], tail[2], tail[3:]  # input and mask of optional weights first
    assert how == 0
    data = bytes(plain.data)[:at] + head + b"\1" + bytes([len("fc.weight")]) + b"fc.weight" + declaration
    file = [corruptions.network_section(data + b"\0\0\0"), _frame.Section(_frame.ADAPTIVE, 2, b"\0" * 80)]
    refused(tmp_path, _frame.join(file), "twice|name")


@pytest.mark.parametrize("count", [0, 2, 1 << 62])
def test_sections_must_hold_what_was_declared(tmp_path, count):
    refused(tmp_path, _frame.join(sections(linear(Dense(np.ones((4, 4)))), b"\0" * 8, count=count)), "wrong number")


def test_a_network_section_is_no_bomb(tmp_path):
    """A short code of a very long run of equal bytes stops at the cap, before it is decoded."""
    section = corruptions.network_section(b"\0" * (1 << 20))
    refused(tmp_path, _frame.join([section]), "too much")


def test_the_table_cannot_promise_more_sections_than_there_are_bytes(tmp_path):
    head = _frame.MAGIC + bytes([_frame.VERSION]) + b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
    refused(tmp_path, head + _frame._checksum(head), "too large")


def test_a_number_has_one_spelling(tmp_path):
    data = _frame.join(sections(linear(Dense(np.ones((4, 4)))), b"\0" * 8))
    head = _frame.MAGIC + bytes([_frame.VERSION]) + b"\x82\x00" + data[_frame.TABLE + 1 :]
    refused(tmp_path, head, "shortest form")


def test_sections_of_an_unknown_kind(tmp_path):
    file = sections(linear(Dense(np.ones((4, 4)))), b"\0" * 8)
    file[1] = _frame.Section(99, 1, file[1].data)
    refused(tmp_path, _frame.join(file), "not a network and its weights")


def test_names_are_data_and_are_never_followed(tmp_path, monkeypatch):
    """Paths, format strings and control characters in names come back as they are, and touch nothing."""
    names = ("../../etc/passwd", "{0.__class__}", "%s%n", "a\0b", "<script>alert(1)</script>", "\u202egnp.exe")
    book = Codebook(np.array([1.0]), np.ones((6, 4), int))
    monkeypatch.chdir(tmp_path)
    write("names.pare", Contents(valid(linear(book)), None, names, {names[0]: names[1]}))
    contents = read("names.pare")
    assert contents.classes == names
    assert contents.provenance == {names[0]: names[1]}
    assert [p.name for p in tmp_path.iterdir()] == ["names.pare"]


def test_an_attribute_at_its_default_is_not_written(tmp_path):
    """One network, one byte string: the mask says which attributes differ from their defaults."""
    out = Writer()
    _network.write_graph(out, Graph({"x": (4,)}, [Node("a", "leaky_relu", ("x",), {"slope": 0.5})], ("a",)))
    default = Writer()
    default.real(OPS["leaky_relu"].attrs["slope"])
    other = Writer()
    other.real(0.5)
    plain = bytes(out.data).replace(bytes(other.data), bytes(default.data))
    assert plain != bytes(out.data)
    refused(tmp_path, _frame.join([corruptions.network_section(plain + b"\0\0\0")]), "default")


READ_AND_TELL = """
import sys
from paring.container import read
read(sys.argv[1])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
@pytest.mark.parametrize("kind", ["sparse", "codebook", "dense"])
def test_the_largest_file_of_a_few_bytes_stays_within_256_megabytes(tmp_path, kind):
    """The worst that a valid file of a few hundred bytes can ask for: just under the cap, all zeros."""
    n = 8100
    form = {
        "sparse": lambda: Sparse(np.zeros((n, n), np.uint8), np.zeros(0)),
        "codebook": lambda: Codebook(np.ones(1), np.zeros((n, n), np.uint8)),
        "dense": lambda: Dense(np.zeros((5700, 5700)), bits=16),
    }[kind]()
    features = form.shape[1]
    path = tmp_path / "zeros.pare"
    assert write(path, Contents(valid(linear(form, features)))).total < 1000
    done = subprocess.run([sys.executable, "-c", READ_AND_TELL, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 256 << 10
