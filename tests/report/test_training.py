import math
import re

import pytest

from paring.errors import CheckpointError
from paring.record import Training
from paring.report import render_training, write_training
from paring.report._curves import Curve, plot


def run(epochs=12, **changes):
    history = [
        {
            "epoch": e,
            "step": 100 * e,
            "train_loss": 2.0 / e,
            "lr": 0.1,
            "seconds": 3.0 * e,
            "images_per_second": 1234.0,
            "score": {"error": 0.5 / e + (e == epochs) * 0.01, "loss": 2.2 / e},
        }
        for e in range(1, epochs + 1)
    ]
    about = {"network": "<b>net</b>", "data": "mnist5k", "test set": "mnist5k", "test images": 1000, "command": "x --y"}
    return Training("net", {"lr": 0.1, "milestones": [0.5, 0.75]}, about, history, done=True, **changes)


def lines(page):
    """Of each drawing, the points of each line in its units."""
    found = []
    for drawing in re.findall(r'<svg class="curve".*?</svg>', page):
        paths = re.findall(r'class="mark line (\w+)" d="([^"]*)"', drawing)
        points = {kind: [tuple(map(float, p.split())) for p in re.findall(r"[ML]([\d. -]+)", d)] for kind, d in paths}
        found.append(points)
    return found


def test_the_page_shows_every_epoch_where_it_belongs():
    page = render_training(run())
    loss, error, lr = lines(page)
    assert set(loss) == {"before", "after"}
    assert len(loss["before"]) == len(error["after"]) == len(lr["after"]) == 12
    assert loss["before"][0][0] == pytest.approx(320 / 12, abs=0.1)
    assert loss["before"][-1][0] == pytest.approx(320)
    heights = [y for _, y in loss["before"]]
    assert heights == sorted(heights)  # down the page as the loss falls
    # a logarithmic axis from 0.1 to 10: the loss 2 stands at (log10 2 + 1) / 2 of its height
    assert loss["before"][0][1] == pytest.approx(140 * (1 - (math.log10(2) + 1) / 2), abs=0.1)
    for words in ("best 4.55", "after epoch 11", "5.17", "1,000 images of mnist5k", "&lt;b&gt;net", "x --y", "1,234"):
        assert words in page.replace("<wbr>", ""), words


def test_a_run_that_has_just_begun_or_stopped_is_a_page_too():
    assert "No epoch yet" in render_training(Training("net"))
    stopped = run(2)
    stopped.done = False
    stopped.history[-1]["step"] = 150
    assert "It has not come to its end" in render_training(stopped)
    assert lines(render_training(stopped))[0]["before"][0][0] == pytest.approx(320 / 1.5, abs=0.1)
    unscored = run(1)
    unscored.history[0]["score"], unscored.history[0]["train_loss"] = {}, None
    assert "Test error" not in render_training(unscored)


def test_gaps_and_lone_points_are_drawn_as_such():
    drawing = plot([Curve("after", "a", [(1, 1.0), (2, None), (3, math.nan), (4, 2.0), (5, 1.0)])], "l", "epoch", str)
    (path,) = re.findall(r'line after" d="([^"]*)"', drawing)
    assert re.findall("[A-Za-z]", path) == ["M", "M", "L"]
    assert 'd="M320.0 0.0h0"' in plot([Curve("after", "a", [(3, 1.0)])], "l", "epoch", str)


def test_a_folder_without_a_record_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no record of a training run"):
        write_training(tmp_path / "page.html", tmp_path)
    for text in ("{", '{"version": 9}', '{"version": 1, "titel": "x"}', "[]"):
        (tmp_path / "training.json").write_text(text)
        with pytest.raises(CheckpointError):
            write_training(tmp_path / "page.html", tmp_path)
    assert not (tmp_path / "page.html").exists()
    (tmp_path / "training.json").write_text(run().to_json())
    assert Training.load(tmp_path) == run()
    assert write_training(tmp_path / "page.html", tmp_path).read_text() == render_training(run())
