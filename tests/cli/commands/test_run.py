import json

import numpy as np
import pytest

from paring.container import write
from tests.cli.examples import digits, naive_scores
from tests.runtime.test_output import IMAGE, Z, fixed, sigmoid

PIL = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, digits(3, 9)[0], strict=True):
        PIL.fromarray(image).save(path)
    return paths


def test_probabilities_are_the_softmax_of_a_naive_loop(paring, pare, images):
    code, out, err = paring("run", pare, *images, "--json", "--top", 3)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [row["image"] for row in found] == [str(path) for path in images]
    scores = naive_scores(digits(3, 9)[0])
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    for row, expected in zip(found, probabilities, strict=True):
        best = np.argsort(-expected)[:3]
        assert [entry["class"] for entry in row["classes"]] == [str(c) for c in best]
        assert [entry["probability"] for entry in row["classes"]] == pytest.approx(expected[best].tolist(), rel=1e-4)


def test_table(paring, pare, images):
    code, out, _ = paring("run", pare, images[0])
    assert code == 0
    assert len(out.splitlines()) == 6
    assert str(images[0]) in out.splitlines()[1]


def test_mistakes(paring, pare, images, tmp_path):
    (tmp_path / "bad.png").write_bytes(images[0].read_bytes()[:60])
    (tmp_path / "text.png").write_text("not an image")
    for words, code, message in [
        ([images[0], tmp_path / "bad.png"], 3, "bad.png: image cannot be read"),
        ([tmp_path / "text.png"], 3, "text.png: file is not an image"),
        ([tmp_path / "none.png"], 3, "none.png: image does not exist"),
        ([images[0], "--top", 0], 2, "--top: invalid number"),
        ([], 2, "Missing argument"),
    ]:
        found, out, err = paring("run", pare, *words)
        assert (found, out) == (code, ""), words
        assert message in err
    code, out, err = paring("run", images[0], images[0])
    assert (code, out) == (4, "")


def test_what_the_answers_are(paring, tmp_path):

    def run(*words):
        code, out, err = paring(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    for label in ("no", "yes"):
        for split in ("train", "test"):
            (tmp_path / "set" / split / label).mkdir(parents=True)
            for number in range(2):
                PIL.fromarray(IMAGE[..., 0]).save(tmp_path / "set" / split / label / f"{number}.png")
    picture = tmp_path / "set" / "test" / "no" / "0.png"
    write(tmp_path / "one.pare", fixed(z=[2.0], classes=("no", "yes")))
    write(tmp_path / "many.pare", fixed(ends=("sigmoid",)))
    [row] = run("run", tmp_path / "many.pare", picture)
    np.testing.assert_allclose([c["probability"] for c in row["classes"]], [sigmoid(z) for z in Z], rtol=1e-6)
    [row] = run("run", tmp_path / "many.pare", picture, "--output", "regression")
    np.testing.assert_allclose(row["numbers"], [sigmoid(z) for z in Z], rtol=1e-6)
    [row] = run("run", tmp_path / "one.pare", picture)
    assert [c["class"] for c in row["classes"]] == ["yes", "no"]
    found = run("eval", tmp_path / "one.pare", "--data", f"imagefolder:{tmp_path / 'set'}")
    assert (found["wrong"], found["images"]) == (2, 4)
    assert run("inspect", tmp_path / "many.pare")["answers"] == "multi-label"
