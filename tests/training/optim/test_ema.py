import pytest
import torch
from torch import nn

from paring import methods
from paring.errors import ArgumentError
from paring.training.optim import EMA
from tests.training.problem import bytes_of, network


def test_it_is_its_formula():
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(0.0)
    ema, expected = EMA(net, 0.5), 0.0
    for step, value in enumerate((1.0, 2.0, -3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)):
        net.weight.data.fill_(value)
        ema.update(net, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert ema.state["weight"].item() == pytest.approx(expected)
    assert decay == 0.5


def test_masks_are_copied_and_new_forms_begin_anew():
    net = network()
    ema = EMA(net, 0.9)
    methods.prune(net, {"5": 0.5})
    ema.update(net, 0)
    assert set(ema.state) == set(net.state_dict())
    for name, tensor in net.state_dict().items():
        assert ema.state[name].dtype == tensor.dtype
        if not tensor.is_floating_point():
            assert torch.equal(ema.state[name], tensor)


def test_what_a_method_keeps_by_now_is_copied_and_statistics_are_averaged():
    net = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    methods.prune_movement(net, {"0": 1.0})
    ema = EMA(net, 0.9)
    methods.prune_movement(net, {"0": 0.25})
    before = net[1].running_mean.clone()
    net[1].running_mean += 1
    ema.update(net, 100)
    with ema.in_place_of(net):
        assert int(torch.count_nonzero(net[0].weight)) == 16
        torch.testing.assert_close(net[1].running_mean, before + 1 - 0.9)


def test_the_network_gets_its_own_weights_back_to_the_bit():
    net = network()
    ema = EMA(net, 0.9)
    net[5].weight.data.mul_(1.1)
    before = bytes_of(net)
    with ema.in_place_of(net):
        assert bytes_of(net) == bytes_of(network())
    assert bytes_of(net) == before
    with pytest.raises(RuntimeError, match="oops"), ema.in_place_of(net):
        raise RuntimeError("oops")
    assert bytes_of(net) == before


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_what_cannot_be_is_refused(decay):
    with pytest.raises(ArgumentError, match="decay"):
        EMA(network(), decay)
