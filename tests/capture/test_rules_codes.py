"""Rounded activations as graphs: the codes of training are those of the reference interpreter and of the engine."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from paring.capture import capture, outline, rebuild  # noqa: E402
from paring.container import Contents, read, write  # noqa: E402
from paring.errors import GraphError  # noqa: E402
from paring.graph import Graph  # noqa: E402
from paring.layers import ClippedQuantizer  # noqa: E402
from paring.runtime import Engine, reference  # noqa: E402
from tests.capture.judge import Function, ops, shaken, to_nhwc  # noqa: E402

PAIR = ["quantize", "dequantize"]


@pytest.mark.parametrize(
    ("bits", "shape"),
    [(1, (3, 5, 4)), (2, (3, 5, 4)), (5, (3, 5, 4)), (8, (3, 5, 4)), (1, (7,)), (3, (7,)), (4, (3, 6))],
)
def test_answers_are_equal_bit_for_bit(bits, shape):
    """The layer alone, so that nothing but the rounding is compared."""
    network = nn.Sequential(ClippedQuantizer(bits))
    graph = capture(network, shape)
    assert ops(graph) == (["clip"] if bits == 1 else []) + PAIR
    assert ops(outline(network, shape)) == ops(graph)
    n = 2**bits - 1
    torch.manual_seed(bits)
    x = torch.randn(40, *shape)
    ties = ((torch.arange(n + 1) + 0.5) / n).repeat(40)[: x.numel()]
    x.view(-1)[: len(ties)] = ties
    with torch.no_grad():
        wanted = network(x)
        rebuilt = rebuild(graph)(x)
    if len(shape) == 2:
        rebuilt = rebuilt.squeeze(2)
    assert torch.equal(rebuilt, wanted)
    np.testing.assert_array_equal(reference.run(graph, to_nhwc(x)), to_nhwc(wanted))
    np.testing.assert_array_equal(Engine(graph).run(to_nhwc(x)), to_nhwc(wanted))


def test_the_nodes_say_what_the_codes_stand_for():
    graph = capture(nn.Sequential(nn.Conv2d(2, 3, 1), ClippedQuantizer(4)), (2, 3, 3))
    node = next(node for node in graph.nodes if node.op == "quantize")
    assert node.name == "1.quantize"
    assert node.attrs == {"scale": float(np.float32(1 / 15)), "zero_point": 0, "bits": 4}


def test_a_network_through_a_file(tmp_path):
    """Float sums may differ in the last bits, so inputs and weights are small whole numbers, whose sums are exact."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        ClippedQuantizer(2, 3.0),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 6, 3, groups=6),
        ClippedQuantizer(1, 2.0),
        nn.Flatten(),
        nn.Linear(24, 5),
    )
    with torch.no_grad():
        for p in network.parameters():
            nn.init.uniform_(p, -2, 2).round_()
    x = torch.randint(-3, 4, (9, 2, 8, 8)).float()
    graph = capture(network, (2, 8, 8))
    write(tmp_path / "net.pare", Contents(graph))
    again = read(tmp_path / "net.pare").graph
    assert isinstance(again, Graph)
    with torch.no_grad():
        wanted = network.eval()(x).numpy()
    assert len(np.unique(wanted)) > 10
    for answer in (reference.run(again, to_nhwc(x)), Engine(again).run(to_nhwc(x))):
        np.testing.assert_array_equal(answer, wanted)


def test_what_users_write_themselves():
    """The same four calls with a number or with a trained step, which is then read by the network."""
    x = torch.randn(50, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a parameter that is not read would warn
        step = nn.Parameter(torch.tensor(0.07))
        for module in (
            Function(lambda m, x: torch.round(x / 0.1).clamp(0, 15) * 0.1),
            Function(lambda m, x: torch.round(x / m.step).clamp(0, 255) * m.step, step=step),
        ):
            graph = capture(module, (4,))
            assert ops(graph) == PAIR
            with torch.no_grad():
                np.testing.assert_array_equal(reference.run(graph, x.numpy()), module(x).numpy())


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: torch.round(x),
        lambda m, x: torch.round(x / 0.1).clamp(0, 14) * 0.1,
        lambda m, x: torch.round(x / 0.1).clamp(-1, 15) * 0.1,
        lambda m, x: torch.round(x / 0.1).clamp(0, 15) * 0.2,
        lambda m, x: torch.round(x / 0.1, decimals=1).clamp(0, 15) * 0.1,
        lambda m, x: torch.round(x / 0.1).clamp(0, 15) * x,
    ],
)
def test_other_roundings_are_refused(function):
    with pytest.raises(GraphError, match="round"):
        capture(Function(function), (4,))


def test_a_scale_that_no_codes_have():
    with pytest.raises(GraphError, match="scale"):
        capture(Function(lambda m, x: torch.round(x / -0.1).clamp(0, 15) * -0.1), (4,))


def test_two_readers_of_one_activation():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.a, self.b = ClippedQuantizer(3), nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x):
            x = self.act(x)
            return self.a(x) + self.b(x)

    network = shaken(Twice())
    graph = capture(network, (3, 5, 5))
    assert sorted(ops(graph)) == sorted(["conv2d", "conv2d", "add", *PAIR])
    x = torch.randn(2, 3, 5, 5)
    with torch.no_grad():
        np.testing.assert_allclose(Engine(graph).run(to_nhwc(x)), to_nhwc(network(x)), rtol=0, atol=1e-5)
