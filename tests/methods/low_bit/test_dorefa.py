import copy
import doctest
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paring import methods, parametrize
from paring.capture import capture
from paring.container import Contents, read, write
from paring.errors import ArgumentError, GraphError
from paring.forms import Codebook, Integer
from paring.layers import ClippedQuantizer
from paring.runtime import Engine

PAGES = Path(__file__).parents[3] / "docs" / "methods"
LAYERS = {
    "plain": lambda: nn.Conv2d(4, 6, 3),
    "grouped": lambda: nn.Conv2d(4, 8, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(6, 6, 3, groups=6),
    "dilated": lambda: nn.Conv2d(4, 6, 3, dilation=2),
    "1x1": lambda: nn.Conv2d(4, 6, 1),
    "fc": lambda: nn.Linear(9, 7),
}


def naive_weights(weight, bits):
    """Section 2.3 number by number, tanh in float64: levels as fractions, and how far each is from a tie."""
    squashed = [np.tanh(float(w)) for w in weight.flat]
    largest, n = max(abs(t) for t in squashed), 2**bits - 1
    levels, distances = [], []
    for t in squashed:
        r = n * (t / (2 * largest) + 0.5)
        levels.append(2 * Fraction(round(r), n) - 1)
        distances.append(abs(r % 1 - 0.5))
    return levels, distances


@pytest.mark.parametrize("bits", [2, 3, 4, 7, 8])
@pytest.mark.parametrize("kind", LAYERS)
def test_the_formula(kind, bits):
    torch.manual_seed(0)
    layer = LAYERS[kind]()
    before = layer.weight.detach().numpy().copy()
    net = nn.Sequential(layer)
    assert methods.dorefa(net, {"0": bits}, exclude=()).numbers == {"0.weight": bits}
    now = layer.weight.detach().numpy()
    for got, wanted, distance in zip(now.flat, *naive_weights(before, bits), strict=True):
        if distance > 1e-4:
            assert abs(got - np.float32(wanted)) <= np.spacing(np.abs(np.float32(wanted)))
    assert np.abs(now).max() == pytest.approx(1)
    assert np.all(now != 0)
    form = parametrize.forms(net)["0.weight"]
    assert isinstance(form, Codebook if bits == 8 else Integer)
    np.testing.assert_array_equal(form.dense(), now)


def test_worked_number():
    """tanh gives 0.5, -0.25, 0.1, 0; over 2 max + 1/2 that is 1, 1/4, 0.6, 0.5; times 3: 3, 0.75, 1.8, 1.5 (a tie)."""
    weight = torch.atanh(torch.tensor([0.5, -0.25, 0.1, 0.0]))
    assert methods.low_bit.unit_weight(weight).tolist() == pytest.approx([1, 0.25, 0.6, 0.5])
    assert methods.low_bit.DoReFa(2)(weight).tolist() == pytest.approx([1, -1 / 3, 1 / 3, 1 / 3])
    assert methods.low_bit.quantize_unit(torch.tensor([0.5, 0.4, 0.1]), 2).tolist() == [2, 1, 0]  # 1.5 to even
    one = methods.low_bit.DoReFa(1)(torch.tensor([0.5, -0.25, 0.0, -0.65]))
    assert one.tolist() == pytest.approx([0.35, -0.35, 0.35, -0.35])


def test_one_bit_is_signs_and_a_mean():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 6, 3))
    before = net[0].weight.detach().numpy().astype(np.float64)
    methods.dorefa(net, {"0": 1}, exclude=())
    wanted = np.where(before >= 0, 1, -1) * np.float32(np.abs(before).mean())
    np.testing.assert_array_equal(net[0].weight.detach().numpy(), wanted.astype(np.float32))
    form = parametrize.forms(net)["0.weight"]
    assert isinstance(form, Integer)
    assert (form.bits, form.scales.shape) == (1, (1,))
    np.testing.assert_array_equal(form.dense(), net[0].weight.detach().numpy())
    net(torch.randn(2, 4, 5, 5)).square().sum().backward()
    original = net[0].parametrizations.weight.original
    plain = net[0].weight.detach().clone().requires_grad_()
    x = torch.randn(2, 4, 5, 5)
    original.grad = None
    net(x).square().sum().backward()
    F.conv2d(x, plain, net[0].bias).square().sum().backward()
    assert torch.equal(original.grad, plain.grad)


@pytest.mark.parametrize("bits", [2, 5])
def test_gradient_is_exact_but_for_the_rounding(bits):
    """Numerically, with the rounding left out: W' ~ tanh(W) / max|tanh W|, the maximum differentiated, too."""
    torch.manual_seed(0)
    weight = torch.randn(3, 4, dtype=torch.float64)
    pull = torch.randn(3, 4, dtype=torch.float64)
    form = methods.low_bit.DoReFa(bits, torch.tensor(1 / (2**bits - 1), dtype=torch.float64))
    given = weight.clone().requires_grad_()
    (form(given) * pull).sum().backward()

    def smooth(w):
        squashed = np.tanh(w)
        return float((squashed / np.abs(squashed).max() * pull.numpy()).sum())

    for i in range(weight.numel()):
        ends = []
        for sign in (1, -1):
            moved = weight.numpy().copy()
            moved.flat[i] += sign * 1e-6
            ends.append(smooth(moved))
        assert given.grad.view(-1)[i].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-6)


def test_the_first_and_the_last_layer_are_left_alone():
    def net():
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3), nn.Flatten(), nn.Linear(2, 3))

    found = net()
    assert methods.dorefa(found, {"*": 2}).numbers == {"0.weight": 32, "2.weight": 2, "4.weight": 32}
    assert parametrize.describe(found) == {"2.weight": {"kind": "dorefa", "bits": 2}}
    assert methods.dorefa(net(), {"*": 2}, exclude=["2"]).numbers == {"0.weight": 2, "2.weight": 32, "4.weight": 2}
    assert methods.dorefa(net(), {"*": 2}, exclude=()).numbers == {"0.weight": 2, "2.weight": 2, "4.weight": 2}
    with pytest.raises(ArgumentError, match=r"nothing is left to quantize.*exclude=\(\)"):
        methods.dorefa(net(), {"0": 2})
    with pytest.raises(ArgumentError, match="matches no layer"):
        methods.dorefa(net(), {"*": 2}, exclude=["nine"])


@pytest.mark.parametrize("bits", [1, 2, 6])
def test_the_scale_can_be_kept(bits):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(40, 30))
    before = net[0].weight.detach().clone()
    methods.dorefa(net, {"0": bits}, exclude=(), keep_scale=True)
    now = net[0].weight.detach()
    if bits > 1:
        assert now.square().mean().item() == pytest.approx(before.square().mean().item(), rel=1e-4)
    assert F.cosine_similarity(now.flatten(), before.flatten(), 0) > 0.8
    np.testing.assert_array_equal(parametrize.forms(net)["0.weight"].dense(), now.numpy())


def small_network():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 8, 3, groups=2),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Flatten(),
        nn.Linear(32, 3),
    )


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_training_checkpoint_file_and_engine(bits, tmp_path):
    torch.manual_seed(0)
    net = small_network()
    methods.dorefa(net, {"*": bits})
    assert methods.low_bit.quantize_activations(net, 4).replaced == ("2", "5")
    x, y = torch.randn(60, 1, 6, 6), torch.arange(60) % 3
    x[range(60), 0, y, y] += 4  # something to learn
    optimizer, losses = torch.optim.Adam(net.parameters(), 0.01), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    net.eval()

    fresh = small_network()
    methods.low_bit.quantize_activations(fresh, 4)
    parametrize.rebuild(fresh, parametrize.describe(net))
    fresh.load_state_dict(net.state_dict())
    parametrize.refresh(fresh)
    with torch.no_grad():
        wanted = net(x)
        assert torch.equal(fresh.eval()(x), wanted)

    graph = capture(net, (1, 6, 6), fold=False)
    forms = parametrize.forms(net).items()
    graph = graph.with_weights({name: form for name, form in forms if name in graph.weights})
    write(tmp_path / "net.pare", Contents(graph))
    there = read(tmp_path / "net.pare").graph
    np.testing.assert_array_equal(there.weights["3.weight"].dense(), net[3].weight.detach().numpy())
    answer = Engine(there).run(np.moveaxis(x.numpy(), 1, -1))
    same = np.isclose(answer, wanted.numpy(), atol=1e-4).all(1)
    assert same.mean() > 0.9  # a float sum beside a tie may take another code


def test_what_cannot_be_a_weight():
    def net():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

    for bits in (0, 9, 2.5):
        with pytest.raises(ArgumentError, match="width"):
            methods.dorefa(net(), {"*": bits}, exclude=())
    pruned = net()
    methods.prune(pruned, {"1": 0.5})
    with pytest.raises(ArgumentError, match="already pruned"):
        methods.dorefa(pruned, {"*": 2}, exclude=())
    assert parametrize.describe(pruned).keys() == {"1.weight"}  # the other one was not begun
    tied = net()
    tied[1].weight = tied[0].weight
    with pytest.raises(ArgumentError, match="share this parameter"):
        methods.dorefa(tied, {"0": 2}, exclude=())
    for spoilt, match in ((0.0, "every weight is zero"), (float("nan"), "not a finite")):
        broken = net()
        nn.init.constant_(broken[0].weight, spoilt)
        with pytest.raises(ArgumentError, match=match):
            methods.dorefa(broken, {"*": 2}, exclude=())


class Residual(nn.Module):
    """One relu module used twice under two paths, one functional call, and a SiLU."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.relu, self.silu = nn.ReLU(), nn.SiLU()
        self.again = self.relu

    def forward(self, x):
        x = F.relu(self.conv2(self.relu(self.conv1(x))) + x)
        return self.silu(self.again(self.conv1(x)))


def test_activations_that_cannot_be_replaced_are_named():
    net = Residual()
    found = methods.low_bit.quantize_activations(net, 3, example=(2, 5, 5))
    assert found.replaced == ("relu", "again")
    assert net.relu is net.again
    assert isinstance(net.relu, ClippedQuantizer)
    assert dict(found.left) == {
        "relu": "a functional call cannot be replaced; make a module of it",
        "silu": "silu is no ReLU",
    }
    assert "silu: left" in str(found)


def test_activations_by_pattern_and_again():
    net = small_network()
    found = methods.low_bit.quantize_activations(net, 2, ["2"], high=2.0, example=(1, 6, 6))
    assert (found.replaced, dict(found.left)) == (("2",), {"5": "no pattern matches it"})
    assert (net[2].bits, net[2].high, type(net[5])) == (2, 2.0, nn.ReLU6)
    methods.low_bit.quantize_activations(net, 5)
    assert [net[2].bits, net[5].bits] == [5, 5]


def test_what_cannot_be_an_activation():
    with pytest.raises(ArgumentError, match="matches no ReLU"):
        methods.low_bit.quantize_activations(small_network(), 2, ["2", "relu*"])
    with pytest.raises(ArgumentError, match=r"F\.relu"):
        methods.low_bit.quantize_activations(nn.Sequential(nn.Linear(2, 2)), 2)
    untouched = small_network()
    with pytest.raises(ArgumentError, match="width"):
        methods.low_bit.quantize_activations(untouched, 9)
    assert isinstance(untouched[2], nn.ReLU)
    with pytest.raises(GraphError):
        methods.low_bit.quantize_activations(
            nn.Sequential(nn.ReLU(), nn.Upsample(scale_factor=2)), 2, example=(1, 4, 4)
        )


def test_copies_are_independent():
    net = small_network()
    methods.dorefa(net, {"3": 2})
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[3].parametrizations.weight.original.neg_()
    assert not torch.equal(net[3].weight, other[3].weight)


@pytest.mark.parametrize(("page", "least"), [("inq.md", 9), ("dorefa.md", 9)])
def test_the_examples_of_the_pages_run(page, least):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testfile(str(PAGES / page), module_relative=False, optionflags=flags)
    assert tried >= least
    assert failed == 0
