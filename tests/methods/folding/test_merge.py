"""Module-wide folding of batch norms and merging of linear layers, judged by the network before it."""

import copy

import pytest
import torch
from torch import nn

from paring import methods, zoo
from paring.errors import ArgumentError, GraphError
from paring.methods.folding import fold_batch_norms, merge_chains, merge_layers


def used(network):
    """Batch norms as after training: nothing is at its start."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return network.double().eval()


class Zoo(nn.Module):
    """Every kind of layer before a norm, and every reason why a norm must stay."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.grouped, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8)
        self.deep, self.bn3 = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8)
        self.up, self.bn4 = nn.ConvTranspose2d(8, 6, 2, 2, groups=2), nn.BatchNorm2d(6)
        self.branch, self.bn5 = nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6)
        self.bn6, self.padded = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1)
        self.bn7, self.open = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3)
        self.twice, self.bn8, self.bn9 = nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        self.fc, self.bn10 = nn.Linear(6, 5), nn.BatchNorm1d(5)
        self.unused = nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.bn1(self.conv(x)).relu()
        x = self.bn2(self.grouped(x)).relu()
        x = self.bn4(self.up(self.bn3(self.deep(x)).relu())).relu()
        y = self.branch(x)
        x = self.bn5(y) + y
        x = self.padded(self.bn6(x.relu())).relu()
        x = self.open(self.bn7(x)).relu()
        x = self.bn9(self.twice(self.bn8(self.twice(x)).relu())).relu()
        return self.bn10(self.fc(x.mean((2, 3))))


def test_every_norm_is_folded_where_that_is_exact_and_only_there():
    torch.manual_seed(0)
    network, x = used(Zoo()), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    wanted = network(x)
    found = fold_batch_norms(network, x)
    torch.testing.assert_close(network(x), wanted)
    into = {path: outcome.into for path, outcome in found.items() if outcome.into}
    assert into == {"bn1": "conv", "bn2": "grouped", "bn3": "deep", "bn4": "up", "bn7": "open", "bn10": "fc"}
    reasons = {path: outcome.reason for path, outcome in found.items() if outcome.reason}
    assert "also used elsewhere" in reasons.pop("bn5")
    assert "border" in reasons.pop("bn6")
    assert "more than once" in reasons.pop("bn8")
    assert "more than once" in reasons.pop("bn9")
    assert "does not use it" in reasons.pop("unused")
    assert not reasons
    assert isinstance(network.bn7, nn.Identity)
    assert isinstance(network.bn6, nn.BatchNorm2d)


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2"])
def test_networks_of_the_zoo_lose_all_norms_and_nothing_else(name):
    torch.manual_seed(0)
    network, x = used(zoo.create(name)), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    norms = [path for path, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    wanted = network(x)
    found = fold_batch_norms(network, x)
    assert sorted(found) == sorted(norms)
    assert all(outcome.into for outcome in found.values())
    torch.testing.assert_close(network(x), wanted, rtol=1e-6, atol=1e-8)
    assert not [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]


def test_norms_that_depend_on_the_batch_and_pruned_layers_stay():
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, track_running_stats=False), nn.ReLU())
    (outcome,) = fold_batch_norms(network, torch.randn(2, 2, 4, 4)).values()
    assert not outcome.into
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU()).eval()
    methods.prune(network, {"0": 0.5})
    (outcome,) = fold_batch_norms(network, torch.randn(2, 2, 4, 4)).values()
    assert not outcome.into
    assert network.training is False


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_network_that_cannot_be_traced():
    with pytest.raises(GraphError, match="traced"):
        fold_batch_norms(Branching(), torch.ones(1, 2))


PAIRS = {
    "1x1 then 3x3": (nn.Conv2d(4, 6, 1, bias=False), nn.Conv2d(6, 5, 3, 2, 1)),
    "3x3 then 1x1": (nn.Conv2d(4, 6, 3, 2, 1), nn.Conv2d(6, 5, 1, 2)),
    "biases": (nn.Conv2d(4, 6, 1), nn.Conv2d(6, 5, 3, dilation=2)),
    "vertical then horizontal": (
        nn.Conv2d(4, 6, (3, 1), (2, 1), (1, 0), bias=False),
        nn.Conv2d(6, 5, (1, 5), (1, 3), (0, 2)),
    ),
    "depthwise then 1x1": (nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Conv2d(6, 4, 1)),
    "groups 2 then 4": (nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.Conv2d(8, 12, 1, groups=4)),
    "groups 6 then 4": (nn.Conv2d(12, 12, 1, groups=6), nn.Conv2d(12, 8, 3, groups=4)),
    "same": (nn.Conv2d(4, 6, 1, bias=False), nn.Conv2d(6, 5, 3, padding="same")),
    "padded 1x1": (nn.Conv2d(4, 6, 1, padding=2), nn.Conv2d(6, 5, 3)),
    "reflect": (nn.Conv2d(4, 6, 1), nn.Conv2d(6, 5, 3, padding=1, padding_mode="reflect")),
    "1-d": (nn.Conv1d(4, 6, 1), nn.Conv1d(6, 5, 3, 2)),
    "linear": (nn.Linear(4, 6), nn.Linear(6, 5, bias=False)),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_a_merged_layer_computes_the_pair(kind):
    torch.manual_seed(0)
    first, second = (copy.deepcopy(layer).double() for layer in PAIRS[kind])
    shape = {"linear": (3, 4), "1-d": (2, 4, 11)}.get(kind, (2, getattr(first, "in_channels", 0), 11, 10))
    x = torch.randn(shape, dtype=torch.float64)
    merged = merge_layers(first, second)
    torch.testing.assert_close(merged(x), second(first(x)))
    assert type(merged) is type(first)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (nn.Conv2d(4, 6, 1), nn.Conv2d(6, 5, 3, padding=1), "border"),
        (nn.Conv2d(4, 6, 3), nn.Conv2d(6, 5, 3), "one axis"),
        (nn.Conv2d(4, 6, 1, 2), nn.Conv2d(6, 5, 3), "one axis"),
        (nn.Conv2d(4, 6, 1), nn.Conv2d(5, 5, 1), "do not fit"),
        (nn.Linear(4, 6), nn.Linear(5, 5), "do not fit"),
        (nn.Linear(4, 6), nn.Conv2d(6, 5, 1), "cannot be merged"),
        (nn.ConvTranspose2d(4, 6, 1), nn.ConvTranspose2d(6, 5, 1), "cannot be merged"),
        (nn.Conv2d(4, 6, 1, bias=False), nn.Conv2d(6, 5, (2, 3), padding="same"), "wider on one side"),
    ],
)
def test_pairs_that_cannot_be_merged(first, second, words):
    with pytest.raises(ArgumentError, match=words):
        merge_layers(first, second)


@pytest.mark.parametrize("scheme", ["svd", "spatial", "tucker"])
def test_merging_undoes_a_factorization(scheme):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 3, stride=2, padding=1).double()
    network, x = nn.Sequential(copy.deepcopy(layer), nn.ReLU()), torch.randn(2, 4, 9, 9, dtype=torch.float64)
    methods.factorize(network, {"0": {"svd": 6, "spatial": 12, "tucker": (4, 6)}[scheme]}, scheme=scheme, by="rank")
    found = merge_chains(network, x)
    last = str(len(network[0]) - 1)
    assert {row.name: row.into for row in found.rows} == {f"0.{n}": f"0.{n + 1}" for n in range(int(last))}
    torch.testing.assert_close(network[0][int(last)].weight, layer.weight)
    torch.testing.assert_close(network(x), layer(x).relu())


def test_chains_are_merged_only_where_that_is_smaller():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(20, 4), nn.Linear(4, 30), nn.ReLU(), nn.Linear(30, 30), nn.Linear(30, 10), nn.ReLU()
    )
    x = torch.randn(3, 5, 4)
    wanted = network(x)
    found = merge_chains(network, x)
    assert found["4"].into == "5"
    assert not found["1"].into
    assert "630 parameters, the two have 234" in found["1"].reason
    torch.testing.assert_close(network(x), wanted)
    assert merge_chains(network, x, only_smaller=False)["1"].into == "2"
    torch.testing.assert_close(network(x), wanted)
