"""BinaryConnect against loops, the statistics of its draws, and an interrupted run that must draw the same again."""

import numpy as np
import pytest
import torch
from torch import nn

from paring import methods, parametrize, training
from paring.errors import ArgumentError
from tests.methods.low_bit.cases import LAYERS, check_round_trip, name_of, network, train


def sign(value):
    return 1.0 if value >= 0 else -1.0


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("kind", LAYERS)
def test_through_training_checkpoint_and_file(kind, scale, tmp_path):
    net, name = network(kind), name_of(kind)
    assert methods.binary_connect(net, {name: scale})[f"{name}.weight"].done == f"H {scale:g}"
    train(net, after=methods.low_bit.clip_weights)
    original = net.get_submodule(name).parametrizations.weight.original.detach().numpy()
    assert np.abs(original).max() <= scale
    form = check_round_trip(net, network(kind, 1), tmp_path / "net.pare", name)
    assert (form.bits, form.scales.tolist()) == (1, [np.float32(scale)])
    assert form.codes.ravel().tolist() == [sign(w) for w in original.ravel()]


def test_the_update_is_algorithm_1():
    """w <- clip(w - rate dC/dw_b): the gradient at the binary weights, no window, then the clip."""
    torch.manual_seed(0)
    net = nn.Linear(6, 3, bias=False)
    methods.binary_connect(net, {"weight": 1.0})
    with torch.no_grad():
        net.parametrizations.weight.original.copy_(torch.linspace(-1, 1, 18).reshape(3, 6))
    x, lr = torch.randn(5, 6), 0.3
    before = net.parametrizations.weight.original.detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr)
    net(x).pow(3).sum().backward()
    optimizer.step()
    methods.low_bit.clip_weights(net)
    binary = torch.tensor([[sign(w) for w in row] for row in before.tolist()])
    gradient = (3 * (x @ binary.T) ** 2).T @ x  # d sum (x B^T)^3 / dB
    wanted = np.clip(before.numpy() - lr * gradient.numpy(), -1, 1)
    np.testing.assert_allclose(net.parametrizations.weight.original.detach().numpy(), wanted, atol=1e-5)


def test_probability_of_a_draw_is_the_hard_sigmoid():
    w = torch.tensor([-2.0, -1.0, -0.6, 0.0, 0.3, 1.0, 1.5])
    assert methods.low_bit.hard_sigmoid(w).tolist() == pytest.approx([0, 0, 0.2, 0.5, 0.65, 1, 1])
    draws = methods.low_bit.stochastic_sign(w.repeat(40_000, 1), torch.Generator().manual_seed(0))
    assert set(draws.unique().tolist()) == {-1.0, 1.0}
    share = (draws > 0).float().mean(0)
    assert share[[0, 1, 5, 6]].tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(share, methods.low_bit.hard_sigmoid(w), atol=4 * 0.5 / 200)  # four standard deviations


def test_draws_have_the_real_weight_as_their_mean():
    layer = nn.Linear(50, 40)
    methods.binary_connect(layer, {"weight": 0.5}, stochastic=True)
    with torch.no_grad():
        layer.parametrizations.weight.original.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    mean = torch.stack([layer.weight.detach() for _ in range(400)]).mean(0)
    assert (mean - layer.parametrizations.weight.original).abs().mean() < 0.025
    layer.eval()
    assert torch.equal(layer.weight, layer.weight)
    assert torch.equal(layer.weight, torch.where(layer.parametrizations.weight.original >= 0, 0.5, -0.5))


def test_what_is_exported_or_baked_is_never_drawn():
    net = nn.Sequential(nn.Linear(30, 20)).train()
    methods.binary_connect(net, {"0": 1.0}, stochastic=True)
    wanted = torch.where(net[0].parametrizations.weight.original >= 0, 1.0, -1.0)
    assert torch.equal(torch.from_numpy(parametrize.forms(net)["0.weight"].dense()), wanted)
    assert torch.equal(torch.from_numpy(methods.graph_with_forms(net, (30,)).weights["0.weight"].dense()), wanted)
    assert net.training
    parametrize.detach(net)
    assert torch.equal(net[0].weight, wanted)


def test_a_network_in_eval_mode_draws_nothing():
    net = nn.Sequential(nn.Linear(30, 20)).eval()
    methods.binary_connect(net, {"0": 1.0}, stochastic=True)
    assert torch.equal(net[0].weight, net[0].weight)


class Stop(Exception):
    """The kill."""


def test_a_killed_run_draws_the_same_again(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (48, 8, 8, 1), np.uint8), rng.integers(0, 3, 48)

    def go(folder, until=None, resume=False):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))
        methods.binary_connect(net, {"*": "glorot"}, stochastic=True)
        batches = training.Batches(images, labels, mean=(0.5,), std=(0.3,), size=8, seed=3, augment="none")

        def after(step):
            methods.low_bit.clip_weights(net)
            if step == until:
                raise Stop

        settings = training.Settings(epochs=3, batch=8, lr=0.05, seed=3)
        clock = training.Clock(0, 2)
        args = {"folder": folder, "after_step": after, "resume": resume, "clock": clock, "progress": False}
        training.run(net, batches, settings, **args)
        return net.state_dict()

    whole = go(tmp_path / "whole")
    with pytest.raises(Stop):
        go(tmp_path / "killed", until=9)
    assert (tmp_path / "killed" / "step-00000008.safetensors").exists()
    resumed = go(tmp_path / "killed", resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_glorots_scale():
    net = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Linear(20, 10))
    methods.binary_connect(net, {"*": "glorot"})
    assert {f"{n}.weight": float(net[n].parametrizations.weight[0].scale) for n in (0, 1)} == {
        "0.weight": pytest.approx((1.5 / (4 * 9 + 6 * 9)) ** 0.5),
        "1.weight": pytest.approx((1.5 / 30) ** 0.5),
    }


@pytest.mark.parametrize("scale", [0, -1.0, float("inf"), "xavier"])
def test_a_scale_that_cannot_be(scale):
    net = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(ArgumentError, match="scale of binary weights"):
        methods.binary_connect(net, {"0": scale})
    assert not parametrize.describe(net)


def test_glorots_scale_of_a_bias_and_clipping_of_nothing_are_refused():
    net = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(ArgumentError, match="inputs and outputs"):
        methods.binary_connect(net, {"*.bias": "glorot"})
    with pytest.raises(ArgumentError, match="no binary weight"):
        methods.low_bit.clip_weights(net)
