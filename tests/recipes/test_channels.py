import numpy as np
import pytest
import torch
from torch import nn

from paring import zoo
from paring.errors import ArgumentError
from paring.recipes import cut_channels
from paring.runtime import Engine
from paring.training import Batch


def network():
    torch.manual_seed(0)
    net = zoo.create("resnet20", depth=8, num_classes=4)
    net.train()(torch.randn(8, 3, 8, 8))  # statistics of their own
    return net.eval()


def test_a_module_becomes_a_smaller_one_that_the_engine_agrees_with():
    net = network()
    small = cut_channels(net, (3, 8, 8), macs=0.5)
    assert small.pruning.macs[1] <= 0.5 * small.pruning.macs[0]
    assert set(small.network.state_dict()) == set(net.state_dict())
    assert sum(isinstance(m, nn.BatchNorm2d) for m in small.network.modules()) == 7
    again = cut_channels(small.network, (3, 8, 8), macs=0.8)
    assert again.pruning.macs[1] <= 0.8 * small.pruning.macs[1]
    assert {row.name for row in again.pruning.layers} == {row.name for row in small.pruning.layers}
    x = torch.randn(3, 3, 8, 8)
    expected = again.network(x).detach().numpy()
    got = Engine(again.network.as_graph()).run(np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy()))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("score", ["taylor", "bn", "l2"])
def test_scores_that_ask_the_module(score):
    net = network()
    batch = Batch(torch.randn(8, 3, 8, 8), torch.arange(8) % 4, torch.arange(8))
    small = cut_channels(net, (3, 8, 8), macs=0.7, score=score, batches=[batch])
    assert small.pruning.macs[1] <= 0.7 * small.pruning.macs[0]
    assert small.network(batch.images).shape == (8, 4)


def test_taylor_without_data():
    with pytest.raises(ArgumentError, match="needs data"):
        cut_channels(network(), (3, 8, 8), macs=0.7, score="taylor")
