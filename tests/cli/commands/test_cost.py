import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("rich")
typer = pytest.importorskip("typer")

from paring.cli.commands.cost import cost  # noqa: E402
from paring.errors import ArgumentError, OutputError  # noqa: E402


@pytest.fixture
def run(capsys):
    app = typer.Typer()
    app.command()(cost)

    def run(*words):
        app(args=list(words), standalone_mode=False)
        return capsys.readouterr()

    return run


def test_a_table_per_layer_adds_up(run):
    out = run("lenet_5_caffe").out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.split()}
    layers = [rows[name] for name in ("conv1", "conv2", "fc1", "fc2")]
    for column, total in ((3, 431_080), (4, 2_293_000), (6, 1_724_320)):
        assert sum(int(row[column].replace(",", "")) for row in layers) == total
    assert rows["total"][1:3] == ["431,080", "2,293,000"]
    assert "57,600 bytes" in out
    assert "relu" not in out
    assert "relu" in run("lenet_5_caffe", "--all").out


def test_a_very_long_table_is_the_same(run, monkeypatch):
    from paring.cli.commands import cost as command

    short = [line.rstrip() for line in run("resnet20", "--all").out.splitlines()]
    monkeypatch.setattr(command, "_LONG", 0)
    assert [line.rstrip() for line in run("resnet20", "--all").out.splitlines()] == short


def test_width_and_resolution_of_the_published_grid(run):
    (found,) = json.loads(run("mobilenet_v2", "--width", "0.5", "--resolution", "160", "--json").out)
    assert found["parameters"] == 1_968_680
    assert round(found["macs"] / 1e6, 2) == 50.18
    assert found["input"] == [160, 160, 3]
    assert found["published"] is None
    assert sum(row["macs"] for row in found["rows"]) == found["macs"]


def test_resolution_as_a_ratio(run):
    ratio, pixels = (
        json.loads(run("mobilenet_v1", "--width", "0.75", "--resolution", words, "--json").out)
        for words in ("0.714", "160")
    )
    assert ratio == pixels
    assert ratio[0]["input"] == [160, 160, 3]
    assert round(ratio[0]["macs"] / 1e6, 2) == 166.40
    two = json.loads(run("mobilenet_v1", "lenet_5_caffe", "--resolution", "1.0", "--json").out)  # of each its own
    assert [one["input"] for one in two] == [[224, 224, 3], [28, 28, 1]]


@pytest.mark.parametrize("words", ["0", "-3", "0.0", "-0.5", "nan", "big", "1e3", "1.2.3", ""])
def test_what_is_no_resolution(run, words):
    with pytest.raises(ArgumentError, match="--resolution"):
        run("mobilenet_v1", f"--resolution={words}")


def test_a_ratio_of_no_known_size(run, tmp_path):
    (tmp_path / "mine.py").write_text("from torch import nn\ndef net(): return nn.Conv2d(1, 4, 3)\n")
    with pytest.raises(ArgumentError, match="Give the pixels"):
        run(f"{tmp_path / 'mine.py'}:net", "--resolution", "0.5", "--channels", "1")


def test_side_by_side(run):
    answer = run("--compare", "resnet20", "xnor_net_vgg_small", "lenet_5_caffe")
    lines = answer.out.splitlines()
    assert len(lines) == 4
    assert "269,722" in lines[1]
    assert "14,029,962" in lines[2]
    assert "431,080" in lines[3]


def test_what_differs_from_the_published_numbers_is_said(run):
    assert "60,000" in run("lenet_5_1998").err
    assert run("resnet20").err == ""


def test_what_is_not_known_is_said(run, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(1, 4, 3), nn.PixelShuffle(2))\n")
    answer = run(f"{file}:net", "--resolution", "8", "--channels", "1")
    assert "activations and peak memory are not known" in answer.err
    assert "1,296" in answer.out
    assert "peak memory" not in answer.out


def test_a_network_of_the_users_own(run, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())\n")
    (found,) = json.loads(run(f"{file}:net", "--resolution", "8", "--channels", "1", "--json").out)
    assert (found["parameters"], found["macs"]) == (40, 36 * 36)
    with pytest.raises(ArgumentError, match="--resolution"):
        run(f"{file}:net")


def test_a_file_is_counted_in_its_forms(run, tmp_path):
    container = pytest.importorskip("paring.container")
    import numpy as np

    from paring.forms import Codebook
    from paring.graph import Graph, Node

    form = Codebook(np.array([-1.0, 1.0], np.float32), np.arange(20).reshape(4, 5) % 3)
    graph = Graph(
        {"x": (5,)}, [Node("fc", "linear", ("x",), {}, {"weight": "fc.weight"})], ("fc",), {"fc.weight": form}
    )
    path = tmp_path / "small.pare"
    container.write(path, container.Contents(graph))
    (found,) = json.loads(run(str(path), "--json").out)
    assert found["dense_bytes"] == 80
    assert found["packed_bytes"] == 20 * 2 // 8 + 8
    assert found["nonzero_macs"] == int(np.count_nonzero(form.dense()))
    assert "codebook" in run(str(path)).out
    with pytest.raises(ArgumentError, match="what it is"):
        run(str(path), "--width", "0.5")


def test_bad_words(run, tmp_path):
    with pytest.raises(ArgumentError, match="mobilenet_v2"):
        run("mobilenetv2")
    with pytest.raises(ArgumentError, match="width_mult"):
        run("lenet_5_1998", "--width", "2")
    with pytest.raises(ArgumentError, match="invalid number"):
        run("mobilenet_v2", "--width", "-1")
    with pytest.raises(ArgumentError, match="ending"):
        run("lenet_5_caffe", "--plot", "zoo.txt")


def test_the_picture(run, tmp_path):
    pytest.importorskip("matplotlib")
    file = tmp_path / "zoo.svg"
    run("mobilenet_v2", "--plot", str(file))
    text = file.read_text()
    assert text.count("<use ") > 100  # one marker a network and picture
    with pytest.raises(ArgumentError, match="published accuracy to draw"):
        run("lenet_5_modern", "--plot", str(tmp_path / "none.png"))
    with pytest.raises(OutputError, match="cannot be written"):
        run("mobilenet_v2", "--plot", str(Path("/nonexistent/zoo.png")))
