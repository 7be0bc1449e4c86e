"""A wrong command line ends in a documented exit code and one line that a user can act on, whatever is wrong in it."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

from paring.cli import _app  # noqa: E402
from paring.container import Contents, write  # noqa: E402
from paring.graph import Graph, Node  # noqa: E402
from paring.image import Preparation  # noqa: E402
from tests.cli import mistakes  # noqa: E402
from tests.cli.examples import digits  # noqa: E402

# Every wrong word of every command is a process-long trial: minutes in all.
pytestmark = pytest.mark.slow


@pytest.fixture
def places(tmp_path, pare, tiny, idx_folder):
    image.fromarray(digits(1, 1)[0][0]).save(tmp_path / "digit.png")
    return mistakes.Places(tmp_path, pare, tiny, idx_folder)


def test_every_command_is_in_the_table(places):
    made = {mistake.command for mistake in mistakes.mistakes(places, places.folder)}
    assert made == set(_app._COMMANDS)


def test_the_words_are_right_but_for_the_mistake(places, tmp_path):
    """Else every mistake would be said of the wrong thing. What trains for long is left out."""
    for command in ("eval", "run", "inspect", "report", "cost"):
        assert mistakes.run((command, *places.base(command, tmp_path)))[0] == 0, command


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=[pytest.mark.slow] * (name in mistakes.LONG)) for name in _app._COMMANDS]
)
def test_a_mistake_is_one_line_and_a_documented_code(places, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    found = []
    for mistake in mistakes.mistakes(places, tmp_path):
        if mistake.command == command:
            code, _, err = mistakes.run(mistake.words)
            found += [(mistake.place, mistake.value, fault, err) for fault in mistakes.faults(code, err)]
    assert not found


def test_faults_are_seen():
    """The judge itself: silence, two errors, a wrong code, words of Python."""
    assert mistakes.faults(2, "error: invalid number; found -1.\n") == []
    assert mistakes.faults(0, "") == ["exit code 0", "0 lines"]
    assert mistakes.faults(2, "error: one.\nerror: two.\n") == ["2 lines"]
    assert mistakes.faults(70, "error: KeyError: 3.\n") == ["exit code 70", "says 'KeyError'"]
    assert mistakes.faults(1, "Traceback\nerror: x.\n") == ["says 'Traceback'"]


def test_a_file_of_a_large_cost_is_refused_and_can_be_run(paring, tmp_path):
    path = tmp_path / "net.pare"
    nodes = [Node("a", "pad", ("x",), {"channels": (0, 1 << 16)}), Node("b", "tanh", ("a",))]
    nodes = [*nodes, Node("c", "tanh", ("b",)), Node("d", "global_avg_pool", ("c",))]
    graph = Graph({"x": (28, 28, 1)}, nodes, ("d",))
    write(path, Contents(graph, Preparation(28, 28, 1, (0.0,), (1.0,))))
    image.fromarray(digits(1, 1)[0][0]).save(tmp_path / "digit.png")
    code, out, err = paring("run", path, tmp_path / "digit.png")
    assert (code, out) == (4, "")
    assert "network would take too much memory; found " in err
    assert "--no-limits" in err
    code, out, err = paring("run", path, tmp_path / "digit.png", "--no-limits", "--json")
    assert (code, err) == (0, "")
