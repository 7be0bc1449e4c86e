"""Post-training quantization: the simulation is the reference interpreter's integers, and nothing is silent."""

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paring.capture import capture, rebuild
from paring.errors import ArgumentError, DataError
from paring.forms import Dense, Integer
from paring.graph import Graph, Node
from paring.methods.integer import quantize
from paring.runtime import reference


def graph_of(nodes, weights, shape=(9, 8, 6)):
    return Graph({"x": shape}, nodes, (nodes[-1].name,), {n: Dense(w) for n, w in weights.items()})


def layer(rng, name, source, out, fan, kernel=(3, 3), bias=True, **attrs):
    weights = {f"{name}.weight": rng.normal(0, 0.4, (out, fan, *kernel)).astype(np.float32)}
    roles = {"weight": f"{name}.weight"}
    if bias:
        weights[f"{name}.bias"] = rng.normal(0, 0.5, out).astype(np.float32)
        roles["bias"] = f"{name}.bias"
    return Node(name, "conv2d", (source,), attrs, roles), weights


def everything(seed):
    """A network with every operator that can compute on codes, and some that cannot."""
    rng = np.random.default_rng(seed)
    weights = {}

    def conv(*args, **kwargs):
        node, own = layer(rng, *args, **kwargs)
        weights.update(own)
        return node

    nodes = [
        conv("stem", "x", 12, 6, padding=(1, 1, 1, 1)),
        Node("stem.relu", "relu", ("stem",)),
        conv("depthwise", "stem.relu", 12, 1, groups=12, padding=(1, 1, 1, 1)),
        Node("depthwise.clip", "clip", ("depthwise",), {"low": 0.0, "high": 1.5}),
        conv("grouped", "depthwise.clip", 12, 4, groups=3, padding=(2, 2, 2, 2), dilation=(2, 2), bias=False),
        Node("sum", "add", ("grouped", "stem.relu")),
        Node("sum.relu", "relu", ("sum",)),
        conv("point", "sum.relu", 12, 12, (1, 1)),
        Node("point.swish", "hard_swish", ("point",)),
        conv("skewed", "sum.relu", 4, 12, (2, 3), padding=(1, 0, 2, 0)),
        Node("both", "concat", ("point.swish", "skewed", "stem.relu")),
        Node("shuffled", "channel_shuffle", ("both",), {"groups": 4}),
        Node("pooled", "max_pool", ("shuffled",), {"kernel": (2, 2), "stride": (2, 2)}),
        Node(
            "averaged",
            "avg_pool",
            ("pooled",),
            {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1), "ceil_mode": True},
        ),
        Node("scaled", "mul", ("averaged", "averaged")),
        conv("last", "scaled", 8, 28, (1, 1)),
        Node("mean", "global_avg_pool", ("last",)),
        Node("fc", "linear", ("mean",), {}, {"weight": "fc.weight", "bias": "fc.bias"}),
    ]
    weights["fc.weight"] = rng.normal(0, 0.4, (5, 8)).astype(np.float32)
    weights["fc.bias"] = rng.normal(0, 0.4, 5).astype(np.float32)
    return graph_of(nodes, weights)


def images_for(graph, count=6, seed=0):
    height, width, channels = graph.inputs["x"]
    return torch.from_numpy(
        np.random.default_rng(seed).normal(0, 1, (count, channels, height, width)).astype(np.float32)
    )


def agree(graph, images):
    """Every value of the simulation equals the reference's, codes and floats made from codes bit for bit."""
    network = rebuild(graph)
    x = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
    codes = graph.quant_params
    judge = dict(reference.steps(graph, x))
    compared = 0
    with torch.no_grad():
        for name, value in network.steps(images):
            found = value.movedim(1, -1).numpy() if value.ndim == 4 else value.numpy()
            if name in codes:
                np.testing.assert_array_equal(found, judge[name].astype(np.float32), err_msg=name)
                compared += 1
            else:
                np.testing.assert_allclose(found, judge[name], rtol=1e-5, atol=1e-5, err_msg=name)
    assert compared
    return compared


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("weights", "activations"), [(8, 8), (4, 8), (3, 5)])
def test_simulation_is_the_reference_bit_for_bit(seed, weights, activations):
    graph = everything(seed)
    images = images_for(graph, seed=seed)
    made = quantize(graph, images, weights=weights, activations=activations, answers="codes")
    ops = {node.op for node in made.graph.nodes}
    wanted = {"quantize", "dequantize", "integer_conv2d", "integer_linear", "integer_add", "integer_avg_pool", "lookup"}
    assert wanted | {"integer_global_avg_pool", "max_pool", "concat", "channel_shuffle"} <= ops
    assert agree(made.graph, images_for(graph, seed=seed + 10)) >= 15


def test_answers_on_codes_are_bit_for_bit_to_the_end():
    graph = everything(5)
    made = quantize(graph, images_for(graph), answers="codes")
    images = images_for(graph, seed=3)
    with torch.no_grad():
        found = rebuild(made.graph)(images).numpy()
    judge = reference.run(made.graph, np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy()))
    np.testing.assert_array_equal(found, judge)


def test_sums_beyond_24_bits_are_exact_too():
    rng = np.random.default_rng(0)
    node, weights = layer(rng, "conv", "x", 3, 6000, (1, 1))
    graph = graph_of([node], weights, (2, 2, 6000))
    images = images_for(graph)
    made = quantize(graph, images, answers="codes", weights=8)
    form = made.graph.weights["conv.weight"]
    assert np.abs(form.codes.astype(np.int64)).sum((1, 2, 3)).max() * 128 > 2**24  # the case is the one that is meant
    agree(made.graph, images)


def test_a_dead_channel_with_a_bias_does_not_overflow():
    rng = np.random.default_rng(1)
    node, weights = layer(rng, "conv", "x", 4, 6)
    weights["conv.weight"][1] *= 1e-30
    weights["conv.weight"][2] = 0
    graph = graph_of([node, Node("relu", "relu", ("conv",))], weights)
    images = images_for(graph)
    made = quantize(graph, images, answers="codes")
    agree(made.graph, images)
    x = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
    wanted, found = reference.run(graph, x), reference.run(made.graph, x)
    scale = made.graph.quant_params["conv.codes"].scale
    assert np.abs(wanted - found)[..., 1:3].max() <= 0.51 * scale


def small_network(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    )
    with torch.no_grad():
        for _ in range(20):
            net.train()(torch.randn(16, 3, 8, 8))
    return net.eval()


@functools.cache
def small_graph():
    return capture(small_network(), (3, 8, 8))


def test_a_captured_network_keeps_its_answers():
    net, graph = small_network(), small_graph()
    images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    made = quantize(graph, images)
    with torch.no_grad():
        wanted, found = net(images), rebuild(made.graph)(images)
    assert (wanted - found).norm() < 0.03 * wanted.norm()
    assert made.graph.outputs == graph.outputs
    assert made.floats == {"8": "makes the network's answer: integer weight, sums kept in float"}
    assert [(row.name, row.after, row.activation_bits) for row in made.rows] == [
        ("0", 8, 8),
        ("3", 8, 8),
        ("8", 8, 32),
    ]
    assert all(row.ratio > 20 for row in made.rows)
    assert "makes the network's answer" in str(made)


def test_relu6_keeps_its_bound():
    graph = small_graph()
    made = quantize(graph, 40 * torch.randn(8, 3, 8, 8), answers="codes")
    codes = made.graph.quant_params["0"]
    node = next(n for n in made.graph.nodes if n.name == "0")
    assert node.attrs["low"] == codes.zero_point == 0
    assert abs((node.attrs["high"] - codes.zero_point) * codes.scale - 6) <= codes.scale


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_alone_at_any_width(bits):
    graph = small_graph()
    made = quantize(graph, weights=bits, activations=None)
    assert [node.op for node in made.graph.nodes] == [node.op for node in graph.nodes]
    for name in ("0.weight", "3.weight", "8.weight"):
        form, weight = made.graph.weights[name], graph.weights[name].dense()
        assert isinstance(form, Integer)
        assert form.bits == bits
        # the judge: each weight has the nearest of its channel's levels
        top = 2 ** (bits - 1) - 1
        for row, scale, dense in zip(weight, form.scales, form.dense(), strict=True):
            levels = scale * np.arange(-top, top + 1)
            nearest = np.abs(row[..., None] - levels).min(-1)
            np.testing.assert_allclose(np.abs(row - dense), nearest, atol=1e-6)


def test_patterns_choose_widths_and_leave_layers_in_float():
    graph = small_graph()
    made = quantize(graph, torch.randn(8, 3, 8, 8), weights={"*": 4, "0": 8, "3": None}, activations={"*": 8, "0": 5})
    assert made.graph.weights["0.weight"].bits == 8
    assert made.graph.weights["8.weight"].bits == 4
    assert isinstance(made.graph.weights["3.weight"], Dense)
    assert made.floats["3"] == "left in float on request"
    assert made.graph.quant_params["0"].bits == 5
    agree(made.graph, torch.randn(4, 3, 8, 8))


def test_per_tensor_scales_and_transposed_convolutions():
    torch.manual_seed(0)
    net = nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2), nn.ReLU(), nn.Conv2d(6, 3, 3))
    graph = capture(net.eval(), (4, 6, 6))
    images = torch.randn(8, 4, 6, 6)
    made = quantize(graph, images, answers="codes")
    assert made.graph.weights["0.weight"].axis == 1
    assert "conv_transpose2d has no operator on codes" in made.floats["0"]
    agree(made.graph, images)
    single = quantize(graph, images, per_channel=False)
    assert len(single.graph.weights["2.weight"].scales) == 1
    with torch.no_grad():
        wanted, found = net(images), rebuild(single.graph)(images)
    assert (wanted - found).norm() < 0.05 * wanted.norm()


def test_a_shared_weight_serves_both_layers():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return F.relu(self.conv(F.relu(self.conv(x)))).mean((2, 3))

    torch.manual_seed(1)
    graph = capture(Twice().eval(), (4, 6, 6))
    images = torch.randn(16, 4, 6, 6)
    made = quantize(graph, images, rounding="gptq")
    assert "conv: weight is shared: rounded to nearest" in made.notes
    agree(made.graph, images)


def test_bias_correction_takes_the_mean_error_away():
    graph = small_graph()
    images = torch.randn(64, 3, 8, 8)

    def mean_error(**kwargs):
        made = quantize(graph, images, weights=3, scales="max", **kwargs)
        with torch.no_grad():
            return (rebuild(made.graph)(images) - rebuild(graph)(images)).mean(0).abs().max()

    assert mean_error(correct=True) < 0.05 * mean_error(correct=False)


@pytest.mark.parametrize("rounding", ["gptq", "adaround"])
def test_learned_rounding_is_nearer_to_the_float_network(rounding):
    graph = small_graph()
    generator = torch.Generator().manual_seed(4)
    coarse = (torch.randn(64, 3, 2, 2, generator=generator) for _ in range(2))  # neighbors alike, as in photographs
    images, others = (F.interpolate(x, size=(8, 8), mode="bilinear") for x in coarse)

    def error(how):
        made = quantize(graph, images, weights=3, rounding=how)
        with torch.no_grad():
            return (rebuild(made.graph)(others) - rebuild(graph)(others)).norm()

    assert error(rounding) < 0.9 * error("nearest")


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"weights": {"nothing*": 4}}, "pattern matches no layer"),
        ({"activations": {"nothing*": 4}}, "pattern matches no activation"),
        ({"weights": 9}, "width of an integer"),
        ({"weights": 1}, "width of an integer"),
        ({"observer": "best"}, "unknown observer"),
        ({"rounding": "up"}, "unknown rounding"),
        ({"scales": "min"}, "unknown way"),
        ({"answers": "maybe"}, "unknown treatment of answers"),
        ({"equalized": "twice"}, "unknown way to equalize"),
    ],
)
def test_options_that_cannot_be(kwargs, words):
    graph = small_graph()
    with pytest.raises(ArgumentError, match=words):
        quantize(graph, torch.randn(2, 3, 8, 8), **kwargs)


def test_bad_images():
    graph = small_graph()
    with pytest.raises(ArgumentError, match="calibration images are needed"):
        quantize(graph)
    with pytest.raises(DataError, match="do not fit"):
        quantize(graph, torch.randn(2, 3, 9, 8))
    with pytest.raises(DataError, match="no calibration images"):
        quantize(graph, torch.randn(0, 3, 8, 8))
    with pytest.raises(DataError, match="finite"):
        quantize(graph, torch.full((2, 3, 8, 8), np.nan))
