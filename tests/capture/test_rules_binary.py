"""Binary layers as graphs: torch's own answers, and the weights that a file is to hold."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from paring import zoo  # noqa: E402
from paring.capture import capture, outline, rebuild, unused  # noqa: E402
from paring.errors import GraphError  # noqa: E402
from paring.graph import cost  # noqa: E402
from paring.layers import BinaryConv2d, BinaryLinear, binary_sign  # noqa: E402
from paring.runtime import Engine, reference  # noqa: E402
from tests.capture.judge import Function, agree, ops, shaken, to_nhwc  # noqa: E402

SIGN = ["sign", "conv2d", "scale_shift"]
SCALE = ["abs", "channel_mean", "avg_pool", "mul"]


def signs_and_alpha(weight):
    """B = sign(W) and alpha = mean |W| of each filter."""
    array = weight.detach().numpy().astype(np.float64)
    return np.where(array >= 0, 1, -1), np.abs(array).reshape(len(array), -1).mean(1)


@pytest.mark.parametrize(
    ("inputs", "expected"), [("real", ["conv2d", "scale_shift"]), ("sign", SIGN), ("scaled", SIGN + SCALE)]
)
@pytest.mark.parametrize("bias", [False, True])
def test_convolution(inputs, expected, bias):
    layer = BinaryConv2d(5, 8, 3, 2, 1, bias=bias, inputs=inputs)
    module = nn.Sequential(layer)
    graph = agree(module, (5, 7, 6), fold=False)
    merged = bias and inputs != "scaled"
    assert ops(graph) == expected + ["scale_shift"] * (bias and not merged)
    signs, alpha = signs_and_alpha(layer.weight)
    assert np.array_equal(graph.weights["0.weight"].dense(), signs)
    scale = next(node for node in graph.nodes if node.op == "scale_shift").weights["scale"]
    np.testing.assert_allclose(graph.weights[scale].dense(), alpha, rtol=1e-6)
    assert ops(outline(module, (5, 7, 6))) == ops(graph)
    if not bias:
        assert cost(outline(module, (5, 7, 6))).parameters == layer.weight.numel()


@pytest.mark.parametrize("inputs", ["real", "sign", "scaled"])
def test_fully_connected(inputs):
    graph = agree(BinaryLinear(9, 4, bias=True, inputs=inputs), (9,))
    assert next(node.op for node in graph.nodes if node.weights) == "linear"


@pytest.mark.parametrize("layer", [BinaryConv2d(6, 6, 3, groups=2, inputs="sign"), BinaryConv2d(4, 3, 1)])
def test_groups_and_single_pixels(layer):
    graph = agree(layer, (layer.in_channels, 5, 4))
    assert "avg_pool" not in ops(graph)  # a box of one pixel changes nothing


@pytest.mark.parametrize("layer", [BinaryConv2d(4, 8, 3, 2, 1, groups=2), BinaryConv2d(4, 4, 3, 1, 2, 2, groups=4)])
def test_the_scale_of_each_group(layer):
    agree(layer, (4, 7, 6))
    assert cost(outline(layer, (4, 7, 6))).parameters == layer.weight.numel()


def test_a_sign_of_other_numbers():
    graph = agree(Function(lambda m, x: torch.where(x >= 0.5, 3.0, 1.0)), (4, 3, 3))
    assert ops(graph) == ["scale_shift", "sign", "scale_shift"]


def test_a_scale_that_is_a_parameter_counts():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1, bias=False)
            self.gain = nn.Parameter(torch.rand(4, 1, 1))

        def forward(self, x):
            return self.conv(x) * self.gain

    assert ops(agree(Scaled(), (3, 4, 4), fold=False)) == ["conv2d", "scale_shift"]
    assert cost(outline(Scaled(), (3, 4, 4))).parameters == 12 + 4


def test_sums_of_signs_stay_integers():
    """Half of all sums of an even number of signs that are near zero are zero: one rounding would flip what follows."""
    layers = [BinaryConv2d(8, 8, 2, inputs="sign") for _ in range(4)]
    module = nn.Sequential(nn.Conv2d(2, 8, 1), nn.BatchNorm2d(8), *layers)
    torch.manual_seed(0)
    graph = capture(module, (2, 9, 9))  # folds what may be folded
    x = torch.randn(4, 2, 9, 9)
    with torch.no_grad():
        sums = layers[1](module.eval()[:3](x)) == 0
        assert 0.05 < sums.float().mean() < 0.5
        torch.testing.assert_close(rebuild(graph)(x), module(x), rtol=1e-6, atol=0)
    answer = reference.run(graph, to_nhwc(x))
    np.testing.assert_allclose(answer, to_nhwc(module(x)), rtol=1e-6, atol=0)


def test_zero_is_plus_one_and_the_gradient_passes():
    graph = capture(Function(lambda m, x: binary_sign(x)), (3,))
    x = torch.tensor([[0.0, -0.5, 2.0]], requires_grad=True)
    answer = rebuild(graph)(x)
    answer.sum().backward()
    assert answer.tolist() == [[1, -1, 1]]
    assert x.grad.tolist() == [[1, 1, 0]]


@pytest.mark.parametrize(
    ("function", "word"),
    [
        (lambda m, x: torch.sign(x), "binary_sign"),
        (lambda m, x: (x >= 0).float() + 1, "torch.where"),
        (lambda m, x: torch.where(x >= 0, x, x * 2), "chooses between"),
        (lambda m, x: torch.where(x >= x.mean(1, keepdim=True), 1.0, 0.0), "a number"),
    ],
)
def test_other_comparisons_are_refused(function, word):
    with pytest.raises(GraphError, match=word):
        capture(Function(function), (4, 3, 3))


@pytest.mark.parametrize("name", ["xnor_net_lenet_5", "bwn_lenet_5"])
def test_the_small_network(name):
    network = shaken(zoo.create(name))
    assert unused(network, (1, 28, 28)) == []
    graph = agree(network, (1, 28, 28))
    x = torch.randn(3, 1, 28, 28)
    with torch.no_grad():
        wanted = network.eval()(x).numpy()
    np.testing.assert_allclose(Engine(graph).run(to_nhwc(x)), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_a_deep_network_made_narrow():
    graph = agree(zoo.create("xnor_net_vgg_small", width_mult=0.125), (3, 32, 32))
    assert ops(graph).count("sign") == ops(graph).count("channel_mean") == 7


def test_a_bottleneck_in_space():
    from paring.zoo.factorized import BottleneckLayer

    assert "conv_transpose2d" in ops(agree(BottleneckLayer(6, 6), (6, 8, 4)))
