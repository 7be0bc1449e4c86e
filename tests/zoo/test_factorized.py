import itertools

import pytest
import torch
from torch.nn import functional as F

from paring import zoo
from paring.errors import ArgumentError
from paring.zoo.factorized import BottleneckLayer, SICLayer, TopologicalConv2d
from tests.zoo.macs import check_card, check_trains_and_keeps_images_apart, layer_macs, macs, on_meta, parameters, quick

NAMES = ["factorized_sic", "factorized_topological", "factorized_bottleneck"]


@pytest.mark.parametrize("name", NAMES)
def test_card(name):
    check_card(name)


@pytest.mark.parametrize("name", NAMES)
def test_trains(name):
    check_trains_and_keeps_images_apart(quick(name, depth=2, num_classes=5), (3, 77, 77))


def test_sic_costs_what_a_depthwise_separable_layer_costs():
    """H W (C k^2 + C F), the paper's formula."""
    assert macs(SICLayer(16, 24, 5), (16, 10, 8)) == 80 * (16 * 25 + 16 * 24)


def test_bottleneck_cost_and_output():
    layer = BottleneckLayer(8, 8, kernel=2).eval()
    assert macs(layer, (8, 6, 4)) == 24 * (8 + 8 * 8 // 4 + 8)
    x = torch.randn(1, 8, 6, 4)
    reduced = F.conv2d(x, layer.reduce.weight, None, 2, groups=8)
    mixed = F.conv2d(reduced, layer.projection.weight)
    with torch.no_grad():
        expected = torch.zeros(1, 8, 6, 4)
        for c, i, j in itertools.product(range(8), range(6), range(4)):
            expected[0, c, i, j] = mixed[0, c, i // 2, j // 2] * layer.expand.weight[c, 0, i % 2, j % 2]
        torch.testing.assert_close(layer(x), F.relu(x + layer.bn(expected)))


@pytest.mark.parametrize(
    ("grid", "neighborhood"), [((12,), (5,)), ((3, 4), (2, 2)), ((4, 4), (4, 1)), ((2, 3, 2), (1, 2, 2)), ((6,), (6,))]
)
def test_topological_subdivision_connects_the_neighborhood_around_the_edge(grid, neighborhood):
    torch.manual_seed(0)
    layer = TopologicalConv2d(grid, neighborhood)
    places = list(itertools.product(*map(range, grid)))
    steps = list(itertools.product(*map(range, neighborhood)))
    x = torch.randn(2, len(places), 3, 3)
    expected = torch.zeros_like(x)
    dense = torch.zeros(len(places), len(places))
    with torch.no_grad():
        for out, place in enumerate(places):
            for number, step in enumerate(steps):
                seen = tuple((p + s) % g for p, s, g in zip(place, step, grid, strict=True))
                weight = layer.weight[out, number, 0, 0]
                expected[:, out] += weight * x[:, places.index(seen)]
                dense[out, places.index(seen)] = weight
        torch.testing.assert_close(layer(x), expected)
        torch.testing.assert_close(F.conv2d(x, layer.dense_weight()), expected)
    assert torch.equal(layer.dense_weight()[:, :, 0, 0], dense)
    assert parameters(layer) == len(places) * len(steps)
    assert macs(layer, (len(places), 3, 3)) == 9 * len(places) * len(steps)


def test_subdividing_quarters_the_projections():
    full, sparse = (layer_macs(on_meta(name), (3, 221, 221)) for name in NAMES[:2])
    path = "features.2.projection"
    assert full[path] == 4 * sparse[path]


def test_weights_survive_a_network_built_without_memory():
    torch.manual_seed(0)
    source, target = zoo.create("factorized_topological", depth=2), on_meta("factorized_topological", depth=2)
    target.load_state_dict(source.state_dict(), assign=True)
    x = torch.randn(1, 3, 41, 41)
    assert torch.equal(source.eval()(x), target.eval()(x))


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="neighborhood"):
        TopologicalConv2d((4, 4), (5, 1))
    with pytest.raises(ArgumentError, match="neighborhood"):
        TopologicalConv2d((4, 4), (2,))
    with pytest.raises(ArgumentError, match="bottleneck"):
        zoo.create("factorized_sic", kind="spatial")
    with pytest.raises(ArgumentError, match="depth"):
        zoo.create("factorized_sic", depth=0)
