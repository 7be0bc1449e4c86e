import pytest

torch = pytest.importorskip("torch")
from paring import zoo  # noqa: E402
from paring.zoo import bn_inception  # noqa: E402
from tests.zoo.macs import (  # noqa: E402
    check_card,
    check_trains_and_keeps_images_apart,
    layer_macs,
    on_meta,
    parameters,
    quick,
    stage,
)

TABLE = {
    "inception3a": (219_552, 171.00),
    "inception3b": (260_704, 203.11),
    "inception3c": (385_632, 143.90),
    "inception4a": (610_848, 119.22),
    "inception4b": (666_240, 130.06),
    "inception4c": (915_456, 178.83),
    "inception4d": (1_144_000, 223.58),
    "inception4e": (1_451_008, 164.58),
    "inception5a": (2_210_496, 108.08),
    "inception5b": (2_281_248, 111.54),
    "fc": (1_025_000, 1.02),
}


def test_module_by_module():
    check_card("bn_inception")
    model = on_meta("bn_inception")
    counted = layer_macs(model, (3, 224, 224))
    assert {name: stage(model, counted, name) for name in TABLE} == TABLE
    assert stage(model, counted, "conv1", "conv2_reduce", "conv2") == (125_056, 477.68)


def test_total_needs_608_channels(monkeypatch):
    """The published 11,295,240 only adds up with a projection of 128 in 4c and 4d; 96, which gives the paper's printed
    576 channels, makes 11,204,936."""
    assert parameters(on_meta("bn_inception")) == 11_295_240
    narrow = {name: (*row[:6], 96) if name in ("4c", "4d") else row for name, row in bn_inception.TABLE.items()}
    monkeypatch.setattr(bn_inception, "TABLE", narrow)
    assert parameters(on_meta("bn_inception")) == 11_204_936


def test_trains():
    check_trains_and_keeps_images_apart(quick("bn_inception", num_classes=5), (3, 64, 64))


def test_the_ports_names_load():
    """Names of the widely used port, one flat list: conv and norm side by side."""
    torch.manual_seed(0)
    source, target = zoo.create("bn_inception"), zoo.create("bn_inception")
    flat = {}
    for name, tensor in source.state_dict().items():
        module, unit, role = name.rsplit(".", 2) if not name.startswith("fc") else ("last_linear", "", name[3:])
        port = {"conv1": "conv1_7x7_s2", "conv2_reduce": "conv2_3x3_reduce", "conv2": "conv2_3x3"}.get(module, module)
        if port.startswith("inception"):
            block, _, layer = port.removeprefix("inception").partition(".c")
            port = f"inception_{block}_{layer}"
        flat[f"{port}{'_bn' if unit == 'bn' else ''}.{role}"] = tensor
    for name in (
        "conv1_7x7_s2.weight",
        "conv2_3x3_reduce_bn.running_mean",
        "inception_3a_1x1.bias",
        "inception_3a_double_3x3_reduce_bn.weight",
        "inception_4e_double_3x3_2.weight",
        "inception_5b_pool_proj_bn.running_var",
        "last_linear.bias",
    ):
        assert name in flat
    report = zoo.load_weights(target, flat)
    assert report.layout == "pretrained-models"
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, target.state_dict()[name])
