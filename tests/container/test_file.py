"""A `.pare` file gives back the network it was written from, and its table adds up to its length."""

import errno
import os
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paring.container import Contents, _file, _frame, _weights, inspect, read, write
from paring.container._bytes import Reader, Writer
from paring.errors import FormatError, OutputError
from paring.forms import Codebook, Dense, Sparse
from paring.graph import Graph, Node
from paring.image import Preparation


def contents():
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 9, (6, 1, 3, 3)) * (rng.random((6, 1, 3, 3)) < 0.4)
    weights = {
        "conv.weight": Codebook(np.array([-3, -2, -1, -0.5, 0.5, 1, 2, 3]), indices),
        "conv.bias": Dense(rng.normal(size=6), 16),
        "fc.weight": Sparse.from_dense(rng.normal(size=(4, 54)) * (rng.random((4, 54)) < 0.2)),
    }
    nodes = [
        Node(
            "conv",
            "conv2d",
            ("x",),
            {"stride": (2, 2), "padding": (0, 1, 0, 1)},
            {"weight": "conv.weight", "bias": "conv.bias"},
        ),
        Node("act", "leaky_relu", ("conv",), {"slope": 0.1}),
        Node("flat", "flatten", ("act",), {"order": "hwc"}),
        Node("fc", "linear", ("flat",), {}, {"weight": "fc.weight"}),
    ]
    graph = Graph({"x": (6, 6, 1)}, nodes, ("fc",), weights)
    return Contents(graph, Preparation(6, 6, 1, (0.1307,), (0.3,)), ("a", "b", "ç", "d"), {"b": "2", "a": "1"})


def test_operators_of_binary_and_transposed_layers_round_trip(tmp_path):
    weights = {"up.weight": Dense(np.arange(2 * 3 * 2 * 2.0).reshape(2, 3, 2, 2)), "up.bias": Dense(np.ones(6))}
    attrs = {"stride": (2, 3), "padding": (0, 1, 1, 0), "output_padding": (1, 0), "dilation": (1, 2), "groups": 2}
    nodes = [
        Node("s", "sign", ("x",)),
        Node("a", "abs", ("x",)),
        Node("k", "channel_mean", ("a",)),
        Node("m", "mul", ("s", "k")),
        Node("up", "conv_transpose2d", ("m",), attrs, {"weight": "up.weight", "bias": "up.bias"}),
    ]
    graph = Graph({"x": (3, 4, 2)}, nodes, ("up",), weights)
    shapes = graph.shapes
    write(tmp_path / "n.pare", Contents(graph))
    theirs = read(tmp_path / "n.pare").graph
    assert theirs.nodes == graph.nodes
    assert theirs.shapes == shapes
    assert shapes["up"] == (2 * 2 + 2 + 1 - 1, 3 * 3 + 2 + 1 - 1, 6)


@pytest.mark.parametrize("coding", ["adaptive", "huffman"])
def test_round_trip(tmp_path, coding):
    mine = contents()
    table = write(tmp_path / "n.pare", mine, coding)
    assert table.coding == coding
    theirs = read(tmp_path / "n.pare")
    assert theirs.graph.nodes == mine.graph.nodes
    assert (theirs.graph.inputs, theirs.graph.outputs) == (mine.graph.inputs, mine.graph.outputs)
    assert all(form.equals(theirs.graph.weights[name]) for name, form in mine.graph.weights.items())
    assert (theirs.preparation, theirs.classes, theirs.provenance) == (mine.preparation, mine.classes, mine.provenance)
    assert table.total == os.path.getsize(tmp_path / "n.pare")
    assert inspect(tmp_path / "n.pare") == table
    assert os.listdir(tmp_path) == ["n.pare"]


def small():
    return Contents(Graph({"x": (4,)}, [Node("a", "relu", ("x",))], ("a",)))


def test_a_network_without_weights(tmp_path):
    table = write(tmp_path / "n.pare", small())
    assert read(tmp_path / "n.pare").graph.weights == {}
    assert table.total == os.path.getsize(tmp_path / "n.pare")


@pytest.mark.parametrize("target", ["missing/n.pare", "folder"])
def test_a_place_that_cannot_be_written_is_one_error_and_leaves_nothing(tmp_path, target):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        write(tmp_path / target, small())
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(tmp_path / "folder") == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "n.pare"
    write(path, small())
    before = path.read_bytes()

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OutputError, match="No space left"):
        write(path, contents())
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["n.pare"]


def test_a_disk_that_forgets_is_found_out(tmp_path, monkeypatch):
    """What was written is read back and compared before success is reported."""
    real = _file.read_file
    monkeypatch.setattr(_file, "read_file", lambda path: real(path)[:-1] + b"?")
    with pytest.raises(OutputError, match="read back"):
        write(tmp_path / "n.pare", small())
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


def test_being_stopped_leaves_nothing(tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "n.pare", small())
    assert os.listdir(tmp_path) == []


def test_writing_does_not_touch_what_it_is_given(tmp_path):
    mine = contents()
    graph, provenance = mine.graph, dict(mine.provenance)
    write(tmp_path / "n.pare", mine)
    assert mine.graph is graph
    assert mine.provenance == provenance


def test_the_same_network_is_the_same_file(tmp_path):
    write(tmp_path / "a.pare", contents())
    write(tmp_path / "b.pare", read(tmp_path / "a.pare"))
    assert (tmp_path / "a.pare").read_bytes() == (tmp_path / "b.pare").read_bytes()


@pytest.mark.parametrize("coding", ["adaptive", "huffman"])
def test_any_flipped_bit_is_refused(tmp_path, coding):
    path = tmp_path / "n.pare"
    write(path, small() if coding == "huffman" else contents(), coding)
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        with pytest.raises(FormatError, match="byte"):
            read(path)


def test_any_cut_is_refused(tmp_path):
    path = tmp_path / "n.pare"
    write(path, contents())
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(FormatError, match="byte"):
            read(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FormatError, match="No such file"):
        read(tmp_path / "none.pare")


def test_large_networks_have_several_sections(tmp_path, monkeypatch):
    monkeypatch.setattr(_weights, "SECTION_SYMBOLS", 50)
    mine = contents()
    write(tmp_path / "n.pare", mine)
    assert len(_frame.split((tmp_path / "n.pare").read_bytes(), "n")) == 3
    theirs = read(tmp_path / "n.pare")
    assert all(form.equals(theirs.graph.weights[name]) for name, form in mine.graph.weights.items())


def test_shared_weights_and_explicit_names_travel(tmp_path):
    weight = Dense(np.eye(4))
    nodes = [Node(name, "linear", (source,), {}, {"weight": "tied"}) for name, source in (("a", "x"), ("b", "a"))]
    write(tmp_path / "n.pare", Contents(Graph({"x": (4,)}, nodes, ("b", "a"), {"tied": weight})))
    graph = read(tmp_path / "n.pare").graph
    assert [node.weights for node in graph.nodes] == [{"weight": "tied"}] * 2
    assert graph.outputs == ("b", "a")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_reals_and_numbers_come_back(data):
    reals = data.draw(st.lists(st.floats(allow_nan=False) | st.decimals(-9, 9, places=3).map(float), max_size=8))
    numbers = data.draw(st.lists(st.integers(0, (1 << 63) - 1), max_size=8))
    out = Writer()
    for value in reals:
        out.real(value)
    for number in numbers:
        out.number(number)
        out.signed(number // 2)
        out.signed(-(number // 2))
    source = Reader(bytes(out.data), "test")
    assert [struct.pack("d", source.real()) for _ in reals] == [struct.pack("d", value) for value in reals]
    for number in numbers:
        assert (source.number(), source.signed(), source.signed()) == (number, number // 2, -(number // 2))
    assert source.left == 0


def test_a_white_level_travels(tmp_path):
    given, plain = (replace(contents(), preparation=Preparation(6, 6, 1, (0.1,), (0.3,), 0, w)) for w in (4095.0, 0.0))
    sizes = [write(tmp_path / name, one).total for name, one in (("a", given), ("b", plain))]
    assert read(tmp_path / "a").preparation == given.preparation
    assert read(tmp_path / "b").preparation == plain.preparation
    assert sizes[0] > sizes[1]
