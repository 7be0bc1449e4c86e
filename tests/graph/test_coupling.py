"""Couplings on graphs made by hand, against classes worked out on paper."""

import numpy as np
import pytest

from paring.errors import GraphError
from paring.forms import Codebook, Dense
from paring.graph import Graph, Node, couplings, remove_channels
from paring.runtime import reference

RANDOM = np.random.default_rng(0)


def dense(*shape):
    return Dense(RANDOM.standard_normal(shape).astype(np.float32))


def conv(name, source, made, read, groups=1, kernel=1):
    """(node, its weights): a convolution with bias that keeps the map's size."""
    weights = {f"{name}.weight": dense(made, read // groups, kernel, kernel), f"{name}.bias": dense(made)}
    pad = kernel // 2
    attrs = {"groups": groups, "padding": (pad,) * 4}
    return Node(name, "conv2d", (source,), attrs, {"weight": f"{name}.weight", "bias": f"{name}.bias"}), weights


def graph_of(channels, *parts, outputs, side=3):
    nodes, weights = [], {}
    for part in parts:
        node, own = part if isinstance(part, tuple) else (part, {})
        nodes.append(node)
        weights |= own
    return Graph({"x": (side, side, channels)}, nodes, outputs, weights)


def same(coupled, *pieces):
    """Whether these vectors of classes are equal entry by entry."""
    return all(np.array_equal(pieces[0], piece) for piece in pieces[1:])


def test_a_chain_couples_what_one_makes_and_the_next_reads():
    graph = graph_of(2, conv("a", "x", 3, 2), Node("r", "relu", ("a",)), conv("b", "r", 4, 3), outputs=("b",))
    c = couplings(graph)
    assert same(c, c.axes["a.weight", 0], c.axes["a.bias", 0], c.axes["b.weight", 1], c.values["r"])
    assert len(set(c.axes["a.weight", 0].tolist())) == 3
    assert set(c.fixed) == set(c.values["x"].tolist()) | set(c.values["b"].tolist())
    assert c.makers == (("a.weight", 0), ("b.weight", 0))
    assert c.layers == {"a.weight": "a", "b.weight": "b"}


def test_an_addition_joins_its_operands():
    graph = graph_of(
        2, conv("a", "x", 3, 2), conv("b", "a", 3, 3), Node("s", "add", ("a", "b")), conv("c", "s", 2, 3),
        outputs=("c",),
    )  # fmt: skip
    c = couplings(graph)
    assert same(c, c.axes["a.weight", 0], c.axes["b.weight", 0], c.axes["b.weight", 1], c.axes["c.weight", 1])


def test_a_gate_goes_with_its_channel_and_a_mask_does_not():
    graph = graph_of(
        2, conv("a", "x", 4, 2), Node("g", "global_avg_pool", ("a",)),
        (Node("f", "linear", ("g",), {}, {"weight": "f.weight"}), {"f.weight": dense(4, 4)}),
        Node("m", "mul", ("a", "f")), conv("k", "x", 1, 2), Node("n", "mul", ("m", "k")), conv("c", "n", 2, 4),
        outputs=("c",),
    )  # fmt: skip
    c = couplings(graph)
    assert same(c, c.axes["a.weight", 0], c.axes["f.weight", 0], c.axes["f.weight", 1], c.axes["c.weight", 1])
    assert "applies it to every channel" in c.fixed[int(c.axes["k.weight", 0][0])]


def test_concat_slice_and_pad_move_classes():
    graph = graph_of(
        2, conv("a", "x", 2, 2), conv("b", "x", 3, 2), Node("k", "concat", ("a", "b")),
        Node("s", "slice_channels", ("k",), {"start": 1, "stop": 4}), Node("p", "pad", ("s",), {"channels": (1, 2)}),
        conv("c", "p", 2, 6), outputs=("c",),
    )  # fmt: skip
    c = couplings(graph)
    a, b, read = c.axes["a.weight", 0], c.axes["b.weight", 0], c.axes["c.weight", 1]
    assert same(c, c.values["k"], np.concatenate([a, b]))
    assert read[1:4].tolist() == [a[1], b[0], b[1]]
    assert len({*read.tolist(), *a.tolist(), *b.tolist()}) == 8


def test_a_shuffle_couples_positions_of_groups():
    graph = graph_of(
        2, conv("a", "x", 6, 2), Node("s", "channel_shuffle", ("a",), {"groups": 2}), conv("b", "s", 2, 6),
        outputs=("b",),
    )  # fmt: skip
    c = couplings(graph)
    a = c.axes["a.weight", 0]
    assert a[:3].tolist() == a[3:].tolist()
    # viewed as 2 x 3 and transposed: channels 0 3 1 4 2 5
    assert c.axes["b.weight", 1].tolist() == [a[0], a[3], a[1], a[4], a[2], a[5]]


def test_groups_and_depthwise():
    graph = graph_of(
        4, conv("a", "x", 6, 4), conv("g", "a", 4, 6, groups=2), conv("d", "g", 8, 4, groups=4, kernel=3),
        conv("e", "d", 2, 8), outputs=("e",),
    )  # fmt: skip
    c = couplings(graph)
    a, g = c.axes["a.weight", 0], c.axes["g.weight", 0]
    assert a[:3].tolist() == a[3:].tolist() == c.axes["g.weight", 1].tolist()
    assert g[:2].tolist() == g[2:].tolist()
    assert c.axes["d.weight", 0].tolist() == np.repeat(g, 2).tolist()
    assert ("d.weight", 1) not in c.axes


@pytest.mark.parametrize("order", ["chw", "hwc"])
def test_flatten_makes_columns(order):
    graph = graph_of(
        2, conv("a", "x", 3, 2), Node("f", "flatten", ("a",), {"order": order}),
        (Node("l", "linear", ("f",), {}, {"weight": "l.weight"}), {"l.weight": dense(2, 12)}),
        outputs=("l",), side=2,
    )  # fmt: skip
    c = couplings(graph)
    a = c.axes["a.weight", 0].tolist()
    columns = np.array([[[a[channel] for channel in range(3)] for _ in range(2)] for _ in range(2)])  # (h, w, c)
    expected = columns.transpose(2, 0, 1) if order == "chw" else columns
    assert c.axes["l.weight", 1].tolist() == expected.ravel().tolist()


def test_a_weight_that_two_layers_read_couples_both():
    shared = {"w": dense(3, 3, 1, 1)}
    one = Node("one", "conv2d", ("a",), {}, {"weight": "w"})
    two = Node("two", "conv2d", ("one",), {}, {"weight": "w"})
    graph = graph_of(2, conv("a", "x", 3, 2), (one, shared), two, conv("b", "two", 2, 3), outputs=("b",))
    c = couplings(graph)
    assert same(c, c.axes["a.weight", 0], c.axes["w", 0], c.axes["w", 1], c.axes["b.weight", 1])


@pytest.mark.parametrize("node", [Node("m", "lrn", ("a",)), Node("m", "softmax", ("a",))])
def test_what_mixes_channels_is_left(node):
    graph = graph_of(2, conv("a", "x", 3, 2), node, conv("b", "m", 2, 3), outputs=("b",))
    c = couplings(graph)
    reason = f"is read by m, a {node.op}, which mixes channels"
    assert {c.fixed[one] for one in c.axes["a.weight", 0].tolist()} == {reason}
    assert all(one in c.fixed for one in c.axes["b.weight", 1].tolist())


def test_removed_channels_leave_every_count_right():
    graph = graph_of(
        2, conv("a", "x", 4, 2), conv("d", "a", 4, 4, groups=4, kernel=3),
        Node("p", "pad", ("d",), {"channels": (2, 1)}),
        Node("s", "slice_channels", ("p",), {"start": 1, "stop": 6}), conv("b", "s", 2, 5), outputs=("b",),
    )  # fmt: skip
    c = couplings(graph)
    keep = np.ones(c.count, bool)
    keep[c.axes["a.weight", 0][[1, 3]]] = False
    keep[c.values["p"][1]] = False
    smaller, kept = remove_channels(graph, c, keep)
    nodes = {node.name: node.attrs for node in smaller.nodes}
    assert (nodes["d"]["groups"], nodes["p"]["channels"]) == (2, (1, 1))
    assert (nodes["s"]["start"], nodes["s"]["stop"]) == (1, 3)
    assert {name: {axis: p.tolist() for axis, p in axes.items()} for name, axes in kept.items()} == {
        "a.weight": {0: [0, 2]}, "a.bias": {0: [0, 2]}, "d.weight": {0: [0, 2]}, "d.bias": {0: [0, 2]},
        "b.weight": {1: [1, 3]},
    }  # fmt: skip
    x = RANDOM.standard_normal((2, 3, 3, 2)).astype(np.float32)
    weights = dict(graph.weights)
    for name, places in (("d.weight", [1, 3]), ("d.bias", [1, 3])):
        array = weights[name].dense().copy()
        array[places] = 0
        weights[name] = Dense(array)
    zeroed = Graph(dict(graph.inputs), list(graph.nodes), graph.outputs, weights)
    np.testing.assert_allclose(reference.run(smaller, x), reference.run(zeroed, x), rtol=1e-5, atol=1e-6)


def test_cuts_that_cannot_be():
    graph = graph_of(2, conv("a", "x", 3, 2), conv("b", "a", 2, 3), outputs=("b",))
    c = couplings(graph)
    keep = np.ones(c.count, bool)
    keep[c.values["x"][0]] = False
    with pytest.raises(GraphError, match="input of the network"):
        remove_channels(graph, c, keep)
    keep = np.ones(c.count, bool)
    keep[c.axes["a.weight", 0]] = False
    with pytest.raises(GraphError, match="no channel would be left"):
        remove_channels(graph, c, keep)
    keep[c.axes["a.weight", 0][0]] = True
    book = Codebook.from_assignment(np.float32([0, 1]), np.ones(graph.weights["a.weight"].shape, np.int64), 32)
    graph = graph.with_weights({"a.weight": book})
    with pytest.raises(GraphError, match="no longer dense"):
        remove_channels(graph, c, keep)
