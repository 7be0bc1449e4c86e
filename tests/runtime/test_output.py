"""What a network's numbers are: found from its last operators, kept in the file, overridden, and used."""

import math

import numpy as np
import pytest

from paring.container import OUTPUTS, Contents, output_of, read, write
from paring.errors import ArgumentError, DataError
from paring.forms import Dense
from paring.graph import Graph, Node
from paring.image import Preparation
from paring.runtime import Model, load

Z = np.array([0.3, 0.2, -1.05], np.float32)  # sigmoids 0.574, 0.550, 0.259


def fixed(z=Z, ends=(), classes=(), output="", preparation=None):
    """A network that answers every image of 2x2x1 with the same numbers."""
    z = np.asarray(z, np.float32)
    nodes = [Node("flat", "flatten", ("x",)), Node("fc", "linear", ("flat",), {}, {"weight": "w", "bias": "b"})]
    for op in ends:
        nodes.append(Node(op, op, (nodes[-1].name,)))
    weights = {"w": Dense(np.zeros((len(z), 4), np.float32)), "b": Dense(z)}
    graph = Graph({"x": (2, 2, 1)}, nodes, (nodes[-1].name,), weights)
    return Contents(graph, preparation or Preparation(2, 2, 1, (0.0,), (1.0,)), classes, {}, output)


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


IMAGE = np.zeros((2, 2, 1), np.uint8)


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((), "logits"),
        (("relu",), "logits"),
        (("softmax",), "probabilities"),
        (("sigmoid",), "multi-label"),
        (("hard_sigmoid",), "multi-label"),
        (("tanh",), "regression"),
    ],
)
def test_found_from_the_last_operators(ends, shown):
    assert output_of(fixed(ends=ends).graph) == shown
    assert Model(fixed(ends=ends)).output == shown


def test_maps_boxes_and_single_numbers():
    assert output_of(Graph({"x": (4, 4, 3)}, [Node("r", "relu", ("x",))], ("r",))) == "map"
    nodes = [Node("s", "sigmoid", ("x",)), Node("t", "sigmoid", ("x",)), Node("c", "concat", ("x", "s"))]
    assert output_of(Graph({"x": (3,)}, nodes, ("c",))) == "regression"  # boxes beside scores
    nodes[2] = Node("c", "concat", ("s", "t"))
    assert output_of(Graph({"x": (3,)}, nodes, ("c",))) == "multi-label"
    assert Model(fixed(z=[2.0])).output == "regression"
    assert Model(fixed(z=[2.0], classes=("no", "yes"))).output == "logits"
    assert Model(fixed(z=[2.0], ends=("sigmoid",))).output == "multi-label"


def test_multi_label_heads_keep_their_probabilities():
    # the report: 0.576, 0.554, 0.264 became 0.37, 0.36, 0.27
    want = [("0", sigmoid(0.3)), ("1", sigmoid(0.2)), ("2", sigmoid(-1.05))]
    for contents in (
        fixed(ends=("sigmoid",)),
        fixed(output="multi-label"),
        fixed(ends=("sigmoid",), output="multi-label"),
    ):
        [best] = Model(contents).classify(IMAGE)
        assert [name for name, _ in best] == ["0", "1", "2"]
        np.testing.assert_allclose([p for _, p in best], [p for _, p in want], rtol=1e-6)


def test_softmax_once():
    want = np.exp(Z) / np.exp(Z).sum()
    for contents in (fixed(), fixed(ends=("softmax",)), fixed(output="logits")):
        np.testing.assert_allclose([p for _, p in Model(contents).classify(IMAGE)[0]], want, rtol=1e-6)
    given = Model(fixed(z=[0.5, 0.25, 0.25]), output="probabilities").classify(IMAGE)[0]
    np.testing.assert_allclose([p for _, p in given], [0.5, 0.25, 0.25], rtol=1e-6)


@pytest.mark.parametrize(
    "contents",
    [
        fixed(z=[2.0], classes=("no", "yes")),
        fixed(z=[2.0], ends=("sigmoid",), classes=("no", "yes")),
        fixed(z=[sigmoid(2.0)], classes=("no", "yes"), output="probabilities"),
    ],
)
def test_one_number_is_the_second_of_two_classes(contents):
    [best] = Model(contents).classify(IMAGE)
    assert [name for name, _ in best] == ["yes", "no"]
    np.testing.assert_allclose([p for _, p in best], [sigmoid(2), 1 - sigmoid(2)], rtol=1e-6)
    images, labels = np.zeros((4, 2, 2, 1), np.uint8), np.array([1, 1, 1, 0])
    found = Model(contents).evaluate((images, labels))
    assert found["accuracy"] == 0.75
    assert found["loss"] == pytest.approx(-(3 * math.log(sigmoid(2)) + math.log(1 - sigmoid(2))) / 4, rel=1e-6)
    with pytest.raises(DataError, match=r"0 \.\. 1"):
        Model(contents).evaluate((images, labels + 1))


def test_evaluates_many_labels():
    images, rows = np.zeros((2, 2, 2, 1), np.uint8), np.array([[1, 1, 0], [0, 1, 1]])
    for contents in (fixed(ends=("sigmoid",)), fixed(output="multi-label")):
        found = Model(contents).evaluate((images, rows))
        assert found["accuracy"] == pytest.approx(4 / 6)  # says 1, 1, 0
        p = np.array([sigmoid(z) for z in Z])
        assert found["loss"] == pytest.approx(float(-np.where(rows, np.log(p), np.log(1 - p)).mean()), rel=1e-6)
        assert Model(contents).evaluate((images, np.array([0, 1])))["accuracy"] == 0.5
    with pytest.raises(ArgumentError, match="labels do not fit"):
        Model(fixed()).evaluate((images, rows))


def test_numbers_are_no_classes():
    for model in (Model(fixed(ends=("tanh",))), Model(fixed(), output="regression")):
        with pytest.raises(ArgumentError, match=r"no classifier.*regression.*--output"):
            model.classify(IMAGE)
        with pytest.raises(ArgumentError, match="no classifier"):
            model.evaluate((IMAGE[None], np.array([0])))
    assert len(Model(fixed(z=[2.0]), output="logits").classify(IMAGE)[0]) == 2


def test_kept_in_the_file_and_absent_by_default(tmp_path):
    sizes = {}
    for output in ("", *OUTPUTS):
        contents = fixed(output=output)
        sizes[output] = write(tmp_path / "a.pare", contents).total
        assert read(tmp_path / "a.pare").output == output
        assert load(tmp_path / "a.pare").output == (output or "logits")
        contents.preparation = None
        write(tmp_path / "a.pare", contents)
        assert (read(tmp_path / "a.pare").output, read(tmp_path / "a.pare").preparation) == (output, None)
    assert all(size > sizes[""] for kind, size in sizes.items() if kind)
    Model(fixed(), output="multi-label").save(tmp_path / "b.pare")
    assert load(tmp_path / "b.pare").output == "multi-label"
    assert load(tmp_path / "b.pare", output="logits").output == "logits"
    for wrong in (lambda: load(tmp_path / "b.pare", output="scores"), lambda: write(tmp_path / "c", fixed(output="x"))):
        with pytest.raises(ArgumentError, match="unknown kind of output"):
            wrong()


def test_other_numbers_are_refused():
    from paring.container import _network
    from paring.container._bytes import Writer
    from paring.errors import FormatError

    plain, _ = _network.plain(fixed(output="map"))
    start = Writer()
    _network.write_graph(start, fixed().graph)
    at = len(start.data) + 1
    assert plain[at] == 5
    for number in (0, 6):
        with pytest.raises(FormatError):
            _network.read(plain[:at] + bytes([number]) + plain[at + 1 :], "test")
