import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paring import zoo
from paring.errors import ArgumentError
from paring.zoo.flattened import FlattenedConv2d
from tests.zoo.macs import check_card, check_trains_and_keeps_images_apart, layer_macs, on_meta, parameters, quick


@pytest.mark.parametrize("name", ["flattened_cifar", "flattened_cifar_baseline"])
def test_card_and_training(name):
    check_card(name)
    check_trains_and_keeps_images_apart(quick(name), (3, 16, 16))


@pytest.mark.parametrize(("c", "f", "k"), [(96, 128, 5), (128, 256, 5), (8, 4, 3)])
def test_cost_of_a_layer_is_the_formula(c, f, k):
    """H W (C F + 2 F k) MACs and F (C + 2 k) weights for a stage; H W C F k^2 and C F k^2 for the dense layer."""
    layer = FlattenedConv2d(c, f, k, stages=2)
    weights = sum(p.numel() for p in layer.parameters() if p.dim() == 4)
    assert weights == f * (c + 2 * k) + f * (f + 2 * k)
    assert parameters(layer) == weights + 6 * f  # a bias after each 1-D convolution
    assert sum(layer_macs(layer, (c, 12, 10)).values()) == 120 * weights


def test_the_two_inner_layers_shrink_eight_to_ten_times():
    """The paper's claim for the weights of flattened layers, here on ours: 5x5, 96 -> 128 -> 256."""
    flat, dense = on_meta("flattened_cifar"), on_meta("flattened_cifar_baseline")

    def weights(layer):
        return sum(p.numel() for p in layer.parameters() if p.dim() == 4)

    ratios = [weights(dense.features[n]) / weights(flat.features[n]) for n in (3, 6)]
    assert all(7.9 < ratio < 10 for ratio in ratios), ratios
    # over three channels it would cost more than it saves
    first = on_meta("flattened_cifar", flatten_first=True).features[0]
    assert weights(first) > weights(dense.features[0])


@pytest.mark.parametrize("k", [3, 5])
def test_one_stage_is_a_dense_convolution_of_rank_one_filters(k):
    torch.manual_seed(0)
    layer = FlattenedConv2d(4, 6, k, stages=1).double()
    for conv in (layer[0].lateral, layer[0].vertical):
        nn.init.zeros_(conv.bias)
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    lateral, vertical, horizontal = (conv.weight.detach() for conv in layer[0])
    dense = torch.zeros(6, 4, k, k, dtype=torch.float64)
    for f in range(6):
        for c in range(4):
            dense[f, c] = lateral[f, c, 0, 0] * torch.outer(vertical[f, 0, :, 0], horizontal[f, 0, 0, :])
    torch.testing.assert_close(layer.dense_weight(), dense)
    torch.testing.assert_close(layer(x), F.conv2d(x, dense, layer[0].horizontal.bias, padding=k // 2))
    assert torch.linalg.matrix_rank(dense.view(-1, k, k)).eq(1).all()


def test_a_long_chain_starts_without_fading():
    torch.manual_seed(0)
    model = zoo.create("flattened_cifar", stages=4)
    x = torch.randn(8, 3, 32, 32, requires_grad=True)
    inner = model.features[3]
    y = inner(torch.randn(8, 96, 16, 16).relu())
    assert 0.3 < float(y.detach().std()) < 3
    model(x).square().sum().backward()
    assert float(x.grad.norm()) > 1e-3


def test_the_map_keeps_its_size_and_bad_arguments_are_named():
    assert FlattenedConv2d(2, 3, 7)(torch.zeros(1, 2, 5, 9)).shape == (1, 3, 5, 9)
    with pytest.raises(ArgumentError, match="even"):
        FlattenedConv2d(2, 3, 4)
    with pytest.raises(ArgumentError, match="stage"):
        FlattenedConv2d(2, 3, 3, stages=0)
