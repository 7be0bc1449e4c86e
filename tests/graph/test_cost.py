import numpy as np
import pytest

from paring.forms import Codebook, Dense
from paring.graph import Graph, Node, cost, entropy_bytes, packed_bytes


def lenet_5_caffe() -> Graph:
    rng = np.random.default_rng(0)

    def dense(*shape):
        return Dense(rng.normal(size=shape).astype(np.float32))

    weights = {
        "conv1.weight": dense(20, 1, 5, 5),
        "conv1.bias": dense(20),
        "conv2.weight": dense(50, 20, 5, 5),
        "conv2.bias": dense(50),
        "fc1.weight": dense(500, 800),
        "fc1.bias": dense(500),
        "fc2.weight": dense(10, 500),
        "fc2.bias": dense(10),
    }

    def layer(name, op, source):
        return Node(name, op, (source,), {}, {"weight": f"{name}.weight", "bias": f"{name}.bias"})

    pool = {"kernel": (2, 2), "stride": (2, 2)}
    nodes = [
        layer("conv1", "conv2d", "x"),
        Node("pool1", "max_pool", ("conv1",), pool),
        layer("conv2", "conv2d", "pool1"),
        Node("pool2", "max_pool", ("conv2",), pool),
        Node("flat", "flatten", ("pool2",)),
        layer("fc1", "linear", "flat"),
        Node("relu", "relu", ("fc1",)),
        layer("fc2", "linear", "relu"),
    ]
    return Graph({"x": (28, 28, 1)}, nodes, ("fc2",), weights)


def test_lenet_5_to_the_unit():
    table = {row.name: row for row in cost(lenet_5_caffe()).rows}
    assert {n: table[n].parameters for n in ("conv1", "conv2", "fc1", "fc2")} == {
        "conv1": 520,
        "conv2": 25_050,
        "fc1": 400_500,
        "fc2": 5_010,
    }
    assert [table[n].macs for n in ("conv1", "conv2", "fc1", "fc2")] == [288_000, 1_600_000, 400_000, 5_000]
    total = cost(lenet_5_caffe())
    assert (total.parameters, total.macs) == (431_080, 2_293_000)
    assert total.total("dense_bytes") == total.total("packed_bytes") == 1_724_320


def test_peak_memory_by_hand():
    """conv1 reads 784 and makes 11,520; pool1 reads those and makes 2,880; conv2 2,880 and 3,200; ..."""
    total = cost(lenet_5_caffe())
    expected = [784 + 11_520, 11_520 + 2_880, 2_880 + 3_200, 3_200 + 800, 1_600, 800 + 500, 500, 500 + 10]
    assert [row.live_bytes // 4 for row in total.rows] == expected
    assert total.peak_bytes == 4 * 14_400
    assert cost(lenet_5_caffe(), activation_bytes=1).peak_bytes == 14_400


def test_a_shortcut_keeps_its_value_alive():
    nodes = [
        Node("a", "relu", ("x",)),
        Node("b", "sigmoid", ("a",)),
        Node("c", "tanh", ("b",)),
        Node("d", "add", ("c", "a")),
        Node("unread", "relu", ("d",)),
    ]
    rows = cost(Graph({"x": (10,)}, nodes, ("d",))).rows
    # a overwrites x; b must not overwrite a, c overwrites b, d overwrites c; then an answer nobody reads
    assert [row.live_bytes // 4 for row in rows] == [10, 20, 20, 20, 20]


def test_a_live_set_simulated_naively():
    """The same peak by keeping the actual set of values, on a branching graph without in-place operators."""
    nodes = [
        Node("p", "max_pool", ("x",)),
        Node("q", "avg_pool", ("x",)),
        Node("r", "max_pool", ("q",), {"kernel": (2, 2), "stride": (2, 2)}),
        Node("s", "concat", ("p", "q")),
        Node("t", "global_avg_pool", ("s",)),
        Node("u", "global_avg_pool", ("r",)),
        Node("v", "concat", ("t", "u")),
    ]
    graph = Graph({"x": (8, 8, 3)}, nodes, ("v",))
    shapes = graph.shapes
    held, naive = {"x"}, []
    for i, node in enumerate(graph.nodes):
        held.add(node.name)
        naive.append(sum(4 * int(np.prod(shapes[n])) for n in held))
        later = {n for other in graph.nodes[i + 1 :] for n in other.inputs} | set(graph.outputs)
        held &= later
    assert [row.live_bytes for row in cost(graph).rows] == naive


def test_shared_weights_count_once_but_work_twice():
    weights = {"w": Dense(np.ones((4, 4), np.float32))}
    nodes = [Node("a", "linear", ("x",), {}, {"weight": "w"}), Node("b", "linear", ("a",), {}, {"weight": "w"})]
    total = cost(Graph({"x": (4,)}, nodes, ("b",), weights))
    assert (total.parameters, total.macs) == (16, 32)
    assert [row.parameters for row in total.rows] == [16, 0]


def test_grouped_strided_convolution_against_a_loop():
    weights = {"w": Dense(np.ones((8, 3, 3, 2), np.float32))}
    attrs = {"groups": 2, "stride": (2, 1), "padding": (1, 1, 0, 1)}
    graph = Graph({"x": (7, 9, 6)}, [Node("c", "conv2d", ("x",), attrs, {"weight": "w"})], ("c",), weights)
    height, width, _ = graph.shapes["c"]
    loop = 0
    for _ in range(height):
        for _ in range(width):
            for _ in range(8):  # every filter reads its group's 3 channels in a 3x2 window
                loop += 3 * 3 * 2
    assert cost(graph).macs == loop


def test_zeros_do_not_multiply():
    values = np.ones((4, 2, 1, 1), np.float32)
    values[:3] = 0
    graph = Graph({"x": (5, 5, 2)}, [Node("c", "conv2d", ("x",), {}, {"weight": "w"})], ("c",), {"w": Dense(values)})
    total = cost(graph)
    assert (total.macs, total.total("nonzero_macs")) == (200, 50)


def test_bytes_of_a_codebook():
    rng = np.random.default_rng(3)
    indices = rng.choice(4, size=(50, 40), p=[0.7, 0.1, 0.1, 0.1])
    form = Codebook(np.array([-0.5, 0.25, 0.5], np.float32), indices)
    streams = {s.spec.name: s for s in form.streams()}
    symbols = next(s for s in streams.values() if s.spec.alphabet)
    numbers = sum(s.values.nbytes for s in streams.values() if not s.spec.alphabet)
    bits = int(np.ceil(np.log2(symbols.spec.alphabet)))
    assert packed_bytes(form) == pytest.approx(2000 * bits / 8 + numbers, abs=1)
    counts = np.array([np.sum(symbols.values == v) for v in range(symbols.spec.alphabet)])
    share = counts[counts > 0] / 2000
    assert entropy_bytes(form) == int(np.ceil(-(share * np.log2(share)).sum() * 2000 / 8)) + numbers
    assert entropy_bytes(form) <= packed_bytes(form)
