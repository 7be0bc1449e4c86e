import numpy as np
import pytest

from paring.errors import ArgumentError
from paring.forms import Codebook, Dense, Sparse
from paring.graph import Graph, Node
from paring.report import NodeTime
from paring.report._network import BINS, form_name, fused, graph_nodes, histograms, layers
from tests.report import examples


def tied() -> Graph:
    weights = {"w": Dense(np.eye(4)), "b": Dense(np.zeros(4))}
    nodes = [
        Node("first", "linear", ("x",), {}, {"weight": "w", "bias": "b"}),
        Node("second", "linear", ("first",), {}, {"weight": "w"}),
    ]
    return Graph({"x": (4,)}, nodes, ("second",), weights)


def test_layers_add_up_to_the_network():
    graph, _ = examples.lenet()
    rows = layers(graph, dict.fromkeys(graph.weights, 10))
    assert [row.name for row in rows] == ["conv1", "conv2", "fc1", "fc2"]
    assert [row.weights for row in rows] == [520, 25_050, 400_500, 5_010]
    assert sum(row.before for row in rows) == 4 * 431_080
    assert [row.after for row in rows] == [20] * 4
    dense = {name: form.dense() for name, form in graph.weights.items()}
    for row in rows:
        assert row.kept == sum(int((array != 0).sum()) for name, array in dense.items() if name.startswith(row.name))


def test_a_shared_weight_is_counted_once():
    rows = layers(tied(), {"w": 7, "b": 1})
    assert [(row.name, row.weights, row.after) for row in rows] == [("first", 20, 8)]
    assert [node.weights for node in graph_nodes(tied())] == [0, 20, 0]
    assert len(histograms(tied())) == 1


def test_nodes_have_shapes_and_words_for_their_attributes():
    graph, _ = examples.lenet()
    nodes = {node.name: node for node in graph_nodes(graph)}
    assert nodes["image"].op == "input"
    assert nodes["conv1"].shape == (24, 24, 20)
    assert nodes["conv1"].detail == "5×5"
    assert nodes["pool2"].detail == "kernel 2, stride 2"
    assert nodes["fc2"].output
    assert sum(node.weights for node in nodes.values()) == 431_080


def naive(values, gone, low, high, bins):
    kept, pruned = [0] * bins, [0] * bins
    step = (high - low) / bins
    for value, dead in zip(values.ravel(), gone.ravel(), strict=True):
        i = min(max(int((float(value) - low) / step), 0), bins - 1)
        (pruned if dead else kept)[i] += 1
    return kept, pruned


@pytest.mark.parametrize("kept", [0.1, 0.5])
def test_bins_count_the_weights_before_by_what_became_of_them(kept):
    rng = np.random.default_rng(3)
    before = rng.normal(0.1, 0.2, (40, 30)).astype(np.float32)
    form = examples.share(before, kept, 9)
    graph = Graph({"x": (30,)}, [Node("fc", "linear", ("x",), {}, {"weight": "w"})], ("fc",), {"w": form})
    (data,) = histograms(graph, {"w": before})
    assert data.baseline
    assert data.low <= before.min() <= before.max() <= data.high
    assert len(data.kept) <= BINS + 1
    assert (list(data.kept), list(data.pruned)) == naive(before, form.dense() == 0, data.low, data.high, len(data.kept))
    assert data.centroids == tuple(form.centroids.tolist())
    assert data.pruned_share == pytest.approx(1 - kept, abs=0.01)
    assert data.weights == before.size


def test_without_a_baseline_the_files_own_weights_are_counted():
    weight = np.array([[0, 0, 1.0], [0, -2.0, 1.0]], np.float32)
    graph = Graph(
        {"x": (3,)},
        [Node("fc", "linear", ("x",), {}, {"weight": "w"})],
        ("fc",),
        {"w": Sparse.from_dense(weight)},
    )
    (data,) = histograms(graph)
    assert not data.baseline
    assert (sum(data.kept), sum(data.pruned)) == (3, 3)
    assert data.centroids == ()


@pytest.mark.parametrize("values", [[[0.0, 0.0]], [[5.0, 5.0]], [[np.nan, 1.0]], [[np.inf, 1.0]], [[1e-45, 0.0]]])
def test_degenerate_weights_make_a_histogram(values):
    graph = Graph({"x": (2,)}, [Node("fc", "linear", ("x",), {}, {"weight": "w"})], ("fc",), {"w": Dense(values)})
    (data,) = histograms(graph)
    assert data.low < data.high
    assert data.weights == np.isfinite(values).sum()


def test_a_baseline_of_another_shape_is_refused():
    graph, before = examples.lenet()
    before["fc1.weight"] = before["fc1.weight"].T
    with pytest.raises(ArgumentError, match=r"fc1\.weight"):
        histograms(graph, before)


def test_a_codebook_without_a_centroid_makes_a_histogram():
    form = Codebook(np.zeros(0, np.float32), np.zeros((2, 3), np.uint8))
    graph = Graph({"x": (3,)}, [Node("fc", "linear", ("x",), {}, {"weight": "w"})], ("fc",), {"w": form})
    (data,) = histograms(graph, {"w": np.ones((2, 3), np.float32)})
    assert (sum(data.kept), sum(data.pruned)) == (0, 6)


def test_fused_nodes_go_to_the_step_that_reads_them():
    graph, _ = examples.lenet()
    steps = [NodeTime(name, "", 1.0, "k") for name in ("conv1", "pool1", "pool2", "relu", "fc2")]
    found = fused([*steps, NodeTime("copy", "reorder", 0.5)], graph)
    assert [(step.name, step.op) for step in found] == [
        ("conv1", "conv2d"),
        ("pool1", "max_pool"),
        ("conv2", "conv2d + max_pool"),
        ("fc1", "flatten + linear + relu"),
        ("fc2", "linear"),
        ("copy", "reorder"),
    ]
    assert sum(step.median for step in found) == 5.5


def test_forms_in_words():
    assert form_name(Dense(np.zeros(3), 16)) == "dense, 16 bits"
    assert form_name(Codebook(np.array([1.0, 2.0]), np.array([0, 1]))) == "codebook of 2, 32 bits"
