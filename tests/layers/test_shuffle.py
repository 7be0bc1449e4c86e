import pytest
import torch
from torch.nn import functional as F

from paring.errors import ArgumentError
from paring.layers import ChannelShuffle, channel_shuffle


@pytest.mark.parametrize(("channels", "groups"), [(6, 2), (6, 3), (12, 4), (240, 3), (8, 1), (8, 8)])
def test_every_channel_lands_where_the_formula_says(channels, groups):
    x = torch.randn(2, channels, 3, 5)
    y = channel_shuffle(x, groups)
    for i in range(groups):
        for j in range(channels // groups):
            assert torch.equal(y[:, j * groups + i], x[:, i * (channels // groups) + j])
    assert torch.equal(y, F.channel_shuffle(x, groups))


def test_six_channels_by_hand():
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert channel_shuffle(x, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert channel_shuffle(x, 3).flatten().tolist() == [0, 2, 4, 1, 3, 5]


@pytest.mark.parametrize("groups", [2, 3, 4, 6])
def test_the_inverse_undoes_it_both_ways(groups):
    x = torch.randn(2, 24, 4, 4)
    there, back = ChannelShuffle(groups), ChannelShuffle(groups, inverse=True)
    assert torch.equal(back(there(x)), x)
    assert torch.equal(there(back(x)), x)
    assert torch.equal(back(x), channel_shuffle(x, 24 // groups))


def test_gradient_goes_back_to_the_channel_it_came_from():
    x = torch.randn(1, 6, 1, 1, requires_grad=True)
    (channel_shuffle(x, 3) * torch.arange(6.0).view(1, 6, 1, 1)).sum().backward()
    assert x.grad.flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_groups_must_divide():
    with pytest.raises(ArgumentError, match="groups"):
        channel_shuffle(torch.zeros(1, 7, 1, 1), 2)
    with pytest.raises(ArgumentError, match="groups"):
        ChannelShuffle(0)
