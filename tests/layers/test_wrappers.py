"""Wrappers of other tools are taken off; copies can be made after any pass."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune, weight_norm
from torch.optim.swa_utils import AveragedModel

from paring.layers import bare, duplicate


class Mine(nn.DataParallel):
    """A wrapper of a user's own."""


@pytest.mark.parametrize(
    "wrap",
    [nn.DataParallel, torch.compile, AveragedModel, Mine, lambda net: torch.compile(nn.DataParallel(net))],
)
def test_the_network_inside_has_no_prefix(wrap):
    net = nn.Sequential(nn.Linear(4, 3))
    found = bare(wrap(net))
    assert list(found.state_dict()) == ["0.weight", "0.bias"]
    assert type(found) is nn.Sequential
    assert bare(net) is net


def test_a_module_that_happens_to_hold_a_module_is_no_wrapper():
    net = nn.Sequential()
    net.add_module("module", nn.Linear(4, 3))
    assert bare(net) is net


@pytest.mark.parametrize("change", [weight_norm, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)])
def test_a_copy_after_a_training_pass(change):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    change(net[0])
    x = torch.randn(5, 4)
    want = net(x)
    made = duplicate(nn.DataParallel(net))
    assert made is not net
    assert made[0] is not net[0]
    torch.testing.assert_close(made(x), want, rtol=0, atol=0)
    want.sum().backward()  # the original's gradient is whole
    assert all(p.grad is not None for p in net.parameters())
    assert all(p.grad is None for p in made.parameters())
