import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from paring.errors import ArgumentError  # noqa: E402
from paring.layers import LocalResponseNorm, local_response_norm  # noqa: E402


def loops(x, size, alpha, beta, k, per_channel):
    """The paper's formula, channel by channel; for an even size the window reaches one channel further in front."""
    y = np.empty_like(x)
    channels = x.shape[1]
    for i in range(channels):
        window = x[:, max(0, i - size // 2) : min(channels, i + (size - 1) // 2 + 1)]
        energy = (window**2).sum(1)
        y[:, i] = x[:, i] / (k + (alpha / size if per_channel else alpha) * energy) ** beta
    return y


@pytest.mark.parametrize("size", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("convention", ["paper", "caffe"])
def test_against_the_formula(size, convention):
    x = np.random.default_rng(0).standard_normal((2, 7, 3, 4)) * 30
    y = local_response_norm(torch.from_numpy(x), size, 1e-3, 0.6, 1.5, convention=convention)
    np.testing.assert_allclose(y.numpy(), loops(x, size, 1e-3, 0.6, 1.5, convention == "caffe"), rtol=1e-12)


@pytest.mark.parametrize("a", [0.5, 10.0, 300.0])
def test_a_constant_input_in_closed_form(a):
    x = torch.full((1, 9, 1, 1), a, dtype=torch.float64)
    paper = local_response_norm(x)[0, 4, 0, 0]
    assert float(paper) == pytest.approx(a / (2 + 5e-4 * a * a) ** 0.75, rel=1e-12)
    caffe = local_response_norm(x, k=1.0, convention="caffe")[0, 4, 0, 0]
    assert float(caffe) == pytest.approx(a / (1 + 1e-4 * a * a) ** 0.75, rel=1e-12)
    border = local_response_norm(x)[0, 0, 0, 0]  # three channels in the window, the divisor unchanged
    assert float(border) == pytest.approx(a / (2 + 3e-4 * a * a) ** 0.75, rel=1e-12)


def test_the_layer_and_torchs_own():
    x = torch.randn(2, 8, 3, 3, generator=torch.Generator().manual_seed(0)) * 20
    torch.testing.assert_close(LocalResponseNorm()(x), local_response_norm(x))
    torch.testing.assert_close(LocalResponseNorm(k=1.0, convention="caffe")(x), nn.LocalResponseNorm(5)(x))
    # torch's layer gives the paper's formula when alpha is multiplied by the window
    torch.testing.assert_close(LocalResponseNorm()(x), nn.LocalResponseNorm(5, alpha=5e-4, k=2.0)(x))
    assert not torch.allclose(LocalResponseNorm()(x), nn.LocalResponseNorm(5, alpha=1e-4, k=2.0)(x))


def test_gradient():
    x = (torch.randn(1, 6, 2, 2, dtype=torch.float64) * 10).requires_grad_()
    assert torch.autograd.gradcheck(LocalResponseNorm(alpha=1e-2), (x,))


def test_refusals():
    with pytest.raises(ArgumentError, match="size 0"):
        LocalResponseNorm(0)
    with pytest.raises(ArgumentError, match="'paper' or 'caffe'"):
        LocalResponseNorm(convention="torch")
