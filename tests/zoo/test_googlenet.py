import pytest

torch = pytest.importorskip("torch")
from paring import zoo  # noqa: E402
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

PAPER = {  # table 1: parameters, M MACs
    "conv1": (9_472, 118.01),
    "conv2": (4_160, 12.85),
    "conv3": (110_784, 346.82),
    "inception3a": (163_696, 128.05),
    "inception3b": (388_736, 304.27),
    "inception4a": (376_176, 73.61),
    "inception4b": (449_160, 87.91),
    "inception4c": (510_104, 99.85),
    "inception4d": (605_376, 118.52),
    "inception4e": (868_352, 170.00),
    "inception5a": (1_043_456, 51.08),
    "inception5b": (1_444_080, 70.70),
    "fc": (1_025_000, 1.02),
}
OUTPUTS = {"3a": (256, 28), "3b": (480, 28), "4a": (512, 14), "4d": (528, 14), "4e": (832, 14), "5b": (1024, 7)}


def test_the_papers_network_module_by_module():
    model = on_meta("googlenet_paper")
    counted = layer_macs(model, (3, 224, 224))
    assert {name: stage(model, counted, name) for name in PAPER} == PAPER


def test_totals():
    """The paper prints 1.5 G and its own rounded column sums to 6.8 M; layer by layer it is 1.583 G and 6,998,552."""
    check_card("googlenet")
    check_card("googlenet_paper")
    assert parameters(on_meta("googlenet")) == 6_624_904
    assert round(macs(on_meta("googlenet"), (3, 224, 224)) / 1e9, 3) == 1.498
    assert parameters(on_meta("googlenet_paper")) == 6_998_552
    assert parameters(on_meta("googlenet_paper", aux=True)) == 13_378_280
    assert parameters(on_meta("googlenet", aux=True)) == 13_004_888  # torchvision's module with its heads


@pytest.mark.parametrize("name", ["googlenet", "googlenet_paper"])
def test_maps_have_the_papers_sizes(name):
    model, sizes = on_meta(name), {}
    for key in OUTPUTS:
        model.get_submodule(f"inception{key}").register_forward_hook(
            lambda m, i, o, key=key: sizes.update({key: (o.shape[1], o.shape[2])})
        )
    model(torch.empty(1, 3, 224, 224, device="meta"))
    assert sizes == OUTPUTS


@pytest.mark.parametrize(("name", "large"), [("googlenet", 3), ("googlenet_paper", 5)])
def test_window_of_the_third_branch(name, large):
    model = on_meta(name)
    for module in ("inception3a", "inception5b"):
        assert model.get_submodule(f"{module}.branch3.1.conv").kernel_size == (large, large)


@pytest.mark.parametrize("name", ["googlenet", "googlenet_paper"])
def test_trains(name):
    check_trains_and_keeps_images_apart(quick(name, num_classes=5), (3, 64, 64))


def test_auxiliary_heads_train_and_are_silent_in_use():
    outputs = check_trains_and_keeps_images_apart(quick("googlenet_paper", num_classes=5, aux=True), (3, 224, 224))
    assert [head.shape for head in outputs] == [(2, 5)] * 3
    assert outputs.logits is outputs[0]
    check_trains_and_keeps_images_apart(quick("googlenet", num_classes=5, aux=True), (3, 64, 64))


def test_transform_input_undoes_imagenets_normalization():
    model = zoo.create("googlenet", transform_input=True)
    image = torch.rand(1, 3, 2, 2)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    torch.testing.assert_close(model.transform((image - mean) / std), image * 2 - 1)
    assert not any(key.startswith("transform") for key in model.state_dict())


def test_torchvision_layout():
    keys = on_meta("googlenet", aux=True).state_dict()
    for name, shape in {
        "conv1.conv.weight": (64, 3, 7, 7),
        "conv3.bn.running_var": (192,),
        "inception4a.branch1.conv.weight": (192, 480, 1, 1),
        "inception4a.branch2.1.conv.weight": (208, 96, 3, 3),
        "inception4a.branch3.1.bn.weight": (48,),
        "inception4a.branch4.1.conv.weight": (64, 480, 1, 1),
        "aux2.conv.conv.weight": (128, 528, 1, 1),
        "aux1.fc1.weight": (1024, 2048),
        "aux1.fc2.bias": (1000,),
        "fc.weight": (1000, 1024),
    }.items():
        assert keys[name].shape == shape
