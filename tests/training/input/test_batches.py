import numpy as np
import pytest
import torch

from paring import training


def make(**changes):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 5, 4, 2), np.uint8)
    images[:, 0, 0, 0] = np.arange(50)  # tells images apart
    return training.Batches(images, np.arange(50), **{"size": 4, "seed": 1, **changes}), images


def test_an_epoch_is_every_image_once_in_a_shuffled_order():
    data, images = make(mean=(0.5, 0.25), std=(0.5, 2.0))
    seen = []
    for x, y, places, _ in data.epoch(0):
        assert places.tolist() == y.tolist()  # the labels of these images are their places
        expected = (images[y].transpose(0, 3, 1, 2) / 255 - np.array([0.5, 0.25])[:, None, None]) / np.array(
            [0.5, 2.0]
        )[:, None, None]
        np.testing.assert_allclose(x.numpy(), expected, rtol=1e-5, atol=1e-6)
        seen += y.tolist()
    assert len(seen) == len(set(seen)) == 48 == len(data) * 4
    assert seen != sorted(seen)


@pytest.mark.parametrize("augment", ["none", "strong"])
def test_the_order_depends_on_seed_and_epoch_alone(augment):
    data, _ = make(augment=augment)
    first = [(x.numpy().tobytes(), y.tolist()) for x, y, *_ in data.epoch(2)]
    list(data.epoch(0))
    torch.manual_seed(99)
    assert [(x.numpy().tobytes(), y.tolist()) for x, y, *_ in data.epoch(2)] == first
    for start in (1, 7, 8, 9, 11, 12):
        assert [(x.numpy().tobytes(), y.tolist()) for x, y, *_ in data.epoch(2, start)] == first[start:]
    assert [y.tolist() for _, y, *_ in data.epoch(3)] != [y for _, y in first]
    assert [y.tolist() for _, y, *_ in make(seed=2)[0].epoch(2)] != [y for _, y in first]


@pytest.mark.parametrize("augment", ["none", "strong", "flip,pca,erase", "cifar"])
@pytest.mark.parametrize("device", ["meta", "cuda"])
def test_images_are_augmented_on_the_device(augment, device):
    """torch's meta device computes shapes only, and refuses every sum with a tensor from elsewhere."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    there, here = (make(augment=augment, device=where)[0] for where in (device, "cpu"))
    for given, expected in zip(there.epoch(1, 2), here.epoch(1, 2), strict=True):
        assert given.images.device.type == device
        assert given.images.shape == expected.images.shape
        assert torch.equal(given.indices, expected.indices)
        if device == "cuda":
            torch.testing.assert_close(given.images.cpu(), expected.images, rtol=1e-4, atol=1e-4)


def test_channels_last_changes_the_layout_only():
    plain, layout = make(augment="light")[0], make(augment="light", channels_last=True)[0]
    for (a, *_), (b, *_) in zip(plain.epoch(0), layout.epoch(0), strict=True):
        assert torch.equal(a, b)
        assert b.is_contiguous(memory_format=torch.channels_last)


def test_distort_without_strength_changes_nothing():
    x = torch.rand(3, 2, 9, 7)
    torch.testing.assert_close(training.distort(x, training.generator(0)), x)


def test_distort_shifts_by_whole_pixels_where_told():
    """With shift alone, each image is its own translation: undo it by the same draw."""
    x = torch.zeros(40, 1, 15, 15)
    x[:, 0, 7, 7] = 1.0
    moved = training.distort(x, training.generator(5), shift=3.0)
    grid = torch.arange(15.0)
    total = moved.sum((1, 2, 3))
    torch.testing.assert_close(total, torch.ones(40), rtol=1e-4, atol=1e-4)
    rows = (moved.sum((1, 3)) * grid).sum(1) - 7
    columns = (moved.sum((1, 2)) * grid).sum(1) - 7
    assert rows.abs().max() <= 3
    assert columns.abs().max() <= 3
    assert rows.std() > 1
    assert columns.std() > 1


def test_distort_rotates_by_at_most_the_bound():
    x = torch.zeros(60, 1, 21, 21)
    x[:, 0, 10, 18] = 1.0  # 8 pixels right of the center
    turned = training.distort(x, training.generator(1), rotation=30.0)
    rows = (turned.sum((1, 3)) * torch.arange(21.0)).sum(1) / turned.sum((1, 2, 3)) - 10
    assert rows.abs().max() <= 8 * np.sin(np.pi / 6) + 0.3
    assert rows.abs().max() > 2.5


def test_derived_seeds_differ_and_stay():
    seeds = {training.derived_seed(a, b) for a in range(30) for b in ("x", "y", 0)}
    assert len(seeds) == 90
    assert training.derived_seed(1, "order") == training.derived_seed(1, "order") != training.derived_seed("1", "order")
