import pytest
from torch import nn

from paring import zoo
from paring.errors import ArgumentError
from tests.zoo.macs import check_card, check_trains_and_keeps_images_apart, on_meta, parameters, quick


def naive_count(hidden):
    channels, total = 3, 0
    for width in (128, 128, 256, 256, 512, 512):
        total += 9 * channels * width + 2 * width
        channels = width
    features = 512 * 4 * 4
    for width in hidden:
        total += features * width + 2 * width
        features = width
    return total + features * 10 + 10


@pytest.mark.parametrize(("name", "hidden"), [("vgg7_cifar", (1024,)), ("vgg_small_cifar", (1024, 1024))])
def test_counts(name, hidden):
    assert parameters(on_meta(name)) == naive_count(hidden) == zoo.card(name).parameters
    check_card(name)


def test_layers_are_those_of_the_papers_string():
    """2x128C3 - MP2 - 2x256C3 - MP2 - 2x512C3 - MP2 - 1024FC - 10"""
    model, found = on_meta("vgg7_cifar"), []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.kernel_size == (3, 3)
            found.append(f"{module.out_channels}C3")
        elif isinstance(module, nn.MaxPool2d):
            found.append("MP2")
        elif isinstance(module, nn.Linear):
            found.append(f"{module.out_features}FC")
    assert " ".join(found) == "128C3 128C3 MP2 256C3 256C3 MP2 512C3 512C3 MP2 1024FC 10FC"


@pytest.mark.parametrize(("name", "resolution"), [("vgg7_cifar", 32), ("vgg_small_cifar", 28)])
def test_trains(name, resolution):
    model = quick(name, width_mult=0.125, resolution=resolution, in_channels=1)
    check_trains_and_keeps_images_apart(model, (1, resolution, resolution))


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="too small"):
        zoo.create("vgg7_cifar", resolution=4)
