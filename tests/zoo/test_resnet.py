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

STEM, HEAD = (9_536, 118.01), (2_049_000, 2.05)
STAGES = {
    18: [STEM, (147_968, 462.42), (525_568, 411.04), (2_099_712, 411.04), (8_393_728, 411.04), (513_000, 0.51)],
    34: [STEM, (221_952, 693.63), (1_116_416, 873.46), (6_822_400, 1335.89), (13_114_368, 642.25), (513_000, 0.51)],
    50: [STEM, (215_808, 667.94), (1_219_584, 1027.60), (7_098_368, 1464.34), (14_964_736, 809.24), HEAD],
    101: [STEM, (215_808, 667.94), (1_219_584, 1027.60), (26_090_496, 5176.56), (14_964_736, 809.24), HEAD],
    152: [STEM, (215_808, 667.94), (2_339_840, 1901.07), (40_613_888, 8015.31), (14_964_736, 809.24), HEAD],
}
TOTALS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}


@pytest.mark.parametrize("depth", STAGES)
def test_stage_by_stage(depth):
    name = f"resnet{depth}"
    check_card(name)
    model = on_meta(name)
    counted = layer_macs(model, (3, 224, 224))
    found = [stage(model, counted, "conv1", "bn1")]
    found += [stage(model, counted, path) for path in ("layer1", "layer2", "layer3", "layer4", "fc")]
    assert found == STAGES[depth]
    assert parameters(model) == TOTALS[depth]


@pytest.mark.parametrize(("depth", "mega", "paper"), [(50, 3858, 3.8), (101, 7570, 7.6), (152, 11282, 11.3)])
def test_stride_in_the_first_1x1_as_in_the_paper(depth, mega, paper):
    """The paper's G MACs come out of its own place of the stride; it cut 3.858 to 3.8."""
    model = on_meta(f"resnet{depth}", stride_in="1x1")
    counted = macs(model, (3, 224, 224))
    assert round(counted / 1e6) == mega
    assert abs(counted / 1e9 - paper) < 0.06
    assert parameters(model) == TOTALS[depth]


@pytest.mark.parametrize("depth", STAGES)
def test_trains(depth):
    check_trains_and_keeps_images_apart(quick(f"resnet{depth}", num_classes=5), (3, 32, 32))


def test_paper_stride_trains_and_fresh_weights_are_at_hes_scale():
    check_trains_and_keeps_images_apart(quick("resnet50", num_classes=5, stride_in="1x1"), (3, 48, 48))
    torch.manual_seed(0)
    model = zoo.create("resnet18")
    weight = model.layer4[1].conv2.weight
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
    check_trains_and_keeps_images_apart(model, (3, 48, 48))


def test_torchvision_layout():
    keys = on_meta("resnet50").state_dict()
    for name, shape in {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.0.downsample.1.running_mean": (256,),
        "layer3.5.conv2.weight": (256, 256, 3, 3),
        "layer4.2.bn3.bias": (2048,),
        "fc.weight": (1000, 2048),
    }.items():
        assert keys[name].shape == shape
    assert "layer1.1.downsample.0.weight" not in keys
    assert "layer1.0.downsample.0.weight" not in on_meta("resnet18").state_dict()


@pytest.mark.parametrize("kwargs", [{"depth": 20}, {"stride_in": "5x5"}])
def test_wrong_arguments(kwargs):
    with pytest.raises(ArgumentError):
        zoo.create("resnet50", **kwargs)
