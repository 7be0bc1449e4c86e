import copy

import numpy as np
import pytest
import torch
from torch import nn

from paring import methods, parametrize
from paring.errors import ArgumentError, CheckpointError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Linear(4, 3))
        self.fc1 = nn.Linear(3, 2, bias=False)


def test_weights_are_those_of_layers_in_order():
    assert list(parametrize.weights(Net())) == ["conv1.weight", "block.0.weight", "block.1.weight", "fc1.weight"]


def test_patterns_match_paths_and_later_ones_win():
    net = Net()
    assert parametrize.select(net, {"*": 1, "block.*": 2, "*.1": 3}) == {
        "conv1.weight": 1,
        "block.0.weight": 2,
        "block.1.weight": 3,
        "fc1.weight": 1,
    }
    assert list(parametrize.select(net, {"*.bias": 0})) == ["conv1.bias", "norm.bias", "block.0.bias", "block.1.bias"]
    assert parametrize.select(net, {"norm.weight": 5}) == {"norm.weight": 5}


def test_names_are_plain_under_parametrizations():
    net = Net()
    before = list(parametrize.places(net))
    methods.prune(net, {"*": 0.5})
    methods.share(net, {"block.*": 2, "*.bias": 2})
    assert list(parametrize.places(net)) == before
    assert list(parametrize.forms(net)) == before


def test_a_pattern_without_a_match_names_the_nearest():
    with pytest.raises(ArgumentError, match=r"'conv2'.*conv1"):
        parametrize.select(Net(), {"conv2": 1})
    with pytest.raises(ArgumentError, match=r"fc1\.bias"):
        methods.prune(Net(), {"fc1.bias": 1.0})


def test_a_shared_parameter_is_listed_once():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert list(parametrize.weights(net)) == ["0.weight"]


def test_rebuild_gives_the_same_network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    plain = copy.deepcopy(net)
    methods.prune(net, {"*": 0.6}, bits=16)
    methods.share(net, {"0": 3, "*.bias": 2}, bits=16)
    other = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    parametrize.rebuild(other, parametrize.describe(net))
    other.load_state_dict(net.state_dict())
    parametrize.refresh(other)
    x = torch.randn(5, 1, 4, 4)
    assert torch.equal(net(x), other(x))
    assert parametrize.describe(net) == parametrize.describe(other)
    parametrize.detach(net)
    assert parametrize.describe(net) == {}
    assert torch.equal(net(x), other(x))
    assert set(net.state_dict()) == set(plain.state_dict())


def test_rebuild_refuses_what_it_does_not_know():
    for description in ({"nowhere.weight": {"kind": "pruned", "bits": 32}}, {"0.weight": {"kind": "mystery"}}):
        with pytest.raises(CheckpointError):
            parametrize.rebuild(nn.Sequential(nn.Linear(2, 2)), description)


def test_halve_rounds_and_exports_what_it_trained():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4))
    exact = net[0].bias.detach().clone()
    assert parametrize.halve(net) == ["0.bias"]
    assert parametrize.halve(net) == []
    form = parametrize.forms(net)["0.bias"]
    assert form.bits == 16
    np.testing.assert_array_equal(form.dense(), exact.numpy().astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(form.dense(), net[0].bias.detach().numpy())
    net(torch.ones(2, 3)).sum().backward()
    assert torch.equal(net[0].parametrizations.bias.original.grad, torch.full((4,), 2.0))


def test_a_copy_is_baked_without_its_original():
    net = Net()
    methods.prune(net, {"*": 0.5})
    methods.share(net, {"fc1": 2})
    before = {name: form.dense() for name, form in parametrize.forms(net).items()}
    twin = copy.deepcopy(net)
    parametrize.detach(twin)
    assert type(twin.conv1) is nn.Conv2d
    for name, form in parametrize.forms(net).items():
        np.testing.assert_array_equal(form.dense(), before[name])
        np.testing.assert_array_equal(parametrize.forms(twin)[name].dense(), before[name])
    assert parametrize.describe(net).keys() == {
        name for name in before if name.endswith("weight") and "norm" not in name
    }


def test_layers_that_share_a_weight_share_its_form():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    net[2].weight = net[0].weight
    assert parametrize.select(net, {"2": 1}) == parametrize.select(net, {"0": 1}) == {"0.weight": 1}
    methods.prune(net, {"2": 0.5})
    methods.share(net, {"2.weight": 3})
    assert net[0].weight.equal(net[2].weight)
    assert len(list(net.parameters())) == 3
    parametrize.detach(net)
    assert net[0].weight is net[2].weight
