"""XNOR-Net's arithmetic against naive loops, hand-worked cases and finite differences."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from paring.errors import ArgumentError
from paring.layers import (
    BinaryConv2d,
    BinaryLinear,
    binary_sign,
    binary_weight,
    center_and_clip,
    input_scale,
    pack_signs,
    packed_dot,
    weight_scale,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def sign(value):
    return 1.0 if value >= 0 else -1.0


def naive_binary_conv(x, w, stride, padding, dilation, groups, inputs, pad_value):
    """Loops over every output, every position and every channel, as the paper writes it."""
    n, _, height, width = x.shape
    out, cg, kh, kw = w.shape
    rows = (height + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    cols = (width + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, out, rows, cols))
    for b, o, r, s in np.ndindex(y.shape):
        first = o // (out // groups) * cg
        alpha = np.mean(np.abs(w[o]))
        total = magnitude = 0.0
        for k, i, j in np.ndindex(cg, kh, kw):
            p, q = r * stride[0] + i * dilation[0] - padding[0], s * stride[1] + j * dilation[1] - padding[1]
            if 0 <= p < height and 0 <= q < width:
                value = x[b, first + k, p, q]
                total += (value if inputs == "real" else sign(value)) * sign(w[o, k, i, j])
                magnitude += abs(value) / cg
            elif inputs != "real":
                total += pad_value * sign(w[o, k, i, j])
        y[b, o, r, s] = total * alpha * (magnitude / (kh * kw) if inputs == "scaled" else 1.0)
    return y


GEOMETRY = [
    {"kernel_size": 3, "stride": 1, "padding": 1, "dilation": 1, "groups": 1},
    {"kernel_size": (3, 5), "stride": (2, 1), "padding": (0, 2), "dilation": 1, "groups": 2},
    {"kernel_size": 2, "stride": 1, "padding": 1, "dilation": 2, "groups": 4},
    {"kernel_size": 1, "stride": 2, "padding": 0, "dilation": 1, "groups": 1},
]


@pytest.mark.parametrize("geometry", GEOMETRY)
@pytest.mark.parametrize(
    ("inputs", "pad_value"),
    [("real", 0), ("sign", 0), ("scaled", 0), ("scaled", 1), ("sign", -1)],
)
def test_convolution_against_loops(geometry, inputs, pad_value):
    layer = BinaryConv2d(4, 8, **geometry, inputs=inputs, pad_value=pad_value).double()
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64)
    x[0, :, 2, 2] = 0  # sign(0) = +1
    with torch.no_grad():
        layer.weight[0, 0] = 0
    expected = naive_binary_conv(
        x.numpy(),
        layer.weight.detach().numpy(),
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        inputs,
        pad_value,
    )
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("inputs", ["real", "sign", "scaled"])
def test_linear_is_a_convolution_of_one_pixel(inputs):
    linear = BinaryLinear(10, 4, bias=True, inputs=inputs).double()
    conv = BinaryConv2d(10, 4, 1, bias=True, inputs=inputs).double()
    conv.load_state_dict({"weight": linear.weight[:, :, None, None], "bias": linear.bias})
    x = torch.randn(3, 10, dtype=torch.float64)
    torch.testing.assert_close(linear(x), conv(x[:, :, None, None]).flatten(1), rtol=1e-13, atol=1e-13)


def test_dot_products_are_the_integers_of_the_popcount_identity():
    layer = BinaryConv2d(37, 5, 3, inputs="sign")  # 333 signs: five full words and a part
    x = torch.randn(2, 37, 6, 6)
    with torch.no_grad():
        layer.weight.copy_(layer.weight.sign() * torch.full_like(layer.weight, 0.5))  # alpha = 1/2 exactly
    windows = F.unfold(x, 3).transpose(1, 2).numpy()
    dots = packed_dot(pack_signs(windows[:, :, None]), pack_signs(layer.weight.detach().flatten(1).numpy()), 333)
    np.testing.assert_array_equal(layer(x).detach().flatten(2).transpose(1, 2).numpy(), dots * np.float32(0.5))


def test_sign_of_zero_is_plus_one_and_its_gradient_is_a_closed_window():
    x = torch.tensor([-1.5, -1.0, -0.25, -0.0, 0.0, 0.5, 1.0, 1.0001], requires_grad=True)
    y = binary_sign(x)
    assert y.tolist() == [-1, -1, -1, 1, 1, 1, 1, 1]
    y.backward(torch.arange(1.0, 9.0))
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 7, 0]


def test_sign_gradient_is_that_of_hard_tanh_by_finite_differences():
    x = torch.tensor([-1.7, -0.9, -0.1, 0.3, 0.99, 1.2], dtype=torch.float64, requires_grad=True)
    binary_sign(x).sum().backward()
    step = 1e-6
    slope = (F.hardtanh(x.detach() + step) - F.hardtanh(x.detach() - step)) / (2 * step)
    torch.testing.assert_close(x.grad, slope)


def test_alpha_is_the_mean_magnitude_and_the_best_scale():
    weight = torch.randn(6, 4, 3, 3, dtype=torch.float64)
    alpha = weight_scale(weight)
    for o in range(6):
        values = weight[o].flatten().tolist()
        assert float(alpha[o]) == pytest.approx(sum(map(abs, values)) / 36)
        errors = [sum((v - a * sign(v)) ** 2 for v in values) for a in (alpha[o] - 1e-3, alpha[o], alpha[o] + 1e-3)]
        assert errors[1] < min(errors[0], errors[2])


def paper_weight_gradient(w, g, *, released=False):
    """dC/dW for one filter, from dC/dW~ = g, written out."""
    n, alpha = w.numel(), float(w.abs().mean())
    result = torch.empty_like(w)
    for index in np.ndindex(*w.shape):
        inside = abs(float(w[index])) < 1 if released else abs(float(w[index])) <= 1
        result[index] = g[index] * (1 / n + (alpha if inside else 0.0))
    return result * (1 - 1 / w.shape[0]) * n if released else result


@pytest.mark.parametrize("gradient", ["paper", "released"])
def test_weight_gradient_is_the_papers(gradient):
    weight = (torch.randn(3, 4, 3, 3, dtype=torch.float64) * 0.8).requires_grad_()
    with torch.no_grad():
        weight[0, 0, 0, 0], weight[1, 2, 1, 1], weight[2, 0, 2, 0] = 1.0, -1.0, 0.0
    upstream = torch.randn_like(weight)
    sign_, alpha = binary_weight(weight, gradient)
    (sign_ * alpha.view(-1, 1, 1, 1) * upstream).sum().backward()
    for o in range(3):
        expected = paper_weight_gradient(weight.detach()[o], upstream[o], released=gradient == "released")
        torch.testing.assert_close(weight.grad[o], expected)


def test_weight_gradient_worked_by_hand():
    # W = (0.5, -0.25, 1.5, 0): n = 4, alpha = 0.5625, masks 1 1 0 1, factors 0.8125 0.8125 0.25 0.8125
    layer = BinaryLinear(4, 1, inputs="real")
    layer.weight.data = torch.tensor([[0.5, -0.25, 1.5, 0.0]])
    output = layer(torch.tensor([[1.0, 2.0, 4.0, 8.0]]))
    assert output.item() == 0.5625 * (1 - 2 + 4 + 8)
    output.backward()
    assert layer.weight.grad.tolist() == [[0.8125, 1.625, 1.0, 6.5]]


def test_both_terms_of_the_weight_gradient_by_finite_differences():
    """d(alpha(W) s(W_i))/dW_i: alpha moves and the sign stands, plus alpha stands and the sign's surrogate moves."""
    weight = torch.tensor([[0.7, -0.4, 0.1, -1.3, 0.95]], dtype=torch.float64)
    step = 1e-6
    expected = []
    for i in range(5):
        up, down = weight.clone(), weight.clone()
        up[0, i] += step
        down[0, i] -= step
        through_alpha = float(weight_scale(up) - weight_scale(down)) / (2 * step) * sign(weight[0, i])
        surrogate = float(F.hardtanh(up[0, i]) - F.hardtanh(down[0, i])) / (2 * step)
        expected.append(through_alpha + float(weight_scale(weight)) * surrogate)
    weight.requires_grad_()
    sign_, alpha = binary_weight(weight)
    (sign_ * alpha[:, None]).sum().backward()
    np.testing.assert_allclose(weight.grad[0].numpy(), expected, rtol=1e-8)


def test_input_scale_against_loops_and_its_gradient_by_finite_differences():
    x = torch.randn(1, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    scale = input_scale(x, (3, 3), padding=(1, 1))
    assert scale.shape == (1, 1, 5, 5)
    mean = np.pad(np.abs(x.detach().numpy()[0]).mean(0), 1)
    for r, s in np.ndindex(5, 5):
        assert float(scale[0, 0, r, s].detach()) == pytest.approx(mean[r : r + 3, s : s + 3].sum() / 9)
    assert torch.autograd.gradcheck(lambda v: input_scale(v, (3, 3), (2, 2), (1, 1)), x)


def test_input_gradient_of_the_convolution_worked_by_hand():
    # one 1x1 filter over two channels, W = (0.5, -1): alpha 0.75, x = (0.5, -2): signs + -, dot 2, K = 1.25
    layer = BinaryConv2d(2, 1, 1, inputs="scaled").double()
    layer.weight.data = torch.tensor([0.5, -1.0], dtype=torch.float64).view(1, 2, 1, 1)
    x = torch.tensor([0.5, -2.0], dtype=torch.float64).view(1, 2, 1, 1).requires_grad_()
    y = layer(x)
    assert y.item() == 2 * 0.75 * 1.25
    y.backward()
    # through the sign: alpha K B_i [|x_i| <= 1] = (0.9375, 0); through K: dot alpha sign(x_i) / 2 = (0.75, -0.75)
    assert x.grad.flatten().tolist() == [0.9375 + 0.75, -0.75]


@pytest.mark.parametrize("inputs", ["real", "sign", "scaled"])
def test_layer_gradients_of_weight_and_bias(inputs):
    layer = BinaryConv2d(3, 4, 3, padding=1, bias=True, inputs=inputs).double()
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    upstream = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    layer(x).backward(upstream)
    # dC/dW~ from an ordinary convolution in which W~ = alpha B is a free variable
    free = (weight_scale(layer.weight).view(-1, 1, 1, 1) * torch.where(layer.weight >= 0, 1.0, -1.0)).detach()
    free.requires_grad_()
    source = x if inputs == "real" else torch.where(x >= 0, 1.0, -1.0).double()
    scale = input_scale(x, (3, 3), padding=(1, 1)) if inputs == "scaled" else 1.0
    (F.conv2d(source, free, padding=1) * scale).backward(upstream)
    for o in range(4):
        torch.testing.assert_close(layer.weight.grad[o], paper_weight_gradient(layer.weight.detach()[o], free.grad[o]))
    torch.testing.assert_close(layer.bias.grad, upstream.sum((0, 2, 3)))


def test_centering_and_clipping():
    network = torch.nn.Sequential(
        BinaryConv2d(4, 2, 3), torch.nn.Conv2d(2, 2, 1), BinaryLinear(6, 3), BinaryConv2d(2, 2, 3, groups=2)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(20)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    assert center_and_clip(network) == 3
    conv, plain, _, linear, depthwise = (parameter.detach() for parameter in network.parameters())
    expected = np.clip(before[0].numpy() - before[0].numpy().mean(1, keepdims=True), -1, 1)
    np.testing.assert_allclose(conv.numpy(), expected, atol=1e-6)
    assert torch.equal(plain, before[1])
    np.testing.assert_allclose(
        linear.numpy(), np.clip(before[3].numpy() - before[3].numpy().mean(1, keepdims=True), -1, 1), atol=1e-6
    )
    assert torch.equal(depthwise, before[4].clamp(-1, 1))
    with pytest.raises(ArgumentError, match="no binary layer"):
        center_and_clip(torch.nn.Conv2d(1, 1, 1))


def test_an_all_zero_filter_gives_zero_and_no_gradient():
    layer = BinaryLinear(4, 2, inputs="sign")
    layer.weight.data[0] = 0
    y = layer(torch.randn(3, 4))
    assert torch.equal(y[:, 0], torch.zeros(3))
    y.sum().backward()
    assert torch.equal(layer.weight.grad[0], torch.zeros(4))
    assert torch.isfinite(layer.weight.grad).all()


def test_binary_gradients_learn_a_binary_target():
    """The training rules together: a layer started elsewhere finds the signs of the layer that made the data."""
    target = BinaryConv2d(8, 6, 3, inputs="sign")
    layer = BinaryConv2d(8, 6, 3, inputs="sign")
    x = torch.randn(64, 8, 5, 5)
    wanted = target(x).detach()
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    for _ in range(60):
        center_and_clip(layer)
        optimizer.zero_grad()
        F.mse_loss(layer(x), wanted).backward()
        optimizer.step()
    agree = ((layer.weight >= 0) == (target.weight >= 0)).float().mean()
    assert agree > 0.95


@pytest.mark.parametrize(
    "arguments", [{"inputs": "none"}, {"gradient": "exact"}, {"pad_value": 2}, {"pad_value": 1, "inputs": "real"}]
)
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ArgumentError):
        BinaryConv2d(1, 1, 1, **arguments)


def test_bad_arguments_of_linear_are_named():
    with pytest.raises(ArgumentError):
        BinaryLinear(1, 1, inputs="none")
    with pytest.raises(ArgumentError):
        binary_weight(torch.zeros(1, 1), "exact")
