"""Binary blocks in any network: their arithmetic by loops, their bits in the file, and where they do not go."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from paring import methods, zoo
from paring.container import Contents, inspect, read, write
from paring.errors import ArgumentError, CheckpointError
from paring.forms import Integer
from paring.layers import BinaryConv2d, BinaryLinear
from paring.methods.low_bit import binarize
from tests.methods.low_bit.cases import LAYERS, SHAPE, agree, name_of, network, train

KINDS = ["scaled", "sign", "bnn"]


def sign(value):
    return 1.0 if value >= 0 else -1.0


def naive_block(block, x):
    """A fully connected block in eval mode, number by number."""
    norm, layer = block.norm, block.layer
    weight = layer.weight.detach().double().numpy()
    deviation = np.sqrt(norm.running_var.double().numpy() + norm.eps)
    scale, shift = norm.weight.detach().double().numpy(), norm.bias.detach().double().numpy()
    out = np.zeros((len(x), len(weight)))
    for n, row in enumerate(x.double().numpy()):
        inner = (row - norm.running_mean.double().numpy()) / deviation * scale + shift
        for o, filter in enumerate(weight):
            total = sum(sign(a) * sign(w) for a, w in zip(inner, filter, strict=True))
            if block.kind != "bnn":
                total *= np.abs(filter).mean()
            if block.kind == "scaled":
                total *= np.abs(inner).mean()
            out[n, o] = total + (layer.bias[o].item() if layer.bias is not None else 0)
    if block.kind == "bnn":
        behind = block.behind
        out = (out - behind.running_mean.numpy()) / np.sqrt(behind.running_var.numpy() + behind.eps)
        out = out * behind.weight.detach().numpy() + behind.bias.detach().numpy()
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_by_loops(kind):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(9, 5))
    bias, weight = net[0].bias.detach().clone(), net[0].weight.detach().clone()
    assert binarize(net, {"0": kind})["0"].done == kind
    assert torch.equal(net[0].layer.weight, weight)
    assert kind == "bnn" or torch.equal(net[0].layer.bias, bias)
    for part in net[0].children():
        if isinstance(part, nn.BatchNorm1d):
            for tensor in (part.weight, part.bias, part.running_mean, part.running_var):
                nn.init.uniform_(tensor, 0.2, 1.5)
    x = torch.randn(4, 9)
    np.testing.assert_allclose(net.eval()(x).detach().numpy(), naive_block(net[0], x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", LAYERS)
def test_through_training_checkpoint_and_file(place, kind, tmp_path):
    net, name = network(place), name_of(place)
    fresh = network(place, 1)
    outputs = len(net.get_submodule(name).weight)
    binarize(net, {name: kind})
    before = net.get_submodule(name).layer.weight.detach().clone()
    train(net, after=methods.low_bit.center_and_clip_weights)
    layer = net.eval().get_submodule(name).layer
    assert not torch.equal(layer.weight, before)
    description = json.loads(json.dumps(methods.low_bit.describe_blocks(net)))
    methods.low_bit.rebuild_blocks(fresh, description)
    fresh.load_state_dict(copy.deepcopy(net.state_dict()))
    x = torch.randn(3, *SHAPE)
    with torch.no_grad():
        answer = net(x)
        assert torch.equal(fresh.eval()(x), answer)
    graph = methods.graph_with_forms(net, SHAPE)
    write(tmp_path / "net.pare", Contents(graph, None, (), {}))
    found = read(tmp_path / "net.pare").graph
    form = found.weights[f"{name}.layer.weight"]
    assert isinstance(form, Integer)
    assert (form.bits, form.scales.tolist()) == (1, [1.0])
    assert form.codes.ravel().tolist() == [sign(w) for w in layer.weight.ravel().tolist()]
    if kind != "bnn":
        alphas = [weights.dense() for key, weights in found.weights.items() if key.startswith(f"{name}.layer.scale")]
        wanted = layer.weight.detach().abs().flatten(1).mean(1).numpy()
        assert any(a.shape == (outputs,) and np.allclose(a, wanted, rtol=1e-6) for a in alphas)
    agree(found, x, answer)


def test_gradient_of_a_layer_without_alpha_is_the_straight_through_estimator():
    torch.manual_seed(0)
    layer = BinaryLinear(6, 3, inputs="sign", alpha=False)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(-1.5, 1.5, 18).reshape(3, 6))
    x = torch.linspace(-2, 2, 24).reshape(4, 6).requires_grad_()
    pulled = torch.randn(4, 3)
    (layer(x) * pulled).sum().backward()
    signs = {name: np.where(t.detach().numpy() >= 0, 1.0, -1.0) for name, t in (("x", x), ("w", layer.weight))}
    inside = {name: np.abs(t.detach().numpy()) <= 1 for name, t in (("x", x), ("w", layer.weight))}
    np.testing.assert_array_equal(layer(x).detach().numpy(), signs["x"] @ signs["w"].T)
    np.testing.assert_allclose(layer.weight.grad, pulled.numpy().T @ signs["x"] * inside["w"], rtol=1e-5)
    np.testing.assert_allclose(x.grad, pulled.numpy() @ signs["w"] * inside["x"], rtol=1e-5)


class Odd(nn.Module):
    """Registered in another order than it computes; one layer of a kind of its own, two that do not compute."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(6, 3)
        self.middle = nn.Sequential(nn.Conv2d(6, 6, 3, padding="same"), nn.ReLU(), Doubled(6, 6, 1))
        self.mirror = nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect")
        self.uneven = nn.Conv2d(6, 6, 2, padding="same")
        self.first = nn.Conv2d(1, 6, 3)
        self.spare = nn.Linear(2, 2)

    def forward(self, x):
        x = self.mirror(self.middle(self.first(x)))
        return self.last(x.mean((2, 3)))


class Doubled(nn.Conv2d):
    def forward(self, x):
        return super().forward(2 * x)


def test_ends_are_found_by_running_and_what_stays_real_says_why():
    done = binarize(Odd(), {"*": "sign"}, (1, 8, 8))
    assert {n: row.done for n, row in done.items() if not row.reason} == {"middle.0": "sign", "spare": "sign"}
    assert {row.name for row in done.rows if row.reason} == {"first", "last", "middle.2", "mirror", "uneven"}
    assert "first" in done["first"].reason
    assert "last" in done["last"].reason
    assert "Doubled" in done["middle.2"].reason
    assert "reflect" in done["mirror"].reason
    assert "one side" in done["uneven"].reason


def test_padding_by_name():
    torch.manual_seed(0)
    named = nn.Sequential(nn.Conv2d(2, 3, 3, padding="same", dilation=2), nn.Conv2d(3, 2, 3, padding="valid"))
    counted = nn.Sequential(nn.Conv2d(2, 3, 3, padding=2, dilation=2), nn.Conv2d(3, 2, 3))
    counted.load_state_dict(named.state_dict())
    for net in (named, counted):
        binarize(net, {"*": "scaled"})
    x = torch.randn(2, 2, 7, 7)
    assert torch.equal(named.eval()(x), counted.eval()(x))


def test_a_layer_of_two_paths_is_replaced_under_both_and_mode_and_type_are_kept():
    layer = nn.Conv2d(3, 3, 1, dtype=torch.float64)
    net = nn.Sequential(layer, nn.ReLU(), layer).eval()
    binarize(net, {"0": "sign"})
    assert net[0] is net[2]
    assert net[0].norm.weight.dtype == net[0].layer.weight.dtype == torch.float64
    assert not any(module.training for module in net.modules())


def test_networks_of_the_zoo_are_bits_in_the_file(tmp_path):
    torch.manual_seed(0)
    net = zoo.create("xnor_net_lenet_5").eval()
    graph = methods.graph_with_forms(net, (1, 28, 28))
    signs = {name: form for name, form in graph.weights.items() if isinstance(form, Integer)}
    layers = {name: m for name, m in net.named_modules() if isinstance(m, BinaryConv2d)}
    assert {name.removesuffix(".weight") for name in signs} == set(layers)
    assert {form.bits for form in signs.values()} == {1}
    write(tmp_path / "net.pare", Contents(graph, None, (), {}))
    sizes = {row.name: row.size for row in inspect(tmp_path / "net.pare").rows}
    for name, form in signs.items():  # random signs: a bit each, and the coder's few bytes
        assert form.size / 8 <= sizes[name] <= form.size / 8 * 1.01 + 16
    x = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        agree(read(tmp_path / "net.pare").graph, x, net(x))


def test_what_is_refused():
    net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv1d(4, 4, 1), nn.Linear(4, 4))
    with pytest.raises(ArgumentError, match="unknown kind"):
        binarize(net, {"*": "ternary"})
    with pytest.raises(ArgumentError, match=r"no layer could become binary.*Conv1d"):
        binarize(net, {"1": "sign"})
    with pytest.raises(ArgumentError, match="one input channel"):
        binarize(net, {"0": "sign"}, gradient="released")
    with pytest.raises(ArgumentError, match="one layer"):
        binarize(nn.Linear(2, 2), {"weight": "sign"})
    with pytest.raises(ArgumentError, match="only the weight"):
        binarize(net, {"*.bias": "sign"})
    methods.prune(net, {"2": 0.5})
    with pytest.raises(ArgumentError, match="has a trainable form"):
        binarize(net, {"2": "sign"})
    shared = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    shared[1].weight = shared[0].weight
    with pytest.raises(ArgumentError, match="share this weight"):
        binarize(shared, {"0": "sign"})


def test_a_description_that_does_not_fit():
    for words in ({"1": {"kind": "sign", "gradient": "paper"}}, {"0": {"kind": "real", "gradient": "paper"}}):
        with pytest.raises(CheckpointError, match="cannot take"):
            methods.low_bit.rebuild_blocks(nn.Sequential(nn.Linear(2, 2)), words)
