"""The model as an object: saved, pickled, copied, shared, closed, shown; and what it takes."""

import copy
import io
import multiprocessing
import pickle
import threading

import numpy as np
import pytest

from paring.container import Contents, read
from paring.errors import ArgumentError, DataError
from paring.forms import Dense, Sparse
from paring.graph import Graph, Node
from paring.image import Preparation
from paring.runtime import Model, load

CLASSES = ("cat", "dog", "eel", "fox")


def model(engine="native"):
    rng = np.random.default_rng(0)
    mask = rng.random((4, 8 * 8 * 3)) < 0.2
    weights = {
        "conv": Dense(rng.standard_normal((3, 3, 3, 3)).astype(np.float32)),
        "fc": Sparse(mask, rng.standard_normal(int(mask.sum())).astype(np.float32)),
    }
    nodes = [
        Node("c", "conv2d", ("x",), {"padding": (1, 1, 1, 1)}, {"weight": "conv"}),
        Node("flat", "flatten", ("c",)),
        Node("f", "linear", ("flat",), {}, {"weight": "fc"}),
    ]
    graph = Graph({"x": (8, 8, 3)}, nodes, ("f",), weights)
    preparation = Preparation(8, 8, 3, (0.5, 0.4, 0.3), (0.2, 0.2, 0.3))
    return Model(Contents(graph, preparation, CLASSES, {"recipe": "none"}), engine=engine)


def images(count=5, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def same(one, two):
    np.testing.assert_array_equal(one(images()), two(images()))
    assert (one.classes, one.preparation, one.provenance) == (two.classes, two.preparation, two.provenance)
    assert {k: form.kind for k, form in one.graph.weights.items()} == {k: f.kind for k, f in two.graph.weights.items()}


def test_save_keeps_the_forms(tmp_path):
    first = model()
    written = first.save(tmp_path / "a.pare")
    assert written.total == (tmp_path / "a.pare").stat().st_size
    same(first, load(tmp_path / "a.pare"))
    assert read(tmp_path / "a.pare").graph.weights["fc"].kind == "sparse"
    assert first.save(tmp_path / "b.pare", coding="huffman").coding == "huffman"


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_pickle_and_deep_copy(engine):
    first = model(engine)
    for second in (pickle.loads(pickle.dumps(first)), copy.deepcopy(first)):
        same(first, second)
        assert (second.engine is None) == (engine == "reference")
        assert second.graph is not first.graph


def _answers(given, sink):
    sink.send(given(images()))


def test_a_spawned_process_computes_the_same():
    first = model()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_answers, args=(first, there))
    process.start()
    assert here.poll(120)
    answers = here.recv()
    process.join(60)
    assert process.exitcode == 0
    np.testing.assert_array_equal(answers, first(images()))


def test_close_and_context_manager(tmp_path):
    with model() as first:
        first(images())
    first.close()
    with pytest.raises(ArgumentError, match=r"model is closed\. Load it again"):
        first(images())
    first.save(tmp_path / "a.pare")
    same(model(), load(tmp_path / "a.pare"))


def test_four_threads_share_one_model():
    first = model()
    batches = [images(1 + seed % 5, seed) for seed in range(40)]
    expected = [first(batch) for batch in batches]
    wrong, begin = [], threading.Barrier(4)

    def work(offset):
        begin.wait()
        for turn in range(100):
            number = (offset * 11 + turn) % len(batches)
            if not np.array_equal(first(batches[number]), expected[number]):
                wrong.append((offset, turn))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_shows_itself_in_a_notebook():
    page = model()._repr_html_()
    for words in ("8x8x3", "cat, dog, eel, fox", "1 dense, 1 sparse", "mean 0.5, 0.4, 0.3", "recipe"):
        assert words in page
    evil = model()
    evil.classes = ("<script>",)
    assert "<script>" not in evil._repr_html_()


def test_takes_bytes_files_and_folders(tmp_path):
    pil = pytest.importorskip("PIL.Image", reason="opens files with Pillow")
    first, pictures = model(), images(3)
    for number, picture in enumerate(pictures):
        pil.fromarray(picture).save(tmp_path / f"{number}.png")
    expected = first.classify(pictures)
    data = (tmp_path / "0.png").read_bytes()
    for one in (data, bytearray(data), memoryview(data), io.BytesIO(data), str(tmp_path / "0.png")):
        assert first.classify(one) == expected[:1]
    assert first.classify([data, io.BytesIO((tmp_path / "1.png").read_bytes())]) == expected[:2]
    assert first.classify(tmp_path) == expected
    with pytest.raises(DataError, match="bytes: file is not an image"):
        first.classify(b"no image")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="folder has no pictures"):
        first.classify(tmp_path / "empty")


def test_takes_tensors_and_loaders():
    torch = pytest.importorskip("torch")
    first, pixels = model(), images(6)
    prepared = np.stack([first.prepare(image) for image in pixels])
    expected = first(prepared)
    tensor = torch.from_numpy(prepared).permute(0, 3, 1, 2)
    labels = torch.arange(6) % 4
    pairs = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(tensor, labels), batch_size=4)
    for x in (tensor, tensor.double(), prepared.transpose(0, 3, 1, 2), pairs, iter([tensor[:2], tensor[2:]])):
        np.testing.assert_array_equal(first(x), expected)
    np.testing.assert_array_equal(first(tensor[0]), expected[:1])
    np.testing.assert_array_equal(first(torch.from_numpy(pixels).permute(0, 3, 1, 2)), expected)
    assert first(iter([{"image": tensor, "label": labels}])).shape == (6, 4)


@pytest.mark.parametrize("kind", ["arrays", "loader", "batches", "pixels"])
def test_evaluate(kind):
    first, pixels = model(), images(50)
    prepared = np.stack([first.prepare(image) for image in pixels])
    labels = np.random.default_rng(3).integers(0, 4, 50)
    data = {
        "arrays": (prepared, labels),
        "loader": [(prepared[:30], labels[:30]), (prepared[30:], labels[30:])],
        "batches": ({"image": prepared[i : i + 1], "label": labels[i : i + 1]} for i in range(50)),
        "pixels": (pixels, labels),
    }[kind]
    found = first.evaluate(data, size=7)
    scores = first(prepared).astype(np.float64)
    loss = np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(scores, labels, strict=True)])
    assert found["images"] == 50
    assert found["accuracy"] == pytest.approx(np.mean(scores.argmax(1) == labels))
    assert found["error"] == pytest.approx(1 - found["accuracy"])
    assert found["loss"] == pytest.approx(loss, rel=1e-6)


def test_what_cannot_be_evaluated():
    first, pixels = model(), images(2)
    with pytest.raises(ArgumentError, match="images without labels"):
        first.evaluate(pixels)
    with pytest.raises(DataError, match=r"label is out of range; found 0 \.\. 4; expected 0 \.\. 3"):
        first.evaluate((pixels, np.array([0, 4])))
    with pytest.raises(DataError, match="no images"):
        first.evaluate([])
    with pytest.raises(ArgumentError, match="labels do not fit the images"):
        first.evaluate([(pixels, np.zeros((2, 2)))])
