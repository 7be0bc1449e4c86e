import pytest

torch = pytest.importorskip("torch")
from paring import zoo  # noqa: E402
from paring.errors import ArgumentError  # noqa: E402
from tests.zoo.macs import check_card, check_trains_and_keeps_images_apart, layer_macs, macs, on_meta, quick, stage  # noqa: E402

NAMES = {
    "alexnet": 61_100_840,
    "alexnet_grouped": 60_965_224,
    "alexnet_caffenet": 60_965_224,
    "alexnet_ungrouped": 62_378_344,
}
TABLE = {  # the paper's layers: parameters, M MACs
    "features.conv1": (34_944, 105.42),
    "features.conv2": (307_456, 223.95),
    "features.conv3": (885_120, 149.52),
    "features.conv4": (663_936, 112.14),
    "features.conv5": (442_624, 74.76),
    "classifier.fc6": (37_752_832, 37.75),
    "classifier.fc7": (16_781_312, 16.78),
    "classifier.fc8": (4_097_000, 4.10),
}


@pytest.mark.parametrize(("name", "count"), NAMES.items())
def test_cards_hold_to_the_unit(name, count):
    check_card(name)
    assert zoo.card(name).parameters == count


@pytest.mark.parametrize("name", ["alexnet_grouped", "alexnet_caffenet"])
@pytest.mark.parametrize("resolution", [224, 227])
def test_two_group_layers_of_the_paper(name, resolution):
    model = on_meta(name, resolution=resolution)
    counted = layer_macs(model, (3, resolution, resolution))
    if resolution == 227 or name == "alexnet_grouped":
        assert {path: stage(model, counted, path) for path in TABLE} == TABLE


def test_published_totals():
    assert round(macs(on_meta("alexnet_grouped"), (3, 224, 224)) / 1e6, 1) == 724.4
    assert round(macs(on_meta("alexnet_ungrouped"), (3, 224, 224)) / 1e6) == 1135
    assert round(macs(on_meta("alexnet"), (3, 224, 224)) / 1e9, 3) == 0.714  # torchvision's metadata
    # the pruning papers print 2 x MACs: 1.5 B
    assert round(2 * macs(on_meta("alexnet_grouped"), (3, 227, 227)) / 1e9, 1) in (1.4, 1.5)


@pytest.mark.parametrize("name", NAMES)
def test_trains(name):
    kwargs = {} if name == "alexnet" else {"resolution": 99}
    side = 64 if name == "alexnet" else 99
    y = check_trains_and_keeps_images_apart(quick(name, num_classes=7, **kwargs), (3, side, side))
    assert y.shape == (2, 7)


def test_order_of_norm_and_pool_and_the_constants():
    grouped, caffenet = on_meta("alexnet_grouped"), on_meta("alexnet_caffenet")
    assert [path for path, _ in grouped.features.named_children()][:4] == ["conv1", "relu1", "norm1", "pool1"]
    assert [path for path, _ in caffenet.features.named_children()][:4] == ["conv1", "relu1", "pool1", "norm1"]
    norm = grouped.features.norm1
    assert (norm.size, norm.alpha / norm.size, norm.beta, norm.k) == (5, pytest.approx(1e-4), 0.75, 2.0)
    norm = caffenet.features.norm2
    assert (norm.size, norm.alpha, norm.beta, norm.k) == (5, pytest.approx(1e-4), 0.75, 1.0)
    assert [grouped.features.get_submodule(f"conv{i}").groups for i in range(1, 6)] == [1, 2, 1, 2, 2]


def test_too_small_images_are_refused():
    zoo.create("alexnet_grouped", resolution=67)
    with pytest.raises(ArgumentError, match="resolution 62"):
        zoo.create("alexnet_grouped", resolution=62)


def test_torchvision_layout():
    keys = set(on_meta("alexnet").state_dict())
    layers = [f"features.{i}" for i in (0, 3, 6, 8, 10)] + [f"classifier.{i}" for i in (1, 4, 6)]
    assert keys == {f"{layer}.{role}" for layer in layers for role in ("weight", "bias")}
