import pytest
import torch

from paring import zoo
from paring.errors import ArgumentError
from tests.zoo.macs import (
    check_card,
    check_trains_and_keeps_images_apart,
    layer_macs,
    macs,
    on_meta,
    parameters,
    quick,
    stage,
)

# papers.md 11: layer, parameters, M MACs at 224
LAYERS_1_0 = {
    "features.0": (14_208, 167.66),
    "features.3": (11_920, 34.34),
    "features.4": (12_432, 35.83),
    "features.5": (45_344, 131.38),
    "features.7": (49_440, 35.83),
    "features.8": (104_880, 76.14),
    "features.9": (111_024, 80.62),
    "features.10": (188_992, 137.36),
    "features.12": (197_184, 33.23),
    "classifier": (513_000, 86.53),
}
LAYERS_1_1 = {
    "features.0": (1_792, 21.29),
    "features.3": (11_408, 34.07),
    "features.4": (12_432, 37.17),
    "features.6": (45_344, 32.85),
    "features.7": (49_440, 35.83),
    "features.9": (104_880, 17.65),
    "features.10": (111_024, 18.69),
    "features.11": (188_992, 31.84),
    "features.12": (197_184, 33.23),
    "classifier": (513_000, 86.53),
}


@pytest.mark.parametrize(("name", "layers"), [("squeezenet1_0", LAYERS_1_0), ("squeezenet1_1", LAYERS_1_1)])
def test_layer_by_layer(name, layers):
    model = on_meta(name)
    counts = layer_macs(model, (3, 224, 224))
    for layer, expected in layers.items():
        assert stage(model, counts, layer) == expected, layer
    assert sum(expected[0] for expected in layers.values()) == parameters(model)


@pytest.mark.parametrize(
    ("name", "count", "at_224", "at_227"),
    [("squeezenet1_0", 1_248_424, 818.92, 832.67), ("squeezenet1_1", 1_235_496, 349.15, 387.75)],
)
def test_published_totals(name, count, at_224, at_227):
    model = on_meta(name)
    assert parameters(model) == count
    assert round(macs(model, (3, 224, 224)) / 1e6, 2) == at_224
    assert round(macs(model, (3, 227, 227)) / 1e6, 2) == at_227  # ShuffleNet's paper prints 833 M


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1", "squeezenet1_0_simple_bypass"])
def test_card(name):
    check_card(name)


def test_map_sizes_of_the_table():
    sizes = {}
    model = on_meta("squeezenet1_0")
    for path, module in model.features.named_children():
        module.register_forward_hook(lambda m, x, y, path=path: sizes.__setitem__(path, tuple(y.shape[1:])))
    model.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    assert sizes["0"] == (96, 109, 109)  # no padding
    assert [sizes[path] for path in ("2", "6", "11")] == [(96, 54, 54), (256, 27, 27), (512, 13, 13)]
    assert sizes["12"] == (512, 13, 13)


@pytest.mark.parametrize("kwargs", [{"version": "1.0"}, {"version": "1.1"}, {"version": "1.0", "bypass": "complex"}])
def test_trains(kwargs):
    check_trains_and_keeps_images_apart(quick("squeezenet1_1", num_classes=7, **kwargs), (3, 45, 45))


def test_simple_bypass_adds_the_input_of_fires_3_5_7_9():
    torch.manual_seed(0)
    plain, bypassed = zoo.create("squeezenet1_0"), zoo.create("squeezenet1_0_simple_bypass")
    bypassed.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 64, 64)
    expected = x
    with torch.no_grad():
        for path, module in plain.features.named_children():
            around = path in ("4", "7", "9", "12")
            expected = module(expected) + (expected if around else 0)
        torch.testing.assert_close(bypassed.features(x), expected)


def test_complex_bypass_has_a_convolution_where_the_width_changes():
    model = on_meta("squeezenet1_0", bypass="complex")
    extra = {(96, 128), (128, 256), (256, 384), (384, 512)}
    assert parameters(model) == 1_248_424 + sum(c * f + f for c, f in extra)


def test_no_class_score_is_negative():
    torch.manual_seed(0)
    assert zoo.create("squeezenet1_1").eval()(torch.randn(1, 3, 64, 64)).min() >= 0


def test_torchvision_names_and_unknown_arguments():
    keys = set(on_meta("squeezenet1_1").state_dict())
    assert {"features.0.weight", "features.3.squeeze.bias", "features.12.expand3x3.weight", "classifier.1.bias"} <= keys
    with pytest.raises(ArgumentError, match=r"1\.0 or 1\.1"):
        zoo.create("squeezenet1_0", version="2")
    with pytest.raises(ArgumentError, match="simple"):
        zoo.create("squeezenet1_0", bypass="some")
