import gzip
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from paring import zoo
from paring.errors import ArgumentError
from paring.layers import BinaryConv2d, center_and_clip
from paring.zoo.xnor_net import BinaryBlock
from tests.zoo.macs import check_card, check_trains_and_keeps_images_apart, macs, on_meta, parameters, quick

NAMES = [f"{kind}_{net}" for net in ("alexnet", "resnet18", "vgg_small", "lenet_5") for kind in ("bwn", "xnor_net")]


def split(model):
    """Weights in binary layers, weights in real convolutions and classifiers, batch norm's numbers."""
    binary = sum(m.weight.numel() for m in model.modules() if isinstance(m, BinaryConv2d))
    norms = sum(parameters(m) for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    return binary, parameters(model) - binary - norms, norms


@pytest.mark.parametrize("name", NAMES)
def test_card(name):
    check_card(name)


@pytest.mark.parametrize("name", ["bwn_alexnet", "xnor_net_alexnet"])
def test_alexnet_as_trained(name):
    """papers.md 17.1: 58,236,928 binary and 4,130,848 real weights: 23.80 MB, 10.5 times less than float32."""
    model = on_meta(name)
    binary, real, norms = split(model)
    assert (binary, real) == (58_236_928, 4_130_848)
    assert round((binary / 8 + 4 * real) / 1e6, 2) == 23.80
    assert round(4 * (binary + real) / (binary / 8 + 4 * real), 1) == 10.5
    if name == "xnor_net_alexnet":
        # Larq's reimplementation: 62,396,768 numbers, of batch norm those three without a scale
        assert binary + real + 3 * norms // 2 == 62_396_768
    assert round(macs(model, (3, 224, 224)) / 1e6) == 1135  # those of the ungrouped AlexNet


def test_resnet18_as_trained():
    """papers.md 17.1, exact for the Binary-Weight-Network: the ordinary ResNet-18 with its sixteen 3x3 layers binary.

    XNOR-Net's batch norms stand in front of their convolutions, so that there are 64 more channels of them.
    """
    model = on_meta("bwn_resnet18")
    binary, real, norms = split(model)
    assert (binary, real + norms) == (10_985_472, 704_040)
    assert parameters(model) == 11_689_512
    assert round((binary / 8 + 4 * (real + norms)) / 1e6, 2) == 4.19
    assert round(4 * 11_689_512 / (binary / 8 + 4 * (real + norms)), 1) == 11.2
    binary, real, norms = split(on_meta("bwn_resnet18", binary_shortcut=True))
    assert (binary, real + norms) == (11_157_504, 532_008)
    assert round(4 * 11_689_512 / (binary / 8 + 4 * (real + norms)), 1) == 13.3
    xnor = split(on_meta("xnor_net_resnet18"))
    assert xnor == (10_985_472, 704_040 - 9_600, 9_600 + 2 * 64)


@pytest.mark.parametrize("name", NAMES)
def test_first_and_last_layer_are_real_and_the_rest_is_binary(name):
    layers = [m for m in on_meta(name).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    real = [m for m in layers if not isinstance(m, BinaryConv2d)]
    assert layers[0] in real
    assert layers[-1] in real
    middle = [m for m in layers[1:-1] if m in real]
    assert all("resnet18" in name and m.kernel_size == (1, 1) for m in middle)
    inputs = {m.inputs for m in layers if isinstance(m, BinaryConv2d)}
    assert inputs == ({"real"} if name.startswith("bwn") else {"scaled"})


def test_block_order():
    def order(inputs):
        block = BinaryBlock(4, 4, 3, padding=1, inputs=inputs, pool=nn.MaxPool2d(2))
        kinds = {nn.BatchNorm2d: "B", BinaryConv2d: "C", nn.ReLU: "A", nn.MaxPool2d: "P"}
        letters = "".join(kinds[type(module)] for module in block)
        return letters.replace("C", "AC") if inputs != "real" else letters  # the sign is in the convolution

    assert order("real") == "CBAP"
    assert order("scaled") == order("sign") == "BACP"


def test_a_block_pools_real_values_not_signs():
    torch.manual_seed(0)
    block = BinaryBlock(8, 8, 3, padding=1, inputs="sign", pool=nn.MaxPool2d(3, stride=2)).eval()
    x = torch.randn(4, 8, 13, 13)
    signs = torch.where(block.bn(x) >= 0, 1.0, -1.0)
    assert block.pool(signs).mean() > 0.97  # of the maxima of signs hardly any is -1
    assert len(block(x).unique()) > 10


class Doubled(nn.Module):
    """In double precision, so that the order of a sum does not decide a sign."""

    def __init__(self, network):
        super().__init__()
        self.network = network.double()

    def forward(self, x):
        return self.network(x.double())


@pytest.mark.parametrize("name", NAMES)
def test_trains(name):
    if name.endswith("lenet_5"):
        shape, kwargs = (1, 28, 28), {}
    elif name.endswith("vgg_small"):
        shape, kwargs = (3, 32, 32), {"width_mult": 0.125}
    else:
        side = 224 if "alexnet" in name else 64
        shape, kwargs = (3, side, side), {"width_mult": 0.1}
    model = quick(name, num_classes=6, **kwargs)
    for module in model.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    assert center_and_clip(model) == sum(isinstance(m, BinaryConv2d) for m in model.modules()) >= 2
    check_trains_and_keeps_images_apart(Doubled(model), shape)


def test_released_network_leaves_out_k():
    model = on_meta("xnor_net_vgg_small", inputs="sign")
    assert {m.inputs for m in model.modules() if isinstance(m, BinaryConv2d)} == {"sign"}


@pytest.mark.slow
def test_xnor_net_learns_mnist():
    """All training rules at once: one epoch of the binary LeNet-5, signs and K, gets 97 % of the test digits."""
    if not os.environ.get("PARING_DATA"):
        pytest.skip("PARING_DATA is not set")
    sets = [_mnist(Path(os.environ["PARING_DATA"]) / "mnist", name) for name in ("train", "t10k")]
    torch.manual_seed(0)
    (images, labels), (test_images, test_labels) = sets
    model = zoo.create("xnor_net_lenet_5")
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=len(images) // 100)
    for rows in torch.randperm(len(images)).split(100):
        center_and_clip(model)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
        optimizer.step()
        schedule.step()
    center_and_clip(model)
    with torch.inference_mode():
        right = (model.eval()(test_images).argmax(1) == test_labels).float().mean()
    assert right > 0.97


def _mnist(folder, name):
    pixels = gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / f"{name}-labels-idx1-ubyte.gz").read_bytes())[8:]
    images = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(-1, 1, 28, 28)
    return (images / 255 - 0.1307) / 0.3081, torch.frombuffer(bytearray(labels), dtype=torch.uint8).long()


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="real or sign or scaled"):
        zoo.create("xnor_net_alexnet", inputs="binary")
    with pytest.raises(ArgumentError, match="positive"):
        zoo.create("bwn_resnet18", width_mult=0)
