import pytest
import torch
from torch.nn import functional as F

from paring import zoo
from paring.errors import ArgumentError
from tests.zoo.macs import check_card, check_trains_and_keeps_images_apart, macs, on_meta, parameters, quick


@pytest.mark.parametrize(
    ("width", "count", "mmacs", "printed"),
    [
        (0.5, 1_366_792, 40.48, 41),
        (1.0, 2_278_604, 144.91, 146),
        (1.5, 3_503_624, 295.76, 299),
        (2.0, 7_393_996, 583.25, 591),
    ],
)
def test_published_counts(width, count, mmacs, printed):
    name = f"shufflenet_v2_x{width}".replace(".", "_")
    model = on_meta(name)
    assert parameters(model) == count
    assert round(macs(model, (3, 224, 224)) / 1e6, 2) == mmacs
    assert 0.98 < mmacs / printed < 1  # the printed figures are about 1 % higher: more than products is in them
    check_card(name)


def test_trains():
    model = quick("shufflenet_v2_x0_5", num_classes=10)
    check_trains_and_keeps_images_apart(model, (3, 64, 64))


def test_unit_of_stride_1_is_the_papers():
    model = quick("shufflenet_v2_x0_5").eval()
    unit, state = model.stage2[1], model.stage2[1].branch2.state_dict()
    x = torch.randn(2, 48, 6, 6, generator=torch.Generator().manual_seed(0))

    def norm(x, number):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{number}.{name}"] for name in names))

    y = F.relu(norm(F.conv2d(x[:, 24:], state["0.weight"]), 1))
    y = norm(F.conv2d(y, state["3.weight"], padding=1, groups=24), 4)
    y = F.relu(norm(F.conv2d(y, state["5.weight"]), 6))
    with torch.no_grad():
        output = unit(x)
    assert torch.equal(output[:, 0::2], x[:, :24])  # shuffled in two groups: untouched and worked channels alternate
    torch.testing.assert_close(output[:, 1::2], y)


def test_torchvision_names():
    keys = on_meta("shufflenet_v2_x1_0").state_dict()
    assert len(keys) == 338
    for key, shape in {
        "conv1.0.weight": (24, 3, 3, 3),
        "stage2.0.branch1.0.weight": (24, 1, 3, 3),
        "stage2.0.branch1.2.weight": (58, 24, 1, 1),
        "stage3.7.branch2.3.weight": (116, 1, 3, 3),
        "stage4.3.branch2.6.bias": (232,),
        "conv5.1.running_mean": (1024,),
        "fc.bias": (1000,),
    }.items():
        assert tuple(keys[key].shape) == shape, key


def test_other_widths_are_refused():
    with pytest.raises(ArgumentError, match=r"0\.5, 1\.0, 1\.5, 2\.0"):
        zoo.create("shufflenet_v2_x1_0", width_mult=0.75)
