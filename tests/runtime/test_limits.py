"""A small file cannot ask for much memory or time; the judges are counts by hand."""

import subprocess
import sys

import numpy as np
import pytest

import paring
from paring.container import Contents, write
from paring.errors import FormatError, GraphError
from paring.forms import Dense
from paring.graph import Graph, Node
from paring.image import Preparation
from paring.runtime import Engine, Limits
from paring.runtime._layout import _MAX_BY_SIZE, Buffer, _assign_by_size, _assign_by_time
from paring.runtime._limits import memory_of, work_of


def alone(op, shape, weights=None, **attrs):
    """A network of one node ``n``."""
    roles = {role: role for role in weights or {}}
    return Graph({"x": shape}, [Node("n", op, ("x",), attrs, roles)], ("n",), weights or {})


def long_lived(count):
    """``count`` values that are all alive at once."""
    nodes = [Node("relu" if i == 0 else f"relu_{i + 1}", "relu", ("x",)) for i in range(count)]
    for i in range(1, count):
        before = "relu" if i == 1 else nodes[-1].name
        nodes.append(Node("add" if i == 1 else f"add_{i}", "add", (before, nodes[i].name)))
    return Graph({"x": (4,)}, nodes, (nodes[-1].name,))


def file_of(tmp_path, graph, preparation=None):
    path = tmp_path / "small.pare"
    return path, write(path, Contents(graph, preparation)).total


@pytest.mark.parametrize(
    ("graph", "work"),
    [
        (alone("relu", (2, 3, 4)), 24 + 24),
        (alone("lrn", (2, 3, 4), size=3), 24 + 24 + 24 * 3),
        (alone("lrn", (2, 3, 4), size=1 << 30), 24 + 24 + 24 * 4),
        (alone("max_pool", (4, 4, 5), kernel=(2, 3), stride=(2, 1)), 80 + 2 * 2 * 5 + 2 * 2 * 5 * 6),
        (alone("adaptive_avg_pool", (5, 4, 3), size=(2, 2)), 60 + 12 + 12 * 4 * 3),
        (alone("conv2d", (4, 4, 2), {"weight": Dense(np.ones((6, 1, 3, 3)))}, groups=2), 32 + 24 + 24 * 9),
        (alone("linear", (7,), {"weight": Dense(np.ones((5, 7)))}), 7 + 5 + 35),
        (
            alone("conv_transpose2d", (2, 2, 3), {"weight": Dense(np.ones((3, 5, 2, 2)))}, stride=(2, 2)),
            12 + 80 + 4 * 3 * 5 * 4 + 16 * 4,
        ),
    ],
    ids=lambda value: value.nodes[0].op if isinstance(value, Graph) else "",
)
def test_work_is_what_a_hand_counts(graph, work):
    assert work_of(graph) == work


def test_memory_is_all_values_and_one_convolution_s_planes():
    assert memory_of(alone("relu", (2, 3, 4))) == 4 * 48
    graph = alone("conv2d", (16, 16, 4), {"weight": Dense(np.ones((16, 4, 3, 3)))}, padding=(1, 1, 1, 1))
    values = 16 * 16 * 4 + 16 * 16 * 16
    planes, lines, sums = 4 * 3 * 1 * 18 * 16, 256 * 18, 16 * 271
    assert memory_of(graph) == 4 * (values + planes + lines + sums)


@pytest.mark.parametrize(
    ("graph", "preparation", "says"),
    [
        (alone("lrn", (1, 1, 1 << 17), size=1 << 17), None, "too long"),
        (
            Graph({"x": (1 << 26,)}, [Node("a", "relu", ("x",)), Node("b", "tanh", ("a",))], ("b",)),
            None,
            "too much memory; found 805,306,368 bytes per image",
        ),
        (alone("global_avg_pool", (8192, 8192, 1)), Preparation(8192, 8192, 1, (0.0,), (1.0,)), "too much memory"),
        (alone("max_pool", (4096, 4096, 1), kernel=(2048, 2048)), None, "too long"),
        (alone("conv2d", (2000, 2000, 1), {"weight": Dense(np.zeros((1, 1, 1000, 1000)))}), None, "too long"),
    ],
    ids=["lrn", "maps", "picture", "pool", "conv"],
)
def test_a_small_file_of_a_large_cost_is_refused_before_it_costs(tmp_path, graph, preparation, says):
    path, total = file_of(tmp_path, graph, preparation)
    assert total < 2000
    with pytest.raises(FormatError, match=says) as caught:
        paring.load(path)
    assert str(path) in str(caught.value)
    assert "limits=None" in str(caught.value)
    assert paring.read(path).graph.shapes == graph.shapes  # reading costs what is in the file, and is not refused


def test_limits_can_be_raised_and_lifted(tmp_path):
    path, total = file_of(tmp_path, alone("relu", (1 << 10,)))
    need = 2 * 4 << 10
    for limits in (None, Limits(), Limits(memory=need, memory_per_byte=0), Limits(memory=0, memory_per_byte=need)):
        assert paring.load(path, limits=limits).input_shape == (1 << 10,)
    with pytest.raises(FormatError, match=f"found {need:,} bytes per image; expected at most {need - 1:,} for a file"):
        paring.load(path, limits=Limits(memory=need - 1, memory_per_byte=0))
    with pytest.raises(FormatError, match="too long; found 2,048 operations"):
        paring.load(path, limits=Limits(work=2047, work_per_byte=0))
    assert paring.load(path, limits=Limits(work=2048 - total, work_per_byte=1)).input_shape == (1 << 10,)


def test_inputs_have_the_cap_of_every_value():
    assert alone("global_avg_pool", (1 << 13, 1 << 13, 2)).shapes["n"] == (2,)
    for shape in ((1 << 31, 1 << 31, 2), ((1 << 27) + 1,)):
        with pytest.raises(GraphError, match="x: value is too large"):
            alone("relu", shape)


STRIDES = """
import sys, resource
import numpy as np
import paring
model = paring.load(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
answer = model(np.ones((1, *model.input_shape), np.float32))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, *answer.ravel())
"""


@pytest.mark.parametrize(
    "attrs",
    [
        {"stride": (1 << 30, 1 << 30)},
        {"stride": (60_000, 60_000), "dilation": (50_000, 50_000), "padding": (50_000,) * 4},
        {"stride": (1, 65_000), "dilation": (1, 65_000), "padding": (0, 0, 65_000, 65_000)},
    ],
)
def test_strides_and_dilations_do_not_make_planes_of_any_size(tmp_path, attrs):
    weight = np.zeros((1, 1, 3, 3))
    weight[0, 0, 0, 0] = weight[0, 0, 1, 1] = 1
    path, total = file_of(tmp_path, alone("conv2d", (8, 8, 1), {"weight": Dense(weight)}, **attrs))
    assert total < 200
    done = subprocess.run([sys.executable, "-c", STRIDES, path], capture_output=True, text=True, check=True)
    grown, first, *_ = map(float, done.stdout.split())
    assert grown < 64 << 10  # KiB
    assert first == (2.0 if "dilation" not in attrs else 1.0)


def test_as_many_values_alive_at_once_as_a_file_may_have_are_soon_placed():
    """Each was compared with all before it: minutes for these, a good second now."""
    buffers = [Buffer(1 + i % 7, i, last=(1 << 16) + i % 5) for i in range(1 << 16)]
    assert _assign_by_time(buffers) == 16 << 16


def test_a_network_of_many_values_alive_at_once():
    count = _MAX_BY_SIZE + 1
    assert Engine(long_lived(count)).run(np.float32([[1, -1, 2, 0]])).tolist() == [[count, 0, 2 * count, 0]]


@pytest.mark.parametrize("assign", [_assign_by_size, _assign_by_time])
def test_no_two_buffers_alive_at_one_time_overlap(assign):
    random = np.random.default_rng(3)
    for _ in range(30):
        buffers = []
        for _ in range(60):
            first = int(random.integers(0, 50))
            buffers.append(Buffer(int(random.integers(1, 200)), first, last=first + int(random.integers(0, 12))))
        arena = assign(buffers)
        assert arena <= sum(buffer.size + 15 for buffer in buffers)
        for a in buffers:
            assert a.offset + a.size <= arena
            assert a.offset % 16 == 0
            for b in buffers:
                apart = a.last < b.first or b.last < a.first
                assert a is b or apart or a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
