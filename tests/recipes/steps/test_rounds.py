import numpy as np
import torch
from torch import nn

from paring import methods
from paring.recipes.run._result import write_arrays
from paring.recipes.steps._rounds import Pruner
from paring.recipes.steps._rounds import drop_idle_weights as drop_idle


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))
    methods.prune(net, {"*": 1.0, "*.bias": 1.0})
    return net


def kept(net):
    return [int(torch.count_nonzero(net[i].weight)) for i in (0, 2)]


def test_masks_tighten_at_even_steps_along_the_cubic():
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    pruner = Pruner(net, 0.2, {"2.weight": 0.5}, rounds=4)
    pruner.begin(optimizer, 20)
    seen = {}
    for step in range(20):
        before = kept(net)
        pruner(step)
        if kept(net) != before:
            seen[step] = kept(net)
        optimizer.zero_grad()
        net(torch.randn(4, 10)).square().sum().backward()
        optimizer.step()
    expected = {
        5 * (r - 1): [
            round(80 * (0.2 + 0.8 * (1 - r / 4) ** 3)),
            round(24 * (0.5 + 0.5 * (1 - r / 4) ** 3)),
        ]
        for r in (1, 2, 3, 4)
    }
    assert seen == expected


def test_the_optimizer_forgets_pruned_weights():
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    net(torch.randn(4, 10)).square().sum().backward()
    optimizer.step()
    pruner = Pruner(net, 0.2, {}, rounds=1)
    pruner.begin(optimizer, 1)
    pruner(0)
    for layer in (net[0], net[2]):
        original, mask = layer.parametrizations.weight.original, layer.parametrizations.weight[0].mask
        for name in ("exp_avg", "exp_avg_sq"):
            moment = optimizer.state[original][name]
            assert not moment[~mask].any()
            assert moment[mask].any()


def test_idle_weights_go_and_no_answer_changes():
    net = network()
    with torch.no_grad():
        net[2].parametrizations.weight.original[:, 1] = 0  # nothing reads unit 1
        net[0].parametrizations.bias.original[2] = -1e3  # unit 2 never fires
    x = torch.randn(200, 10)
    x[:, 4] = 0  # a pixel that is always dark
    before = net(x)
    nonzero = sum(int(torch.count_nonzero(net[i].weight) + torch.count_nonzero(net[i].bias)) for i in (0, 2))
    dropped = drop_idle(net, x, seed=0)
    assert torch.equal(net(x), before)
    assert all(parameter.grad is None for parameter in net.parameters())
    weight = net[0].weight
    assert not weight[1].any()
    assert not weight[2].any()
    assert not weight[:, 4].any()
    assert not net[2].weight[:, 2].any()
    assert net[0].bias[1] == net[0].bias[2] == 0
    assert dropped >= 10 + 10 + 6 + 3 + 2
    after = sum(int(torch.count_nonzero(net[i].weight) + torch.count_nonzero(net[i].bias)) for i in (0, 2))
    assert nonzero - after == dropped
    assert all(weight[row].any() for row in (0, 3, 4, 5, 6, 7))


def test_arrays_are_written_without_a_clock(tmp_path):
    arrays = {"fc1.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "fc1.bias": np.ones(2, np.float32)}
    for name in "ab":
        write_arrays(tmp_path / f"{name}.npz", arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    found = np.load(tmp_path / "a.npz")
    assert {n: found[n].tolist() for n in found} == {n: a.tolist() for n, a in arrays.items()}


def test_places_of_idle_weights_are_left_to_others():
    net = network()
    with torch.no_grad():
        net[0].parametrizations.weight.original[1] = 50.0  # largest of all,
        net[2].parametrizations.weight.original[:, 1] = 0  # but nothing reads unit 1
    optimizer = torch.optim.SGD(net.parameters(), 1e-9)
    x = torch.randn(50, 10)
    pruner = Pruner(net, 0.5, {}, rounds=10, images=x)
    pruner.begin(optimizer, 10)
    for step in range(10):
        pruner(step)
    assert not net[0].weight[1].any()
    assert sum(kept(net)) == round(0.5 * 104)
