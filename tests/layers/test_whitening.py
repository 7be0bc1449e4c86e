import io
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from paring.errors import ArgumentError  # noqa: E402
from paring.layers import Whitening  # noqa: E402

DATA = os.environ.get("PARING_DATA")


def correlated(samples=4000, width=12, seed=0):
    """Samples whose eigenvalues span three orders of magnitude, with a mean."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((width, width)))[0]
    return rng.standard_normal((samples, width)) * np.logspace(1, -0.5, width) @ basis + rng.standard_normal(width) * 5


def covariance(y):
    """By numpy, divisor N."""
    return np.cov(np.asarray(y, np.float64).reshape(len(y), -1), rowvar=False, bias=True)


@pytest.mark.parametrize("method", ["pca", "zca"])
def test_covariance_of_correlated_data_becomes_the_identity(method):
    x = correlated()
    whiten = Whitening.fit(x, method, eps=0.0, dtype=torch.float64)
    y = whiten(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(covariance(y), np.eye(12), atol=1e-9)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(whiten.inverse(torch.from_numpy(y)).numpy(), x, atol=1e-9)


@pytest.mark.parametrize("eps", [1e-5, 0.1, 3.0])
def test_eps_damps_the_eigenvalues(eps):
    x = correlated()
    values = np.sort(np.linalg.eigvalsh(covariance(x)))[::-1]
    pca = Whitening.fit(x, "pca", eps=eps, dtype=torch.float64)
    zca = Whitening.fit(x, "zca", eps=eps, dtype=torch.float64)
    rows = torch.from_numpy(x)
    np.testing.assert_allclose(covariance(pca(rows)), np.diag(values / (values + eps)), atol=1e-9)
    np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(covariance(zca(rows))))[::-1], values / (values + eps))
    assert torch.allclose(zca.matrix, zca.matrix.T, atol=1e-12)
    # PCA is ZCA turned into the eigenvectors' axes
    turn = pca.matrix @ torch.linalg.inv(zca.matrix)
    torch.testing.assert_close(turn @ turn.T, torch.eye(12, dtype=torch.float64))
    torch.testing.assert_close(zca(rows) @ turn.T, pca(rows))


def test_zca_is_the_nearest_whitening():
    """No rotation of the whitened data lies closer to the (centered) data."""
    x = correlated()
    y = Whitening.fit(x, "zca", eps=0.0, dtype=torch.float64)(torch.from_numpy(x)).numpy()
    centered = x - x.mean(0)
    distance = ((y - centered) ** 2).sum()
    rng = np.random.default_rng(1)
    for scale in (1e-3, 1e-2, 1.0):
        turn = np.linalg.qr(np.eye(12) + scale * rng.standard_normal((12, 12)))[0]
        turn *= np.sign(np.diag(turn))
        assert ((y @ turn - centered) ** 2).sum() > distance


def test_dropped_components():
    x = correlated()
    whiten = Whitening.fit(x, "pca", eps=0.0, components=4, dtype=torch.float64)
    y = whiten(torch.from_numpy(x))
    assert y.shape == (4000, 4)
    np.testing.assert_allclose(covariance(y), np.eye(4), atol=1e-9)
    back = whiten.inverse(y).numpy()
    lost = np.linalg.eigvalsh(covariance(x))[: 12 - 4].sum()
    assert ((back - x) ** 2).sum(1).mean() == pytest.approx(lost)


def test_as_a_layer_over_channels():
    """A 1x1 convolution whose output has uncorrelated channels of variance 1."""
    rng = np.random.default_rng(0)
    maps = torch.from_numpy(np.einsum("nchw,dc->ndhw", rng.standard_normal((20, 5, 8, 8)), rng.standard_normal((5, 5))))
    for method in ("pca", "zca"):
        whiten = Whitening.fit(maps, method, eps=0.0, over="channels", dtype=torch.float64)
        y = whiten(maps)
        assert y.shape == maps.shape
        np.testing.assert_allclose(covariance(y.movedim(1, -1).reshape(-1, 5)), np.eye(5), atol=1e-9)
        torch.testing.assert_close(whiten.inverse(y), maps)


def test_as_a_layer_in_a_model(tmp_path):
    images = torch.rand(300, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    model = torch.nn.Sequential(Whitening.fit(images, "zca"), torch.nn.Conv2d(3, 2, 3))
    x = images[:2].clone().requires_grad_()
    model(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert sum(p.requires_grad for p in model[0].parameters()) == 0
    torch.save(model.state_dict(), tmp_path / "w.pt")
    other = torch.nn.Sequential(Whitening.fit(torch.rand(300, 3, 4, 4), "zca"), torch.nn.Conv2d(3, 2, 3))
    other.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    assert torch.equal(model(images[:2]), other(images[:2]))
    back = model[0].inverse(model[0](images))
    torch.testing.assert_close(back, images, atol=1e-4, rtol=1e-4)
    bytes_ = (images * 255).to(torch.uint8)
    assert Whitening.fit(bytes_, "zca")(bytes_).shape == images.shape


def test_pca_over_images_keeps_their_shape_only_when_told():
    images = torch.rand(200, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    whiten = Whitening.fit(images, "pca", eps=0.0, dtype=torch.float64)
    y = whiten(images)
    assert y.shape == (200, 18)
    torch.testing.assert_close(whiten.inverse(y, (2, 3, 3)), images.double())


def test_refusals():
    x = correlated(samples=8)
    with pytest.raises(ArgumentError, match="full rank"):
        Whitening.fit(x, "zca", eps=0.0)
    Whitening.fit(x, "zca", eps=0.1)
    Whitening.fit(x, "pca", eps=0.0, components=7)
    with pytest.raises(ArgumentError, match="no such whitening"):
        Whitening.fit(x, "cholesky")
    with pytest.raises(ArgumentError, match="that many components"):
        Whitening.fit(x, "zca", components=3)
    with pytest.raises(ArgumentError, match="two samples"):
        Whitening.fit(x[:1])
    with pytest.raises(ArgumentError, match="not finite"):
        Whitening.fit(np.full((5, 2), np.nan))
    with pytest.raises(ArgumentError, match="needs maps"):
        Whitening.fit(x, over="channels")


def cifar10(count, side):
    """The middle of the first test images, (count, 3, side, side) in [0, 1]."""
    parquet, image = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("PIL.Image")
    column = parquet.read_table(next(Path(DATA, "cifar10").glob("test-*.parquet")))["image"].slice(0, count)
    pixels = np.stack([np.asarray(image.open(io.BytesIO(row["bytes"]))) for row in column.to_pylist()])
    first = (32 - side) // 2
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)[:, :, first : first + side, first : first + side] / 255


def check_on_cifar10(count, side):
    images = cifar10(count, side)
    for method in ("pca", "zca"):
        whiten = Whitening.fit(images, method, eps=0.0, dtype=torch.float64)
        found = covariance(whiten(images).reshape(count, -1).numpy())
        assert np.abs(found - np.eye(len(found))).max() < 1e-3
        single = whiten.float()(images)  # and in the float32 a network computes in
        assert np.abs(covariance(single.reshape(count, -1).numpy()) - np.eye(len(found))).max() < 1e-2


@pytest.mark.skipif(not DATA, reason="PARING_DATA (CIFAR-10) is not set")
def test_covariance_on_cifar10_patches():
    check_on_cifar10(2500, 10)


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="PARING_DATA (CIFAR-10) is not set")
def test_covariance_on_whole_cifar10_images():
    check_on_cifar10(10_000, 32)
