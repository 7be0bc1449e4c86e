"""Several outputs: what the network calls them is kept, all the way to the engine."""

import numpy as np
import pytest
import torch
from torch import nn

from paring.capture import capture, outline, rebuild
from paring.container import Contents, read, write
from paring.errors import GraphError
from paring.graph import Graph, Node
from paring.runtime import Engine, reference


class Net(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.a, self.b, self.answer = nn.Linear(4, 3), nn.Linear(4, 2), answer

    def forward(self, x):
        return self.answer(self.a(x), self.b(x))


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (lambda a, b: {"boxes": b, "logits": a}, ["boxes", "logits"]),
        (lambda a, b: {"logits": a, "again": a}, ["logits", "again"]),
        (lambda a, b: {"o": {"p": a}, "q": (b, a)}, ["o.p", "q.0", "q.1"]),
        (lambda a, b: ({"p": a}, None, b), ["0.p", "2"]),
        (lambda a, b: (b, a), ["b", "a"]),
        (lambda a, b: (a, a, b), ["a", "a_2", "b"]),
    ],
)
def test_names_of_outputs(answer, names, tmp_path):
    torch.manual_seed(0)
    net = Net(answer).eval()
    graph = capture(net, (4,))
    write(tmp_path / "net.pare", Contents(graph))
    graph = read(tmp_path / "net.pare").graph
    x = torch.randn(5, 4)
    with torch.no_grad():
        want = dict(zip(names, [t for t in torch.utils._pytree.tree_leaves(net(x)) if t is not None], strict=True))
    for found in (Engine(graph).run(x.numpy()), reference.run(graph, x.numpy())):
        assert list(found) == names
        for name, tensor in want.items():
            np.testing.assert_allclose(found[name], tensor.numpy(), rtol=1e-5, atol=1e-6)
    again = rebuild(graph)
    assert again.as_graph().output_names == graph.output_names
    with torch.no_grad():
        rebuilt = again(x)
    assert list(rebuilt) == names if graph.output_names else isinstance(rebuilt, tuple)
    assert outline(net, (4,)).outputs == graph.outputs


def test_names_only_where_a_dictionary_gives_several():
    assert capture(Net(lambda a, b: {"out": a}), (4,)).output_names == ()  # one answer needs no key
    assert capture(Net(lambda a, b: (a, b)), (4,)).output_names == ()


def test_names_stay_through_passes():
    graph = capture(Net(lambda a, b: {"boxes": b, "logits": a}), (4,))
    assert graph.dense_copy().output_names == ("boxes", "logits")
    assert graph.replaced(nodes=graph.nodes).output_names == ("boxes", "logits")


@pytest.mark.parametrize("names", [("p",), ("p", "p")])
def test_names_must_fit(names):
    with pytest.raises(GraphError, match="names of outputs"):
        Graph({"x": (4,)}, [Node("r", "relu", ("x",))], ("r", "x"), {}, names)
