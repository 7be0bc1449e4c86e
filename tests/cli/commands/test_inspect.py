import json
from dataclasses import replace

import pytest

from paring.container import Contents, write
from paring.forms import FORMS
from paring.graph import Graph
from tests.cli.examples import digits, small_contents


def test_rows_add_up_to_the_file(paring, pare):
    code, out, err = paring("inspect", pare, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["bytes"] == pare.stat().st_size == sum(row["bytes"] for row in found["rows"])
    weights = {row["name"]: row for row in found["rows"] if row["section"] == "weights"}
    assert list(weights) == ["conv.weight", "conv.bias", "fc.weight", "fc.bias"]
    assert weights["conv.weight"]["shape"] == [4, 1, 5, 5]
    assert weights["conv.weight"]["weights"] == 100
    assert {row["form"].split()[0] for row in weights.values()} == set(FORMS) & {"codebook", "dense", "sparse"}
    assert found["classes"] == list("0123456789")
    assert found["preparation"]["mean"] == [0.1307]
    assert found["provenance"] == {"recipe": "by hand"}


def test_the_table_says_the_same(paring, pare):
    code, out, _ = paring("inspect", pare)
    assert code == 0
    lines = {line.split()[1]: line.split() for line in out.splitlines() if line.startswith("weights")}
    shown = sum(int(words[-3].replace(",", "")) for words in lines.values())
    total = next(line for line in out.splitlines() if line.startswith("total")).split()
    assert total == ["total", f"{pare.stat().st_size:,}", "100.0", "%"]
    assert 0 < shown < pare.stat().st_size
    assert "gray, scaled to 28x28, mean 0.1307, std 0.3081" in out


def test_a_long_table_is_whole_in_a_narrow_terminal(paring, pare, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    _, out, _ = paring("inspect", pare)
    assert "…" not in out
    assert "codebook bits=32 centroids=4" in out


@pytest.mark.parametrize("kept", [0, 1, 7, 20, 100, -1])
def test_a_cut_file_is_refused(paring, pare, tmp_path, kept):
    cut = tmp_path / "cut.pare"
    cut.write_bytes(pare.read_bytes()[:kept])
    code, out, err = paring("inspect", cut)
    assert (code, out) == (4, "")
    assert err.startswith("error: ")
    assert str(cut) in err
    assert err.count("\n") == 1


def test_missing_file_and_missing_argument(paring, tmp_path):
    code, out, err = paring("inspect", tmp_path / "no.pare")
    assert (code, out) == (4, "")
    assert "no.pare: file cannot be read" in err
    code, out, err = paring("inspect")
    assert (code, out) == (2, "")
    assert "Try: paring inspect --help" in err


def test_no_word_of_a_file_reaches_the_terminal_as_a_command(paring, tmp_path):
    """Names of weights and classes and the provenance of a stranger's file."""
    pil = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    pil.fromarray(digits(1, 9)[0][0]).save(tmp_path / "a.png")
    evil = "\x1b]0;owned\x07\x9b2J\u202e\nfake row"
    made = small_contents()
    graph = made.graph
    names = {name: f"{name}{evil}" for name in graph.weights}
    nodes = [replace(node, weights={role: names[name] for role, name in node.weights.items()}) for node in graph.nodes]
    weights = {names[name]: form for name, form in graph.weights.items()}
    evil_graph = Graph(dict(graph.inputs), nodes, graph.outputs, weights)
    classes = tuple(f"{name}{evil}" for name in made.classes)
    write(tmp_path / "evil.pare", Contents(evil_graph, made.preparation, classes, {f"by{evil}": evil}))
    for words in (["inspect", tmp_path / "evil.pare"], ["run", tmp_path / "evil.pare", tmp_path / "a.png"]):
        code, out, err = paring(*words)
        assert code == 0
        assert not set("\x1b\x07\x9b\u202e") & set(out + err)
        assert "\\x1b]0;owned" in out
        assert not [line for line in out.splitlines() if line.startswith("fake row")]
