"""The model: images in, class names out."""

import numpy as np
import pytest

from paring.container import Contents
from paring.errors import ArgumentError, GraphError
from paring.forms import Dense
from paring.graph import Graph, Node
from paring.image import Preparation, prepare
from paring.runtime import Model, reference
from tests.runtime.cases import rand

PREPARATION = Preparation(6, 5, 3, (0.5, 0.4, 0.3), (0.2, 0.2, 0.3))
CLASSES = ("cat", "dog", "eel", "fox")


def contents(softmax=False, preparation=PREPARATION, classes=CLASSES):
    nodes = [Node("flat", "flatten", ("x",)), Node("fc", "linear", ("flat",), {}, {"weight": "w", "bias": "b"})]
    if softmax:
        nodes.append(Node("p", "softmax", ("fc",)))
    weights = {"w": Dense(rand(0, 4, 90) / 10), "b": Dense(rand(1, 4))}
    return Contents(
        Graph({"x": (6, 5, 3)}, nodes, (nodes[-1].name,), weights), preparation, classes, {"recipe": "none"}
    )


def images(count, *shape):
    return np.random.default_rng(2).integers(0, 256, (count, *(shape or (6, 5, 3))), dtype=np.uint8)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_takes_prepared_arrays_and_images(engine):
    model = Model(contents(), engine=engine)
    batch = images(3)
    prepared = np.stack([prepare(image, PREPARATION) for image in batch])
    expected = reference.run(model.graph, prepared)
    for x in (prepared, batch, list(batch)):
        np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-5)
    for x in (prepared[0], batch[0]):
        np.testing.assert_allclose(model(x), expected[:1], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model.prepare(batch[0]), prepared[0])
    assert model.provenance == {"recipe": "none"}


def test_takes_images_of_any_size_and_files(tmp_path):
    pil = pytest.importorskip("PIL.Image", reason="opens files with Pillow")
    model, picture = Model(contents()), images(1, 40, 30, 3)[0]
    pil.fromarray(picture).save(tmp_path / "a.png")
    expected = model(picture)
    assert expected.shape == (1, 4)
    for x in (tmp_path / "a.png", str(tmp_path / "a.png"), pil.fromarray(picture), [tmp_path / "a.png"]):
        np.testing.assert_array_equal(model(x), expected)
    np.testing.assert_array_equal(model([tmp_path / "a.png", picture]), np.repeat(expected, 2, axis=0))


def test_gray_batches():
    model = Model(contents())
    batch = images(7, 6, 5)
    np.testing.assert_array_equal(model(batch), model([*batch]))
    assert model(batch[0]).shape == (1, 4)


@pytest.mark.parametrize("softmax", [False, True])
def test_classify_names_the_best_classes(softmax):
    model, batch = Model(contents(softmax)), images(5)
    scores = Model(contents())(batch).astype(np.float64)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    answers = model.classify(batch, top=2)
    for row, answer in zip(probabilities, answers, strict=True):
        assert [name for name, _ in answer] == [CLASSES[i] for i in np.argsort(-row)[:2]]
        np.testing.assert_allclose([p for _, p in answer], np.sort(row)[::-1][:2], rtol=1e-5)
    assert len(model.classify(batch[0], top=99)[0]) == 4
    assert {name for name, _ in Model(contents(classes=())).classify(batch[0])[0]} == {"0", "1", "2", "3"}


def test_time_and_profile():
    model = Model(contents())
    timing = model.time(repeats=20, warmup=2, batch=3)
    assert 0 < timing.best <= timing.p10 <= timing.median <= timing.p90
    assert [step.name for step in model.profile(2)] == ["fc"]
    with pytest.raises(ArgumentError, match="only the native engine"):
        Model(contents(), engine="reference").profile()


def test_errors():
    model = Model(contents())
    with pytest.raises(ArgumentError, match="wrong type"):
        model(np.zeros((1, 6, 5, 3)))
    with pytest.raises(ArgumentError, match="wrong shape"):
        model(np.zeros((1, 5, 6, 3), np.float32))
    with pytest.raises(ArgumentError, match="not an image"):
        model(7)
    with pytest.raises(ArgumentError, match="empty"):
        model([])
    with pytest.raises(ArgumentError, match="top"):
        model.classify(images(1), top=0)
    with pytest.raises(ArgumentError, match="how to prepare"):
        Model(contents(preparation=None))(images(1))
    with pytest.raises(ArgumentError, match="unknown engine"):
        Model(contents(), engine="fast")
    with pytest.raises(GraphError, match="preparation does not fit"):
        Model(contents(preparation=Preparation(5, 6, 3, (0.0,) * 3, (1.0,) * 3)))
    two = contents()
    two.graph = two.graph.replaced(outputs=("fc", "flat"))
    with pytest.raises(GraphError, match="one output"):
        Model(two)


def test_channels_in_front_are_not_three_gray_pictures():
    picture = images(1)[0]
    with pytest.raises(ArgumentError, match=r"channels first.*uint8 \(3, 6, 5\).*transpose\(1, 2, 0\)"):
        Model(contents())(np.ascontiguousarray(picture.transpose(2, 0, 1)))
    gray = Preparation(6, 5, 1, (0.5,), (0.2,))
    graph = Graph({"x": (6, 5, 1)}, [Node("flat", "flatten", ("x",))], ("flat",), {})
    assert Model(Contents(graph, gray))(images(3, 6, 5)).shape == (3, 30)


def test_deep_pictures_are_read_by_the_file_s_white_level():
    pil = pytest.importorskip("PIL.Image", reason="opens files with Pillow")
    samples = np.random.default_rng(3).integers(0, 4096, (6, 5), dtype=np.uint16)
    preparation = Preparation(6, 5, 1, (0.5,), (0.2,), 0, 4095.0)
    graph = Graph({"x": (6, 5, 1)}, [Node("flat", "flatten", ("x",))], ("flat",), {})
    found = Model(Contents(graph, preparation)).prepare(pil.fromarray(samples))[..., 0]
    np.testing.assert_allclose(found, (samples / 4095 - 0.5) / 0.2, atol=0.5 / 255 / 0.2 + 1e-6)
