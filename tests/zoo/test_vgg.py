import pytest

torch = pytest.importorskip("torch")
from paring import zoo  # noqa: E402
from paring.errors import ArgumentError  # noqa: E402
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

PUBLISHED = {  # depth: parameters, with batch norm, G MACs (torchvision's metadata)
    11: (132_863_336, 132_868_840, 7.609),
    13: (133_047_848, 133_053_736, 11.308),
    16: (138_357_544, 138_365_992, 15.470),
    19: (143_667_240, 143_678_248, 19.632),
}
VGG16 = [  # parameters, M MACs of the thirteen convolutions and three fully connected layers
    *((1_792, 86.70), (36_928, 1849.69), (73_856, 924.84), (147_584, 1849.69)),
    *((295_168, 924.84), (590_080, 1849.69), (590_080, 1849.69)),
    *((1_180_160, 924.84), (2_359_808, 1849.69), (2_359_808, 1849.69)),
    *((2_359_808, 462.42), (2_359_808, 462.42), (2_359_808, 462.42)),
    *((102_764_544, 102.76), (16_781_312, 16.78), (4_097_000, 4.10)),
]


@pytest.mark.parametrize(("depth", "published"), PUBLISHED.items())
def test_parameters_and_macs(depth, published):
    plain, with_norm, giga = published
    assert parameters(on_meta(f"vgg{depth}")) == plain
    assert parameters(on_meta(f"vgg{depth}_bn")) == with_norm
    assert round(macs(on_meta(f"vgg{depth}"), (3, 224, 224)) / 1e9, 3) == giga
    check_card(f"vgg{depth}")
    check_card(f"vgg{depth}_bn")


def test_vgg16_layer_by_layer():
    model = on_meta("vgg16")
    counted = layer_macs(model, (3, 224, 224))
    assert [stage(model, counted, path) for path in counted] == VGG16


def test_small_vgg16_of_the_compression_papers():
    check_card("vgg16_cifar")
    assert 59.9 < zoo.card("vgg16_cifar").parameters * 4 / 1e6 < 60.0  # the 60 MB of the papers
    assert parameters(on_meta("vgg16_cifar", hidden=0)) == 14_728_266
    keys = list(on_meta("vgg16_cifar", hidden=0).state_dict())
    assert keys[-2:] == ["classifier.0.weight", "classifier.0.bias"]


@pytest.mark.parametrize("depth", PUBLISHED)
@pytest.mark.parametrize("suffix", ["", "_bn"])
def test_trains(depth, suffix):
    model = quick(f"vgg{depth}{suffix}", num_classes=3)
    model.classifier[0] = torch.nn.Linear(512 * 7 * 7, 64)  # the convolutions at issue, not 100 M weights
    model.classifier[3] = torch.nn.Linear(64, 64)
    model.classifier[6] = torch.nn.Linear(64, 3)
    check_trains_and_keeps_images_apart(model, (3, 32, 32))


def test_whole_networks_train():
    check_trains_and_keeps_images_apart(quick("vgg11", num_classes=5), (3, 32, 32))
    torch.manual_seed(0)
    check_trains_and_keeps_images_apart(zoo.create("vgg16_cifar", dropout=0.0), (3, 32, 32))


def test_torchvision_layout():
    plain, norm = on_meta("vgg11"), on_meta("vgg11_bn")
    convolutions = [name for name in plain.state_dict() if name.endswith("weight")]
    features = [f"features.{i}.weight" for i in (0, 3, 6, 8, 11, 13, 16, 18)]
    assert convolutions == features + [f"classifier.{i}.weight" for i in (0, 3, 6)]
    assert "features.1.running_mean" in norm.state_dict()
    assert norm.state_dict()["features.4.weight"].shape == (128, 64, 3, 3)


def test_unknown_depth():
    with pytest.raises(ArgumentError, match="11, 13, 16 or 19"), torch.device("meta"):
        zoo.create("vgg11", depth=12)
