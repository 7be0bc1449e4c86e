import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402

from paring.zoo.xception import SamePool  # noqa: E402
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
    ("conv1", "bn1", "conv2", "bn2"): (19_488, 417.48),
    ("block1",): (35_264, 613.26),
    ("block2",): (136_064, 602.10),
    ("block3",): (915_944, 1060.09),
    tuple(f"block{i}" for i in range(4, 12)): (12_911_808, 4648.55),
    ("block12",): (2_039_584, 539.72),
    ("conv3", "bn3"): (1_585_152, 158.21),
    ("conv4", "bn4"): (3_163_648, 315.96),
    ("fc",): (2_049_000, 2.05),
}


def test_block_by_block():
    check_card("xception")
    model = on_meta("xception")
    counted = layer_macs(model, (3, 299, 299))
    assert {names: stage(model, counted, *names) for names in TABLE} == TABLE
    assert parameters(model) == 22_855_952


def test_maps_go_147_74_37_19_10():
    model, sides = on_meta("xception"), []
    for name in ("conv2", "block1", "block2", "block3", "block11", "block12"):
        model.get_submodule(name).register_forward_hook(lambda m, i, o: sides.append(o.shape[-1]))
    model(torch.empty(1, 3, 299, 299, device="meta"))
    assert sides == [147, 74, 37, 19, 19, 10]


@pytest.mark.parametrize(("height", "width"), [(7, 7), (8, 8), (8, 7), (1, 2), (74, 147)])
def test_same_pool(height, width):
    """TensorFlow's rule: total padding max(0, (out - 1) 2 + 3 - size), the larger half behind, filled with -inf."""
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1)) - 5
    sides = []
    for size in (width, height):
        total = max(0, (-(-size // 2) - 1) * 2 + 3 - size)
        sides += [total // 2, total - total // 2]
    expected = F.max_pool2d(F.pad(x, sides, value=float("-inf")), 3, 2)
    torch.testing.assert_close(SamePool()(x), expected)


def test_no_activation_inside_a_separable_convolution():
    separable = on_meta("xception").block4.rep[1]
    assert [type(m).__name__ for m in separable.children()] == ["Conv2d", "Conv2d"]


def test_trains():
    check_trains_and_keeps_images_apart(quick("xception", num_classes=5), (3, 71, 71))
