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

TABLE = {
    "Conv2d_1a_3x3": (928, 19.18),
    "Conv2d_2a_3x3": (9_280, 199.15),
    "Conv2d_2b_3x3": (18_560, 398.30),
    "Conv2d_3b_1x1": (5_280, 27.28),
    "Conv2d_4a_3x3": (138_624, 696.87),
    "Mixed_5b": (255_904, 312.35),
    "Mixed_5c": (277_472, 338.69),
    "Mixed_5d": (285_152, 348.10),
    "Mixed_6a": (1_153_280, 401.94),
    "Mixed_6b": (1_297_408, 374.06),
    "Mixed_6c": (1_691_008, 487.70),
    "Mixed_6d": (1_691_008, 487.70),
    "Mixed_6e": (2_141_952, 617.91),
    "Mixed_7a": (1_698_304, 291.00),
    "Mixed_7b": (5_044_608, 322.44),
    "Mixed_7c": (6_076_800, 388.50),
    "fc": (2_049_000, 2.05),
}


def test_module_by_module():
    model = on_meta("inception_v3")
    counted = layer_macs(model, (3, 299, 299))
    assert {name: stage(model, counted, name) for name in TABLE} == TABLE


def test_totals():
    """The paper prints 4.8 G multiply-accumulates; the network that was released takes 5.713 G."""
    check_card("inception_v3")
    assert parameters(on_meta("inception_v3")) == 23_834_568
    assert parameters(on_meta("inception_v3", aux=True)) == 27_161_264
    assert round(macs(on_meta("inception_v3"), (3, 299, 299)) / 1e9, 3) == 5.713


def test_auxiliary_head():
    head = on_meta("inception_v3", aux=True).AuxLogits
    assert parameters(head) == 3_326_696
    assert round(macs(head, (768, 17, 17)) / 1e6, 2) == 5.68


def test_trains():
    check_trains_and_keeps_images_apart(quick("inception_v3", num_classes=5), (3, 75, 75))


def test_auxiliary_head_trains():
    model = quick("inception_v3", num_classes=5, aux=True)
    x = torch.randn(2, 768, 17, 17, generator=torch.Generator().manual_seed(0))
    model.AuxLogits(x).square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.AuxLogits.parameters() if p.ndim > 1)


def test_training_mode_gives_both_answers():
    model = on_meta("inception_v3", aux=True, num_classes=5)
    outputs = model.train()(torch.empty(2, 3, 299, 299, device="meta"))
    assert outputs.logits.shape == outputs.aux.shape == (2, 5)
    assert model.eval()(torch.empty(2, 3, 299, 299, device="meta")).shape == (2, 5)


def test_torchvision_layout():
    keys = on_meta("inception_v3", aux=True).state_dict()
    for name, shape in {
        "Conv2d_2b_3x3.conv.weight": (64, 32, 3, 3),
        "Mixed_5c.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3dbl_3.bn.running_var": (96,),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6b.branch7x7dbl_2.conv.weight": (128, 128, 7, 1),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7c.branch3x3_2b.conv.weight": (384, 384, 3, 1),
        "AuxLogits.conv1.conv.weight": (768, 128, 5, 5),
        "AuxLogits.fc.weight": (1000, 768),
    }.items():
        assert keys[name].shape == shape
