import numpy as np
import pytest
import torch
from torch import nn

from paring import zoo
from paring.errors import ArgumentError
from paring.methods.channels import prune_branches, prune_channels
from paring.runtime import Engine
from paring.training.input import Batch
from paring.training.optim import cross_entropy


def network():
    torch.manual_seed(0)
    net = zoo.create("resnet20", depth=8, num_classes=4)
    net.train()(torch.randn(8, 3, 8, 8))  # statistics of their own
    return net.eval()


def test_a_module_becomes_a_smaller_one_that_the_engine_agrees_with():
    net = network()
    small = prune_channels(net, example=(3, 8, 8), macs=0.5)
    assert small.macs[1] <= 0.5 * small.macs[0]
    assert set(small.network.state_dict()) == set(net.state_dict())
    assert sum(isinstance(m, nn.BatchNorm2d) for m in small.network.modules()) == 7
    again = prune_channels(small.network, example=(3, 8, 8), macs=0.8)
    assert again.macs[1] <= 0.8 * small.macs[1]
    assert {row.name for row in again.rows} == {row.name for row in small.rows}
    x = torch.randn(3, 3, 8, 8)
    expected = again.network(x).detach().numpy()
    got = Engine(again.network.as_graph()).run(np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy()))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("score", ["taylor", "bn", "l2"])
def test_scores_that_ask_the_module(score):
    net = network()
    batch = Batch(torch.randn(8, 3, 8, 8), torch.arange(8) % 4, torch.arange(8))
    small = prune_channels(net, example=(3, 8, 8), macs=0.7, score=score, batches=[batch], loss=cross_entropy())
    assert small.macs[1] <= 0.7 * small.macs[0]
    assert small.network(batch.images).shape == (8, 4)


def test_taylor_without_data():
    with pytest.raises(ArgumentError, match="needs data"):
        prune_channels(network(), example=(3, 8, 8), macs=0.7, score="taylor")


def calibration():
    return [Batch(torch.randn(8, 3, 8, 8), torch.arange(8) % 4, torch.arange(8))]


def asked():
    return {"example": (3, 8, 8), "batches": calibration(), "loss": cross_entropy()}


def test_branches_by_number_are_those_that_the_loss_misses_least():
    torch.manual_seed(0)
    net = zoo.create("resnet20", depth=14, num_classes=4)
    net.train()(torch.randn(8, 3, 8, 8))
    for block in (net.layer1[1], net.layer3[1]):  # do nothing: their branches are zero
        nn.init.zeros_(block.bn2.weight)
    net.eval()
    batches = calibration()
    expected = net(batches[0].images).detach()

    def change(network, batch):
        return (network(batch.images) - expected).square().mean()

    shallow = prune_branches(net, 2, example=(3, 8, 8), batches=batches, loss=change)
    assert set(shallow.removed_branches) == {"layer1.1.add", "layer3.1.add"}
    assert max(shallow.losses) < 1e-6
    torch.testing.assert_close(shallow.network(batches[0].images), net(batches[0].images), rtol=1e-3, atol=1e-4)
    named = prune_branches(net, example=(3, 8, 8), branches=["layer1.1.*", "layer3.1.conv2"])
    assert (named.removed_branches, named.losses, named.macs) == (("layer1.1.add", "layer3.1.add"), (), shallow.macs)
    assert set(named.network.state_dict()) < set(net.state_dict())


def test_branches_then_channels_then_training():
    net = network()
    shallow = prune_branches(net, 1, **asked(), exclude=["layer1.*", "layer2.*"])
    assert shallow.removed_branches == ("layer3.0.add",)
    small = prune_channels(shallow.network, example=(3, 8, 8), macs=int(0.5 * shallow.macs[0]), score="bn")
    assert small.macs[1] <= 0.5 * shallow.macs[0]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in small.network.modules()) == 5
    x = torch.randn(8, 3, 8, 8)
    small.network.train()(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in small.network.parameters())


def test_branches_without_data_or_too_many():
    with pytest.raises(ArgumentError, match="by the loss on data"):
        prune_branches(network(), 1, example=(3, 8, 8))
    with pytest.raises(ArgumentError, match=r"so many branches cannot be removed.*up to 3"):
        prune_branches(network(), 4, **asked())
    with pytest.raises(ArgumentError, match=r"no residual branch.*layer3\.0"):
        prune_branches(network(), 1, **asked(), exclude=["layer3.9.conv1"])
