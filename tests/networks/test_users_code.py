"""A user's own file as it is found: it reads arguments, prints, imports its neighbors late, ends the program."""

import sys

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from paring import networks  # noqa: E402
from paring.api._network import graph_of  # noqa: E402
from paring.errors import ArgumentError  # noqa: E402

FILE = """
import argparse
import sys
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=3)
args = parser.parse_args()
print("hello from the file")
torch.set_default_dtype(torch.float64)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, args.width).float()

    def forward(self, x):
        import i11_neighbor

        return i11_neighbor.twice(self.layer(x))


def net():
    print("made")
    return Net()


def ends():
    sys.exit("no GPU here")


def needs():
    parser.add_argument("--must", required=True)
    parser.parse_args()
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["paring", "train", "--epochs", "3"])
    (tmp_path / "own.py").write_text(FILE)
    (tmp_path / "i11_neighbor.py").write_text("def twice(x): return 2 * x")
    yield tmp_path / "own.py"
    sys.modules.pop("i11_neighbor", None)


def test_arguments_prints_and_late_imports(file, capsys):
    net = networks.make(f"{file}:net")
    with torch.no_grad():
        x = torch.ones(1, 2)
        torch.testing.assert_close(net(x), 2 * net.layer(x))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello from the file\nmade\n")
    assert sys.argv == ["paring", "train", "--epochs", "3"]
    assert sys.path[-1] == str(file.parent)
    assert torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize(
    ("name", "found"), [("ends", r"sys.exit\('no GPU here'\)"), ("needs", r"sys.exit\(2\), .*required: --must")]
)
def test_code_that_ends_the_program_is_an_error_of_the_argument(file, capsys, name, found):
    with pytest.raises(ArgumentError, match=f"your code ended the program; found {found}"):
        networks.make(f"{file}:{name}")
    assert capsys.readouterr() == ("", "")


def test_a_graph_of_a_network_in_another_precision():
    net = torch.nn.Sequential(torch.nn.Linear(3, 2)).double().eval()
    with pytest.warns(UserWarning, match="weights in float64 are taken in float32"):
        graph = graph_of(net, (3,))
    weight = graph.weights[next(name for name in graph.weights if name.endswith("weight"))].dense()
    assert (weight == net[0].weight.detach().float().numpy()).all()
    assert net[0].weight.dtype is torch.float64
