import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from paring.errors import ArgumentError  # noqa: E402
from paring.layers import absorb_batch_norm, batch_norm_backward, batch_norm_forward, fold_batch_norm  # noqa: E402


def used_norm(channels, dims=2, seed=0, affine=True):
    """A batch norm that has seen data: nothing about it is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims](channels, eps=1e-3, affine=affine)
    norm = norm.double().eval()
    norm.running_mean.copy_(torch.randn(channels, generator=generator))
    norm.running_var.copy_(torch.rand(channels, generator=generator) + 0.1)
    if affine:
        norm.weight.data.copy_(torch.randn(channels, generator=generator))
        norm.bias.data.copy_(torch.randn(channels, generator=generator))
    return norm


LAYERS = {  # layer, input, channels behind, batch norm's dimensions
    "linear": (lambda bias: nn.Linear(6, 8, bias=bias), (5, 6), 1),
    "conv1d": (lambda bias: nn.Conv1d(6, 8, 3, padding=1, bias=bias), (2, 6, 9), 1),
    "conv2d": (lambda bias: nn.Conv2d(6, 8, 3, padding=1, bias=bias), (2, 6, 7, 7), 2),
    "strided": (lambda bias: nn.Conv2d(6, 8, 3, 2, 2, dilation=2, bias=bias), (2, 6, 9, 9), 2),
    "grouped": (lambda bias: nn.Conv2d(6, 8, 3, padding=1, groups=2, bias=bias), (2, 6, 7, 7), 2),
    "depthwise": (lambda bias: nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=bias), (2, 8, 7, 7), 2),
    "multiplied": (lambda bias: nn.Conv2d(4, 8, 3, padding=1, groups=4, bias=bias), (2, 4, 7, 7), 2),
    "transposed": (lambda bias: nn.ConvTranspose2d(6, 8, 3, 2, 1, bias=bias), (2, 6, 5, 5), 2),
    "transposed grouped": (lambda bias: nn.ConvTranspose2d(6, 8, 3, 2, groups=2, bias=bias), (2, 6, 5, 5), 2),
    "transposed depthwise": (lambda bias: nn.ConvTranspose2d(8, 8, 4, 2, groups=8, bias=bias), (2, 8, 5, 5), 2),
    "conv3d": (lambda bias: nn.Conv3d(2, 8, 3, padding=1, bias=bias), (1, 2, 4, 4, 4), 3),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("kind", LAYERS)
def test_folded_layer_computes_the_pair(kind, bias, affine):
    torch.manual_seed(0)
    make, shape, dims = LAYERS[kind]
    layer, norm, x = make(bias).double(), used_norm(8, dims, affine=affine), torch.randn(shape).double()
    before = layer.weight.detach().clone()
    folded = fold_batch_norm(layer, norm)
    torch.testing.assert_close(folded(x), norm(layer(x)))
    assert type(folded) is type(layer)
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", LAYERS)
def test_absorbed_layer_computes_the_pair_where_nothing_is_padded(kind, bias):
    torch.manual_seed(0)
    make, shape, dims = LAYERS[kind]
    layer, norm, x = make(bias).double(), used_norm(shape[1], dims), torch.randn(shape).double()
    if "transposed" in kind:
        with pytest.raises(ArgumentError, match="border"):
            absorb_batch_norm(norm, layer)
    elif kind != "linear":
        with pytest.raises(ArgumentError, match="border"):
            absorb_batch_norm(norm, layer)
        layer.padding = (0,) * len(layer.padding)
    if "transposed" in kind:  # without a shift there is nothing the border could lose
        norm.bias.data.copy_(norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt())
        norm.running_mean.zero_()
        norm.bias.data.zero_()
    torch.testing.assert_close(absorb_batch_norm(norm, layer)(x), layer(norm(x)))


def test_absorbing_into_a_padded_layer_would_indeed_differ():
    """The refusal is not idle: the formula applied all the same errs at the border and only there."""
    torch.manual_seed(0)
    norm, layer, x = used_norm(4), nn.Conv2d(4, 5, 3, padding=1).double(), torch.randn(1, 4, 6, 6).double()
    open_layer = nn.Conv2d(4, 5, 3).double()
    open_layer.load_state_dict(layer.state_dict())
    inner = absorb_batch_norm(norm, open_layer)
    wrong = F.conv2d(x, inner.weight, inner.bias, padding=1)
    difference = (wrong - layer(norm(x))).abs().amax((0, 1))
    assert difference[1:-1, 1:-1].max() < 1e-12
    assert difference[0].min() > 1e-3


def test_reflecting_padding_is_exact():
    torch.manual_seed(0)
    norm, x = used_norm(4), torch.randn(1, 4, 6, 6).double()
    layer = nn.Conv2d(4, 5, 3, padding=1, padding_mode="reflect").double()
    torch.testing.assert_close(absorb_batch_norm(norm, layer)(x), layer(norm(x)))
    with pytest.raises(ArgumentError, match="border"):
        absorb_batch_norm(norm, nn.Conv2d(4, 5, 3, padding="same"))
    absorb_batch_norm(norm, nn.Conv2d(4, 5, 3, padding="valid"))
    absorb_batch_norm(norm, nn.Conv2d(4, 5, 1, padding="same"))


def test_refusals():
    with pytest.raises(ArgumentError, match="not linear"):
        fold_batch_norm(nn.ReLU(), used_norm(4))
    with pytest.raises(ArgumentError, match="depends on the batch"):
        fold_batch_norm(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(ArgumentError, match="not a batch norm"):
        fold_batch_norm(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4))
    with pytest.raises(ArgumentError, match="other channels"):
        fold_batch_norm(nn.Conv2d(3, 4, 1), used_norm(5))
    with pytest.raises(ArgumentError, match="other channels"):
        absorb_batch_norm(used_norm(4), nn.Conv2d(3, 4, 1))


@pytest.mark.parametrize("shape", [(7, 3), (4, 3, 5, 6)])
def test_formulas_against_torch(shape):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    gamma, beta = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    dy = torch.randn(shape, dtype=torch.float64)
    wanted = F.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-3)
    wanted.backward(dy)
    y, cache = batch_norm_forward(x.detach(), gamma.detach(), beta.detach(), eps=1e-3)
    torch.testing.assert_close(y, wanted.detach())
    for found, leaf in zip(batch_norm_backward(dy, cache), (x, gamma, beta), strict=True):
        torch.testing.assert_close(found, leaf.grad)


def test_float32_folding_rounds_once():
    """Computed in float64 and rounded at the end: the best a float32 weight can be."""
    norm, layer = used_norm(4).float(), nn.Conv2d(3, 4, 3)
    folded = fold_batch_norm(layer, norm)
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    assert torch.equal(folded.weight, (layer.weight.double() * scale.view(-1, 1, 1, 1)).float())
