import numpy as np
import pytest
import torch
from torch import nn

from paring.capture import capture, rebuild
from paring.errors import ArgumentError
from paring.graph import dequantize
from paring.graph import quantize as codes_of
from paring.methods.integer import output_noise, quantize
from paring.runtime import Engine


class Net(nn.Module):
    """A residual block whose branch reaches a hundred times further than it should."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.branch = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.fc((x + self.branch(x)).mean((2, 3)))


def problem():
    torch.manual_seed(0)
    net = Net().eval()
    net.branch.weight.data[0] *= 40  # one channel sets the scale of all
    net.fc.weight.data[:, 0] /= 40
    return net, torch.randn(16, 3, 8, 8)


def test_it_is_what_rounding_each_value_alone_does():
    net, images = problem()
    made = quantize(capture(net, (3, 8, 8)), images, equalized=False)
    found = output_noise(made.plan, images, seed=1)
    graph, codes = made.plan.graph, made.plan.codes
    network = rebuild(graph)

    @torch.no_grad()
    def answers(rounded=None):
        values = {next(iter(graph.inputs)): images}
        for name in [next(iter(graph.inputs)), *(node.name for node in graph.nodes)]:
            node = next((n for n in graph.nodes if n.name == name), None)
            if node is not None:
                values[name] = network.compute(node, *(values[i] for i in node.inputs))
            if name == rounded:
                kept = dequantize(codes_of(values[name].numpy(), codes[name]), codes[name])
                values[name] = torch.from_numpy(np.asarray(kept, np.float32))
        return values[graph.outputs[0]].double()

    exact = answers()
    assert len(found) == len(codes) >= 4
    for name, noise in found.items():
        alone = float((answers(name) - exact).square().sum() / exact.square().sum())
        assert noise == pytest.approx(alone, rel=0.5, abs=1e-9), name
    assert max(found, key=found.get) in ("add", "branch")


def test_layers_that_disturb_most_keep_their_sums():
    net, images = problem()
    graph = capture(net, (3, 8, 8))
    plain, kept = (quantize(graph, images, equalized=False, float_outputs=count) for count in (0, 1))
    ops = {node.name: node.op for node in kept.graph.nodes}
    assert ops["branch"] == "conv2d"
    assert kept.graph.weights["branch.weight"].kind == "integer"
    assert ops["add"] == "add"
    assert ops["first"] == "integer_conv2d"
    assert "branch" in str(kept)
    x = images.numpy().transpose(0, 2, 3, 1).copy()
    exact = Engine(graph).run(x)
    errors = [np.square(Engine(made.graph).run(x) - exact).mean() for made in (plain, kept)]
    assert errors[1] < 0.5 * errors[0]
    with torch.no_grad():
        simulated = rebuild(kept.graph)(images).numpy()
    np.testing.assert_allclose(Engine(kept.graph).run(x), simulated, rtol=1e-4, atol=1e-4)


def test_without_images_nothing_is_known():
    net, images = problem()
    with pytest.raises(ArgumentError, match="invalid number of layers; found float_outputs=-1"):
        quantize(capture(net, (3, 8, 8)), images, float_outputs=-1)
    with pytest.raises(ArgumentError, match="by what images show; found float_outputs=2"):
        quantize(capture(net, (3, 8, 8)), images, activations=None, float_outputs=2)
