import pytest

torch = pytest.importorskip("torch")
from tests.zoo.macs import (  # noqa: E402
    check_card,
    check_trains_and_keeps_images_apart,
    layer_macs,
    macs,
    on_meta,
    parameters,
    quick,
    stage,
)

PUBLISHED = {  # parameters, M MACs
    "resnext50_32x4d": (25_028_904, 4_230),
    "resnext101_32x4d": (44_177_704, 7_970),
    "resnext101_64x4d": (83_455_272, 15_460),
    "resnext101_32x8d": (88_791_336, 16_414),
}
STAGES = {
    "resnext50_32x4d": [(205_824, 634.22), (1_197_056, 1085.41), (7_022_592, 1525.35), (14_544_896, 865.44)],
    "resnext101_32x4d": [(205_824, 634.22), (1_197_056, 1085.41), (26_171_392, 5264.87), (14_544_896, 865.44)],
}


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_totals(name, published):
    check_card(name)
    model = on_meta(name)
    assert (parameters(model), round(macs(model, (3, 224, 224)) / 1e6)) == published


@pytest.mark.parametrize("name", STAGES)
def test_stage_by_stage(name):
    model = on_meta(name)
    counted = layer_macs(model, (3, 224, 224))
    assert [stage(model, counted, f"layer{i}") for i in (1, 2, 3, 4)] == STAGES[name]


@pytest.mark.parametrize(("groups", "width"), [(1, 64), (2, 40), (4, 24), (8, 14), (32, 4)])
def test_templates_of_equal_cost(groups, width):
    """Cardinality against width at about ResNet-50's cost (table 3 of the paper: 4.1 G printed for all)."""
    model = on_meta("resnext50_32x4d", groups=groups, base_width=width)
    assert 4.0e9 < macs(model, (3, 224, 224)) < 4.3e9
    assert 25.0e6 < parameters(model) < 25.7e6


@pytest.mark.parametrize("name", PUBLISHED)
def test_trains(name):
    check_trains_and_keeps_images_apart(quick(name, num_classes=5), (3, 32, 32))


def test_grouped_convolutions():
    model = on_meta("resnext101_64x4d")
    assert model.layer1[0].conv2.groups == 64
    assert model.state_dict()["layer2.0.conv2.weight"].shape == (512, 8, 3, 3)
