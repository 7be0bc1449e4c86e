import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

WORDS = ["-m", "prune=50%,10%", "-m", "quantize=4", "--limit", "40", "-t", "1"]


@pytest.fixture
def command(paring, tiny, idx_folder, tmp_path):
    """``paring sensitivity`` on the user's own network; returns (code, out, err, folder)."""

    def run(*words, out="sens.json"):
        where = ["--data", f"mnist:{idx_folder}", "--out", tmp_path / out]
        return *paring("sensitivity", f"{tiny}:tiny", *where, *words), tmp_path

    return run


def test_table_file_and_what_is_new(command):
    code, out, err, folder = command(*WORDS)
    assert (code, err) == (0, "")
    document = json.loads((folder / "sens.json").read_text())
    assert document["layers"] == ["0", "4"]
    assert document["methods"] == {"prune": [0.5, 0.1], "quantize": [4]}
    assert (document["images"], document["split"]) == (40, "test")
    cells = [line.split() for line in out.splitlines()]
    for point in document["points"]:
        shown = f"{100 * point['accuracy']:.1f}"
        assert any(row[:1] == [point["layer"]] and shown in row for row in cells)
    assert "6, 6 of them new" in out
    assert len((folder / "sens.jsonl").read_text().splitlines()) == 7
    code, out, err, _ = command(*WORDS, "-m", "share=2", "--json")
    assert (code, err) == (0, "")
    more = json.loads(out)
    assert more["points"][:6] == document["points"]
    assert json.loads((folder / "sens.json").read_text()) == more
    assert len((folder / "sens.jsonl").read_text().splitlines()) == 9


def test_accuracy_is_that_of_eval(command, paring, tiny, idx_folder):
    _, _, _, folder = command(*WORDS)
    words = ["--data", f"mnist:{idx_folder}", "--limit", "40", "--json"]
    scored = json.loads(paring("eval", f"{tiny}:tiny", *words)[1])
    assert json.loads((folder / "sens.json").read_text())["accuracy"] == pytest.approx(1 - scored["error"])


def test_what_cannot_be_done_is_said_once(command):
    code, out, err, _ = command("-m", "prune-channels=50%,25%", "--limit", "20")
    assert code == 0
    assert err.count("\n") == 1
    assert err.startswith("4: prune_channels 50 %, 25 % not done: no channel can be cut")
    assert "-" in next(line for line in out.splitlines() if line.startswith("4")).split()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-m", "prune=120%"], 2, "found 1.2; expected 0 to 1 (0 to 100 %)"),
        (["-m", "share=0"], 2, "found 0; expected 1 to 65535"),
        (["-m", "shares"], 2, "unknown method; found 'shares'; expected share"),
        (["-m", "prune", "--layer", "conv*"], 2, "pattern matches no layer; found 'conv*'"),
        (["--plot", "sens.gif"], 2, "--plot: plot has an unknown ending"),
        (["--limit", "0"], 2, "limit must be at least 1"),
        (["--batch-size", "0"], 2, "batch size"),
        (["--split", "middle"], 2, "unknown split"),
    ],
)
def test_bad_words(command, words, code, message):
    found, out, err, folder = command(*words)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1
    assert not list(folder.iterdir())


def test_other_bad_words(command, paring, idx_folder, tmp_path):
    assert command(*WORDS, out="none/sens.json")[0] == 7
    assert command(*WORDS, out="sens.txt")[0] == 2
    code, _, err = paring("sensitivity", "lenet_5_caffe", "-d", f"mnist:{idx_folder}", "-o", tmp_path / "a.json")
    assert (code, "no trained weights" in err) == (2, True)
    command(*WORDS)
    code, _, err, _ = command(*WORDS, "--limit", "30")
    assert (code, "another data set" in err) == (6, True)


def test_the_picture(command):
    pytest.importorskip("matplotlib")
    code, _, _, folder = command("-m", "prune", "-m", "quantize=4", "--limit", "20", "--plot", str(command.__name__))
    assert code == 2
    code, *_, folder = command("-m", "prune", "-m", "quantize=4", "--limit", "20", "--plot", folder / "sens.svg")
    assert code == 0
    text = (folder / "sens.svg").read_text()
    for word in ("<!-- prune -->", "<!-- weights kept -->", "<!-- 5 % -->", "<!-- layer -->", "mnist test, 20 images"):
        assert word in text
    assert "NaN" not in text


def test_no_text_of_the_picture_lies_on_another():
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from paring.cli.render._plot_sensitivity import sensitivity_figure
    from paring.sensitivity import Point, Sensitivity, tried

    rng = np.random.default_rng(0)
    layers = tuple(f"features.{n}.conv.{n % 3}.0" for n in range(53))
    methods = {name: row.trial.strengths for name, row in tried().items()} | {"prune_n_m": ("2:4",)}
    points = [Point(x, m, s, rng.random(), 1.0, 0.0, 0.0) for m, all_ in methods.items() for x in layers for s in all_]
    figure = sensitivity_figure(Sensitivity(tuple(points), methods, layers, 0.7, 1000, 0), "mobilenet_v2")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [*figure.texts, *figure.legends[0].get_texts(), figure.legends[0].get_title()]
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):  # ticks beyond the limits exist, but are not drawn
            low, high = sorted(axis.get_view_interval())
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    shown = [text for text in texts if text.get_visible() and text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in shown]
    assert len(boxes) > 53 + 6 * 4
    for number, (words, box) in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0, words
        assert box.x1 <= figure.bbox.x1, words
        assert figure.bbox.y0 <= box.y0, words
        assert box.y1 <= figure.bbox.y1, words
        for others, other in boxes[:number]:
            assert not box.padded(-0.5).overlaps(other.padded(-0.5)), (words, others)
