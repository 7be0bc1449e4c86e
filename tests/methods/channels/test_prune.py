import numpy as np
import pytest
import torch
from torch import nn

from paring import methods, zoo
from paring.capture import batch_norms, capture, outline, rebuild, without_initialization
from paring.errors import ArgumentError
from paring.graph import cost, couplings
from paring.methods.channels import prune_channels
from paring.methods.channels._plan import Plan, meter
from paring.runtime import reference
from tests.methods.channels.examples import Head, Inception, networks, random_weights, trained, unit, zeroed

NAMES = sorted(networks())


def example(name, seed=0):
    torch.manual_seed(seed)
    module, shape = networks()[name]
    return trained(module, seed), shape


def answers(graph, shape, seed=1):
    height_first = (4, *shape[1:], shape[0])
    x = np.random.default_rng(seed).standard_normal(height_first).astype(np.float32)
    return reference.run(graph, x)


def check_exact(graph, result, shape):
    """Equal to the network whose cut weights are zero, by the reference interpreter, which knows no couplings."""
    np.testing.assert_allclose(
        answers(result.graph, shape), answers(zeroed(graph, result.kept), shape), rtol=2e-4, atol=2e-5
    )


@pytest.mark.parametrize("score", ["l1", "random"])
@pytest.mark.parametrize("name", NAMES)
def test_removal_is_exact(name, score):
    module, shape = example(name)
    graph = capture(module, shape, fold=False)
    result = prune_channels(graph, macs=0.7, score=score, round_to=4, seed=3)
    assert result.macs[1] <= 0.7 * result.macs[0]
    assert (cost(result.graph).macs, cost(result.graph).parameters) == (result.macs[1], result.parameters[1])
    check_exact(graph, result, shape)


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2", "shufflenet_v2_x0_5"])
def test_networks_of_the_zoo(name):
    side = 8 if name == "resnet20" else 32
    with without_initialization():
        graph = random_weights(outline(zoo.create(name), (3, side, side)))
    result = prune_channels(graph, macs=0.5)
    assert 0.4 < result.macs[1] / result.macs[0] <= 0.5
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, side, side)).astype(np.float32))
    with torch.no_grad():
        expected = rebuild(zeroed(graph, result.kept))(x).numpy()
        np.testing.assert_allclose(
            rebuild(result.graph)(x).numpy(), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
        )
    made = [row.after for row in result.rows[:-1]]
    assert not any(count % 2 for count in made), "odd channel counts"
    assert all(row.after % 16 == 0 for row in result.rows[:-1] if row.before >= 64 and row.before % 16 == 0)


def test_option_a_is_followed_through_the_padding():
    module, shape = example("option A")
    graph = capture(module, shape, fold=False)
    coupled = couplings(graph)
    stem = coupled.axes["body.0.0.weight", 0]
    second = coupled.axes["body.1.second.0.weight", 0]
    np.testing.assert_array_equal(stem, second[8:24])
    assert len(set(second.tolist())) == 32
    result = prune_channels(graph, {"body.1.second.0": 0.5}, round_to=4)
    pad = next(node for node in result.graph.nodes if node.op == "pad")
    assert sum(pad.attrs["channels"]) + {row.name: row.after for row in result.rows}["body.0.0"] == 16
    check_exact(graph, result, shape)


def test_a_layer_by_pattern_keeps_the_filters_of_largest_norm():
    module, shape = example("plain")
    graph = capture(module, shape, fold=False)
    result = prune_channels(graph, {"body.0.*": 0.5}, round_to=1)
    weight = module.body[0][0].weight.detach().numpy()
    sums = [float(np.abs(weight[i]).sum()) for i in range(16)]
    best = sorted(sorted(range(16), key=lambda i: -sums[i])[:8])
    assert result.kept["body.0.0.weight"][0].tolist() == best
    assert result.kept["body.1.0.weight"][1].tolist() == best
    assert [(row.before, row.after) for row in result.rows] == [(16, 8), (32, 32), (5, 5)]
    assert result.rows[-1].reason == "is an answer of the network"
    assert ("body.0.0", "16", "8", "") in result.table()[1]


def test_bn_scale_cuts_the_smallest_gammas_over_all_layers():
    module, shape = example("plain")
    graph = capture(module, shape, fold=False)
    gammas = {name: np.abs(gamma) for name, gamma in methods.channels.batch_norm_scales(module).items()}
    result = prune_channels(graph, parameters=0.6, score="bn", norms=gammas, round_to=1, floor=0)
    kept = [
        gammas["body.0.1"][result.kept["body.0.0.weight"][0]],
        gammas["body.1.1"][result.kept["body.1.0.weight"][0]],
    ]
    cut = [np.setdiff1d(gammas["body.0.1"], kept[0]), np.setdiff1d(gammas["body.1.1"], kept[1])]
    assert np.concatenate(kept).min() > np.concatenate(cut).max()


def test_gate_gradients_are_those_of_gates():
    module, shape = example("plain")
    graph = capture(module, shape, fold=False)
    batches = [torch.randn(4, *shape) for _ in range(3)]

    def loss(network, batch):
        return network(batch).square().sum()

    got = methods.channels.gate_gradients(module, loss, batches, couplings(graph).makers)
    gates = torch.ones(16, requires_grad=True)
    handle = module.body[0][0].register_forward_hook(lambda m, i, out: out * gates.view(1, -1, 1, 1))
    squares = [torch.autograd.grad(loss(module, batch), gates)[0].double().square() for batch in batches]
    handle.remove()
    np.testing.assert_allclose(got["body.0.0.weight"], torch.stack(squares).mean(0).numpy(), rtol=1e-3)
    result = prune_channels(graph, macs=0.6, score="taylor", gates=got, round_to=4)
    check_exact(graph, result, shape)


def test_taylor_sums_over_what_is_coupled():
    module, shape = example("bottleneck")
    graph = capture(module, shape, fold=False)
    coupled = couplings(graph)
    gates = {name: np.arange(float(len(coupled.axes[name, axis]))) for name, axis in coupled.makers}
    scores = methods.channels.channel_scores(graph, coupled, "taylor", gates=gates)
    # the stream: made by both blocks' last layers and the shortcut's convolution
    stream = coupled.axes["body.1.c.0.weight", 0]
    np.testing.assert_array_equal(scores[stream], 3 * np.arange(32.0))


def test_counts_are_round_and_no_layer_dies():
    module, shape = example("plain")
    graph = capture(module, shape, fold=False)
    result = prune_channels(graph, macs=0.3, floor=0.25)
    after = {row.name: row.after for row in result.rows}
    assert after["body.0.0"] in (8, 16)  # half of the width is the unit of a narrow layer
    assert after["body.1.0"] in (16, 32)
    with pytest.raises(ArgumentError, match=r"cannot be cut to so few macs.*at least"):
        prune_channels(graph, macs=0.01)


def test_an_uneven_width_becomes_round():
    torch.manual_seed(0)
    module = trained(Head(nn.Sequential(unit(3, 58, 1), unit(58, 20, 1)), 20))
    graph = capture(module, (3, 4, 4), fold=False)
    result = prune_channels(graph, {"body.0.0": 0.9})
    assert result.rows[0].after == 48
    check_exact(graph, result, (3, 4, 4))


def test_what_is_not_understood_stays_and_is_reported():
    module, shape = example("gated")
    graph = capture(module, shape, fold=False)
    result = prune_channels(graph, macs=0.8, round_to=4)
    row = next(row for row in result.rows if row.name == "body.1.conv")
    assert (row.before, row.after) == (16, 16)
    assert "channel_mean" in row.reason
    with pytest.raises(ArgumentError, match=r"no channel can be cut.*channel_mean"):
        prune_channels(graph, {"body.1.conv": 0.5})


def test_spared_layers_keep_their_channels():
    module, shape = example("bottleneck")
    graph = capture(module, shape, fold=False)
    result = prune_channels(graph, macs=0.7, exclude=["*.c.0"], round_to=4)
    after = {row.name: (row.after, row.reason) for row in result.rows}
    assert after["body.1.c.0"] == (32, "is spared")
    assert after["body.1.down"] == (32, "is spared")
    assert after["body.1.a.0"][0] < 16


def test_rebuilt_with_batch_norms_learns_and_is_pruned_again():
    module, shape = example("bottleneck")
    graph = capture(module, shape, fold=False)
    result = prune_channels(graph, macs=0.7, round_to=4)
    network = rebuild(result.graph, batch_norms(module, result.graph, result.kept)).eval()
    x = torch.randn(4, *shape)
    expected = reference.run(result.graph, np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy()))
    np.testing.assert_allclose(network(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert {type(m) for m in network.modules()} >= {nn.Conv2d, nn.BatchNorm2d, nn.Linear}
    assert set(network.state_dict()) == set(module.state_dict())
    before = network(x).detach()
    optimizer = torch.optim.SGD(network.train().parameters(), 0.001)
    for _ in range(3):
        optimizer.zero_grad()
        network(x).square().sum().backward()
        optimizer.step()
    after = network.eval()(x).detach()
    assert not torch.allclose(before, after)
    trained_graph = network.as_graph()
    np.testing.assert_allclose(
        reference.run(trained_graph, np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy())),
        after.numpy(),
        rtol=1e-3,
        atol=1e-4,
    )
    again = prune_channels(trained_graph, macs=0.8, round_to=4)
    check_exact(trained_graph, again, shape)


@pytest.mark.parametrize("name", ["plain", "bottleneck", "shufflenet", "vgg", "inverted"])
def test_no_more_is_cut_than_the_target_asks(name):
    module, shape = example(name)
    graph = capture(module, shape, fold=False)
    coupled = couplings(graph)
    scores = np.random.default_rng(5).random(coupled.count)
    plan = Plan(graph, coupled, scores, round_to=4, floor=0.1)
    count = meter(graph, coupled, "macs")
    target = 0.62 * count(plan.keep)
    assert plan.cut_until(count, target)
    cut = [bucket for bucket in plan.buckets if bucket.gone > bucket.first or bucket.first == bucket.step]
    for bucket in [bucket for bucket in cut if bucket.gone]:
        more = plan.keep.copy()
        more[bucket.classes[bucket.gone - bucket.step : bucket.gone]] = True
        assert count(more) > target, "a whole step would fit"
        assert not plan.keep[bucket.classes[: bucket.gone]].any()
        assert plan.keep[bucket.classes[bucket.gone :]].all()


def test_a_concatenation_is_cut_piece_by_piece():
    torch.manual_seed(0)
    module = trained(Head(nn.Sequential(unit(3, 8), Inception(8)), 32))
    graph = capture(module, (3, 5, 5), fold=False)
    result = prune_channels(graph, {"body.1.three.1.0": 0.5})
    assert {row.name: row.after for row in result.rows if row.after < row.before} == {"body.1.three.1.0": 8}
    assert len(result.kept["fc.weight"][1]) == 24
    check_exact(graph, result, (3, 5, 5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": {"bdoy*": 0.5}}, r"matches no layer.*'bdoy\*'"),
        ({"keep": {"body*": 1.5}}, "invalid fraction of channels"),
        ({"macs": -1.0}, "invalid target of macs"),
        ({}, "nothing to prune"),
        ({"macs": 0.5, "score": "l3"}, "unknown score.*l1"),
        ({"macs": 0.5, "score": "taylor"}, "gate_gradients"),
        ({"macs": 0.5, "score": "bn"}, "batch_norm_scales"),
        ({"macs": 0.5, "score": np.ones(3)}, "do not fit"),
        ({"macs": 0.5, "floor": 2.0}, "floor"),
        ({"macs": 0.5, "round_to": 0}, "rounded"),
    ],
)
def test_bad_arguments(arguments, message):
    module, shape = example("plain")
    with pytest.raises(ArgumentError, match=message):
        prune_channels(capture(module, shape, fold=False), **arguments)


def test_a_row_says_where_rounding_keeps_more_than_was_asked():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 64, 3), nn.ReLU(), nn.Conv2d(64, 5, 1))
    graph = capture(net.eval(), (3, 8, 8))
    result = prune_channels(graph, {"0": 0.01, "2": 0.4})
    assert result["0"].after == 4
    assert result["0"].done == "1 % asked, 4 is the least"
    assert result["2"].after == 32  # 25.6
    assert result["2"].done == "40 % asked, goes in steps of 16"
    assert "0           8      4  1 % asked, 4 is the least" in str(result)
    exact = prune_channels(graph, {"0": 0.25, "2": 0.375}, round_to=1, floor=0)
    assert [exact[name].after for name in ("0", "2")] == [2, 24]
    assert not exact["0"].done
    assert not exact["2"].done
    floor = prune_channels(graph, {"2": 0.1}, round_to=1)  # an eighth stays
    assert floor["2"].done == "10 % asked, 8 is the least"


def test_shufflenet_v1_wants_a_finer_rounding():
    graph = random_weights(outline(zoo.create("shufflenet_v1"), (3, 64, 64)))
    with pytest.raises(ArgumentError, match="round_to="):
        prune_channels(graph, macs=0.9)
    assert prune_channels(graph, macs=0.7, round_to=1).macs[1] <= 0.7 * cost(graph).macs
