"""DFQ: equalization leaves the function as it is, moments against scipy and samples, corrections by hand."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from paring.capture import capture, norm_statistics, rebuild
from paring.errors import ArgumentError
from paring.graph import fold_scale_shift
from paring.methods.integer import bias_error, clipped_normal, moments, normals, quantize
from paring.methods.integer.equalize import absorb_high_biases, equalize, links


def network(relu6=False):
    """Plain, depthwise, pointwise, grouped, pooled and fully connected layers in a row, channels of unlike size."""
    torch.manual_seed(0)
    act = nn.ReLU6 if relu6 else nn.ReLU
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        act(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.BatchNorm2d(8),
        act(),
        nn.Conv2d(8, 6, 1, bias=False),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 12, 3, groups=3, bias=False),
        nn.BatchNorm2d(12),
        act(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(108, 5),
    )
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(torch.exp(torch.randn(module.num_features)))
                module.bias.normal_(0.5, 1)
                module.momentum = None
        for _ in range(40):
            net.train()(torch.randn(64, 3, 8, 8))
    return net.eval()


def folded(net):
    unfolded = capture(net, (3, 8, 8), fold=False)
    norms = norm_statistics(net, unfolded)
    return fold_scale_shift(unfolded), norms


IMAGES = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(7))


def test_batch_norms_are_found_behind_their_layers():
    net = network()
    graph, norms = folded(net)
    assert list(norms) == ["0", "3", "6", "8"]
    assert {node.name for node in graph.nodes} >= set(norms)
    for layer, norm in (("0", net[1]), ("6", net[7])):
        np.testing.assert_allclose(norms[layer].gamma, norm.weight.detach())
        np.testing.assert_allclose(norms[layer].deviation, (norm.running_var + norm.eps).sqrt(), rtol=1e-6)
        weight = net[int(layer)].weight.detach().numpy()
        factor = (norms[layer].gamma / norms[layer].deviation).reshape(-1, 1, 1, 1)
        np.testing.assert_allclose(graph.weights[f"{layer}.weight"].dense(), weight * factor, rtol=1e-5)


def test_equalization_leaves_the_function_and_makes_ranges_equal():
    graph, norms = folded(network())
    done = equalize(graph, normals(norms))
    assert [(link.first, link.second) for link in done.links] == [("0", "3"), ("3", "6"), ("6", "8"), ("8", "13")]
    with torch.no_grad():
        torch.testing.assert_close(rebuild(done.graph)(IMAGES), rebuild(graph)(IMAGES), rtol=1e-4, atol=1e-4)

    def ranges(name):
        return np.abs(done.graph.weights[name].dense())

    # the judge: channel by channel, by hand
    for i in range(8):
        first, middle, last = ranges("0.weight")[i].max(), ranges("3.weight")[i].max(), ranges("6.weight")[:, i].max()
        np.testing.assert_allclose([first, middle], last, rtol=0.02)
    for i in range(6):
        group, column = divmod(i, 2)
        into = ranges("8.weight")[group * 4 : group * 4 + 4, column].max()
        np.testing.assert_allclose(ranges("6.weight")[i].max(), into, rtol=0.02)
    for i in range(12):
        np.testing.assert_allclose(
            ranges("8.weight")[i].max(), ranges("13.weight")[:, i * 9 : i * 9 + 9].max(), rtol=0.02
        )
    assert set(np.abs(graph.weights["0.weight"].dense()).max((1, 2, 3)).round(4)) != set(
        ranges("0.weight").max((1, 2, 3)).round(4)
    )


def test_one_pair_becomes_the_geometric_mean():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    graph = capture(net, (4,))
    done = equalize(graph)
    r1, r2 = net[0].weight.abs().amax(1), net[2].weight.abs().amax(0)
    common = (r1 * r2).sqrt().detach().numpy()
    np.testing.assert_allclose(np.abs(done.graph.weights["0.weight"].dense()).max(1), common, rtol=1e-5)
    np.testing.assert_allclose(np.abs(done.graph.weights["2.weight"].dense()).max(0), common, rtol=1e-5)
    s = r1.detach().numpy() / common
    np.testing.assert_allclose(done.graph.weights["0.bias"].dense(), net[0].bias.detach().numpy() / s, rtol=1e-5)


def test_dead_channels_and_forks_are_left_alone():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            x = self.a(x).relu()
            return self.c((x + self.b(x)).relu())

    net = Fork()
    assert links(capture(net, (3,))) == []
    pair = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        pair[0].weight[1] = 0
        pair[2].weight[:, 2] = 0
    graph = capture(pair, (3,))
    done = equalize(graph)
    x = torch.randn(9, 3)
    with torch.no_grad():
        torch.testing.assert_close(rebuild(done.graph)(x), pair(x), rtol=1e-5, atol=1e-5)


def test_relu6_is_kept_or_becomes_relu():
    graph, norms = folded(network(relu6=True))
    assert [(link.first, link.second) for link in equalize(graph).links] == [("6", "8")]
    done = equalize(graph, normals(norms), clips="relu")
    assert done.unclipped == ["2", "5", "10"]
    assert len(done.links) == 4
    assert not any(node.op == "clip" for node in done.graph.nodes)
    with pytest.raises(ArgumentError, match="clips"):
        equalize(graph, clips="drop")


def test_absorbed_biases_leave_the_function_where_nothing_is_clipped():
    torch.manual_seed(2)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3, groups=2, bias=False),
    )
    with torch.no_grad():
        net[1].bias.copy_(torch.tensor([9.0, 0, 7, 1, 8, -1]))
        net[1].momentum = None
        for _ in range(20):
            net.train()(torch.randn(64, 3, 6, 6))
    unfolded = capture(net.eval(), (3, 6, 6), fold=False)
    known = normals(norm_statistics(net, unfolded))
    graph = fold_scale_shift(unfolded)
    done = absorb_high_biases(graph, known)
    shift = np.maximum(0, known["0"].mean - 3 * known["0"].std)
    np.testing.assert_allclose(shift, [6, 0, 4, 0, 5, 0], atol=1e-5)
    before, after = graph.weights["0.bias"].dense(), done.graph.weights["0.bias"].dense()
    np.testing.assert_allclose(before - after, shift, atol=1e-5)
    np.testing.assert_allclose(done.normals["0"].mean, known["0"].mean - shift)
    images = 0.5 * torch.randn(8, 3, 6, 6).clamp(-1, 1)  # narrow, so that no channel falls below its shift
    with torch.no_grad():
        torch.testing.assert_close(rebuild(done.graph)(images), rebuild(graph)(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("low", "high"), [(0.0, np.inf), (0.0, 6.0), (-1.0, 1.0), (-np.inf, 2.0)])
@pytest.mark.parametrize(("mean", "std"), [(0.3, 1.2), (-4.0, 1.0), (7.0, 2.5), (5.0, 0.01)])
def test_clipped_normal_is_the_integral(low, high, mean, std):
    def moment(power):
        def f(x):
            return min(max(x, low), high) ** power * stats.norm.pdf(x, mean, std)

        points = [p for p in (low, high) if mean - 10 * std < p < mean + 10 * std]
        return integrate.quad(f, mean - 12 * std, mean + 12 * std, points=points or None, limit=200)[0]

    found = clipped_normal(np.array([mean]), np.array([std]), low, high)
    first = moment(1)
    np.testing.assert_allclose(found[0], first, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found[1] ** 2, moment(2) - first**2, rtol=1e-4, atol=1e-9)


def test_clipped_normal_at_zero_is_the_papers_formula():
    beta, gamma = np.linspace(-3, 3, 13), np.linspace(0.1, 2, 13)
    paper = gamma * stats.norm.pdf(-beta / gamma) + beta * (1 - stats.norm.cdf(-beta / gamma))
    np.testing.assert_allclose(clipped_normal(beta, gamma)[0], paper, rtol=1e-9, atol=1e-12)


def test_moments_are_those_of_samples():
    net = network(relu6=True)
    graph, norms = folded(net)
    told = moments(graph, normals(norms))
    x = torch.randn(3000, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        seen = dict(rebuild(graph).steps(x))
    for name in ("0", "2", "5"):
        mean, std = seen[name].mean((0, 2, 3)).numpy(), seen[name].std((0, 2, 3)).numpy()
        np.testing.assert_allclose(told[name].mean, mean, atol=0.12 * std.max())
        np.testing.assert_allclose(told[name].std, std, atol=0.2 * std.max())
    assert told["2"].low.min() == 0
    assert told["2"].high.max() <= 6


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_bias_error_is_the_mean_of_the_error_by_a_loop(groups):
    rng = np.random.default_rng(groups)
    error, mean = rng.normal(size=(8, 4 // groups, 3, 2)), rng.normal(size=4)
    wanted = np.zeros(8)
    for o in range(8):
        for c in range(4 // groups):
            wanted[o] += error[o, c].sum() * mean[(o // (8 // groups)) * (4 // groups) + c]
    np.testing.assert_allclose(bias_error(error, mean, groups), wanted)


def test_quantizing_without_data_needs_batch_norms_alone():
    net = network()
    graph, norms = folded(net)
    images = torch.randn(200, 3, 8, 8)

    def error(**kwargs):
        made = quantize(graph, norms=norms, per_channel=False, weights=6, **kwargs)
        with torch.no_grad():
            return float((rebuild(made.graph)(images) - net(images)).norm())

    raw = error(correct=False)
    assert error(correct=False, equalized="relu") < 0.7 * raw
    assert error(equalized="relu") < 0.7 * raw


def test_analytic_correction_lowers_the_mean_error():
    net = network()
    graph, norms = folded(net)
    images = torch.randn(400, 3, 8, 8)

    def error(correct):
        made = quantize(graph, norms=norms, weights=4, scales="max", correct=correct)
        with torch.no_grad():
            first = dict(rebuild(made.graph).steps(images))
            wanted = dict(rebuild(graph).steps(images))
        codes = made.graph.quant_params["3"]
        found = (first["3"] - codes.zero_point) * codes.scale
        return float((found - wanted["5"]).mean((0, 2, 3)).abs().mean())

    assert error(True) < 0.7 * error(False)
