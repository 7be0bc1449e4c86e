"""Transposed convolutions, means over channels and numbers per pixel against torch."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from paring.graph import cost  # noqa: E402
from tests.capture.judge import Function, agree, ops  # noqa: E402


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.ConvTranspose2d(6, 9, 3, 2, 1, 1), (6, 5, 4)),
        (nn.ConvTranspose2d(6, 8, (2, 3), (1, 2), (0, 1), bias=False, groups=2), (6, 3, 4)),
        (nn.ConvTranspose2d(8, 8, 2, 2, groups=8), (8, 3, 3)),
        (nn.ConvTranspose2d(4, 3, 3, 1, 2, dilation=2), (4, 5, 5)),
        (nn.ConvTranspose1d(4, 6, 4, 2, 1), (4, 7)),
        (nn.ConvTranspose1d(4, 6, 3, 3, output_padding=2, groups=2), (4, 5)),
    ],
)
def test_transposed_convolution(layer, shape):
    graph = agree(layer, shape)
    assert ops(graph) == ["conv_transpose2d"]
    positions = torch.Size(shape[1:]).numel()
    assert cost(graph).macs == layer.weight.numel() * positions


@pytest.mark.parametrize(("groups", "bias"), [(1, True), (1, False), (2, True), (8, False)])
def test_batch_norm_folds_into_it(groups, bias):
    module = nn.Sequential(nn.ConvTranspose2d(8, 16, 3, 2, groups=groups, bias=bias), nn.BatchNorm2d(16), nn.ReLU())
    assert ops(agree(module, (8, 4, 5))) == ["conv_transpose2d", "relu"]
    assert ops(agree(module, (8, 4, 5), fold=False)) == ["conv_transpose2d", "scale_shift", "relu"]


def test_mean_over_channels():
    assert ops(agree(Function(lambda m, x: x.mean(1, keepdim=True)), (5, 4, 3))) == ["channel_mean"]
    assert ops(agree(Function(lambda m, x: x.abs().mean(-1, keepdim=True)), (7,))) == ["abs", "channel_mean"]
    graph = agree(Function(lambda m, x: x.permute(0, 2, 3, 1).mean(-1).unsqueeze(1)), (5, 4, 3))
    assert ops(graph) == ["channel_mean"]


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x * x.mean(1, keepdim=True),
        lambda m, x: x.mean(1, keepdim=True) * x,
        lambda m, x: x - x.mean(1, keepdim=True),
    ],
)
def test_one_number_per_pixel(function):
    assert ops(agree(Function(function), (5, 4, 3)))[-1] in ("mul", "add")
    agree(Function(function), (6,))
