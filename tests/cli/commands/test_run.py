import json

import numpy as np
import pytest

from tests.cli.examples import digits, naive_scores

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
