"""Every augmentation against a naive loop or an independent implementation."""

import colorsys
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from paring import training
from paring.errors import ArgumentError
from paring.layers import Whitening
from paring.training.augment._geometry import DRAWS, square


def pictures(count=5, channels=3, height=11, width=8, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, channels, height, width), np.uint8))


def test_flip_mirrors_those_told():
    x, which = pictures(), torch.tensor([True, False, True, True, False])
    expected = np.stack([i[:, :, ::-1] if w else i for i, w in zip(x.numpy(), which.tolist(), strict=True)])
    np.testing.assert_array_equal(training.flip(x, which).numpy(), expected)


def test_pad_crop_is_a_window_of_the_padded_image():
    x = pictures(9)
    top, left = torch.tensor([0, 6, 3, 1, 2, 4, 5, 0, 6]), torch.tensor([6, 0, 3, 2, 5, 1, 4, 0, 6])
    found = training.pad_crop(x, top, left, 3).numpy()
    for image, new, t, le in zip(x.numpy(), found, top.tolist(), left.tolist(), strict=True):
        padded = np.pad(image, ((0, 0), (3, 3), (3, 3)))
        np.testing.assert_array_equal(new, padded[:, t : t + 11, le : le + 8])


@pytest.mark.parametrize("size", [(5, 9), (16, 4), (11, 8)])
def test_resample_is_torchs_antialiased_filter_on_each_crop(size):
    x = pictures(height=23, width=17).double()
    boxes = torch.tensor([[0, 0, 23, 17], [3, 2, 4, 9], [10, 5, 13, 1], [22, 16, 1, 1], [1, 0, 20, 17]])
    found = training.resample(x, boxes, *size)
    for image, new, (t, le, h, w) in zip(x, found, boxes.tolist(), strict=True):
        crop = image[None, :, t : t + h, le : le + w]
        expected = F.interpolate(crop, size=size, mode="bilinear", antialias=True)[0]
        torch.testing.assert_close(new, expected, rtol=1e-5, atol=1e-4)


def test_resample_agrees_with_pillow_to_a_level():
    PIL = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    x = pictures(1, height=40, width=50)
    image = PIL.fromarray(x[0].permute(1, 2, 0).numpy()).crop((7, 3, 45, 30))
    expected = np.asarray(image.resize((12, 20), PIL.Resampling.BILINEAR)).astype(float)
    found = training.resample(x.float(), torch.tensor([[3, 7, 27, 38]]), 20, 12)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() <= 1.01


def test_rectangles_have_the_asked_areas_shapes_and_places():
    """Against the definition, with a copy of the search written as the paper tells it."""
    rng = np.random.default_rng(3)
    areas, places, tops = [], [], []
    for _ in range(2000):
        drawn = rng.random(DRAWS).tolist()
        top, left, h, w = training.rectangle(drawn, 120, 90, (0.08, 1.0), (0.75, 4 / 3))
        assert 0 <= top <= 120 - h
        assert 0 <= left <= 90 - w
        assert h >= 1
        assert w >= 1
        for share, shape in zip(drawn[:10], drawn[10:20], strict=True):
            area, aspect = (0.08 + 0.92 * share) * 120 * 90, 0.75 * (16 / 9) ** shape
            wide, high = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if wide <= 90 and high <= 120:
                assert (h, w) == (high, wide)
                areas.append(share)
                break
        if h < 110:
            tops.append(top / (120 - h))
            places.append(left / max(90 - w, 1))
    assert len(areas) > 1900
    assert abs(np.mean(tops) - 0.5) < 0.03
    assert min(tops) < 0.02
    assert max(tops) == 1.0


def test_a_rectangle_that_never_fits_is_central():
    never = [1.0] * 10 + [0.5] * 10 + [0.0, 0.0]
    assert training.rectangle(never, 10, 100, (0.9, 1.0), (0.75, 4 / 3)) == (0, 43, 10, 13)
    assert training.rectangle(never, 100, 12, (0.9, 1.0), (0.75, 4 / 3)) == (42, 0, 16, 12)


def test_squares_stay_in_the_central_square_and_reach_its_ends():
    assert square([0.0, 0.0], 256, 300, 0.875) == (0, 22, 224, 224)
    assert square([0.9999, 0.9999], 256, 300, 0.875) == (32, 54, 224, 224)
    assert square([1.0, 1.0], 300, 256, 0.875) == (54, 32, 224, 224)


def test_erase_paints_boxes():
    x, fill = pictures(3), torch.tensor([9.0, 8.0, 7.0])
    boxes = torch.tensor([[2, 1, 4, 3], [0, 0, 0, 0], [0, 0, 11, 8]])
    expected = x.clone()
    expected[0, :, 2:6, 1:4] = torch.tensor([9, 8, 7], dtype=torch.uint8)[:, None, None]
    expected[2] = torch.tensor([9, 8, 7], dtype=torch.uint8)[:, None, None]
    assert torch.equal(training.erase(x, boxes, fill), expected)


def test_hue_turns_as_colorsys_does():
    x = pictures(3).double() / 255
    x[0, :, 0, :4] = torch.tensor([[0, 1, 0.5, 1], [0, 1, 0.5, 0], [0, 1, 0.5, 0]])  # black, white, gray, red
    turns = torch.tensor([0.37, -0.2, 0.5], dtype=torch.float64)
    found = training.hue(x, turns)
    for image, new, turn in zip(x, found, turns.tolist(), strict=True):
        for old, made in zip(image.flatten(1).T.tolist(), new.flatten(1).T.tolist(), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*old)
            assert made == pytest.approx(colorsys.hsv_to_rgb((h + turn) % 1, s, v), abs=1e-9)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colors_are_those_of_pillows_enhancers(name):
    pytest.importorskip("PIL", reason="Pillow is not installed")
    from PIL import Image, ImageEnhance

    enhancer = {"brightness": "Brightness", "contrast": "Contrast", "saturation": "Color"}[name]
    x, factors = pictures(4), torch.tensor([0.3, 0.8, 1.0, 1.7])
    found = getattr(training, name)(x.float() / 255, factors) * 255
    for image, new, factor in zip(x, found, factors.tolist(), strict=True):
        made = getattr(ImageEnhance, enhancer)(Image.fromarray(image.permute(1, 2, 0).numpy())).enhance(factor)
        assert np.abs(new.permute(1, 2, 0).numpy() - np.asarray(made)).max() <= 1.5  # Pillow rounds gray and result


def test_gray_pictures_have_no_saturation_and_no_hue():
    x = pictures(channels=1).float() / 255
    assert torch.equal(training.hue(x, torch.full((5,), 0.3)), x)
    assert torch.equal(training.saturation(x, torch.full((5,), 0.3)), x)


def test_pca_noise_has_the_covariance_of_the_formula():
    x = pictures(90, height=7, width=5)
    x[:, 1] = (x[:, 0].float() * 0.6 + x[:, 1] * 0.3).to(torch.uint8)  # colors that depend on each other
    values, vectors = training.color_components(x)
    colors = x.permute(1, 0, 2, 3).flatten(1).numpy() / 255
    covariance = np.cov(colors, bias=True)
    np.testing.assert_allclose(vectors.numpy() * values.numpy() @ vectors.numpy().T, covariance, atol=1e-12)
    assert values.tolist() == sorted(values.tolist(), reverse=True)
    amount = torch.randn(4, 3, generator=training.generator(1)) * 0.1
    zero = torch.zeros(4, 3, 2, 2)
    found = training.pca_noise(zero, amount, values, vectors)
    p, eig = np.linalg.eigh(covariance)[1][:, ::-1], np.linalg.eigvalsh(covariance)[::-1]
    p = p * np.sign(np.take_along_axis(p, np.abs(p).argmax(0)[None], 0))
    for image, a in zip(found.numpy(), amount.double().numpy(), strict=True):
        shift = sum(p[:, k] * a[k] * eig[k] for k in range(3))
        np.testing.assert_allclose(image, np.broadcast_to(shift[:, None, None], (3, 2, 2)), atol=1e-7)


SPECS = ["cifar", "imagenet", "alexnet", "color:0.4:0.3:0.2:0.1", "crop:0.7,erase:1,flip", "light,flip", "pad-crop:2"]


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_drawn_for_a_batch_does_not_depend_on_who_computes_which_part(spec):
    x = pictures(12, height=16, width=16)
    data = {"images": x.permute(0, 2, 3, 1).numpy(), "labels": np.arange(12)}
    whole = training.Batches(**data, size=6, augment=spec, seed=4)
    parts = [training.Batches(**data, size=6, augment=spec, seed=4, rank=r, world=3) for r in range(3)]
    pairs = list(zip(whole.epoch(1), *(p.epoch(1) for p in parts), strict=True))
    assert len(pairs) == 2
    for batch, *shares in pairs:
        assert torch.equal(batch.indices, torch.cat([s.indices for s in shares]))
        torch.testing.assert_close(torch.cat([s.images for s in shares]), batch.images, rtol=1e-6, atol=1e-6)
    again = list(whole.epoch(1, 1))
    assert torch.equal(again[0].images, pairs[1][0].images)
    other = next(iter(whole.epoch(2)))
    assert not torch.equal(other.images, pairs[0][0].images)


def naive(name, image, drawn, components):
    """One image, float64 ``(C, H, W)`` in 0..1, changed by one step the way its paper or its textbook says."""
    if name == "flip":
        return image[:, :, ::-1] if drawn[0] else image
    if name == "pad-crop":
        (top, left), (_, high, wide) = map(int, drawn), image.shape
        out = np.zeros_like(image)
        for y in range(high):
            for x in range(wide):
                v, u = y + top - 4, x + left - 4
                if 0 <= v < high and 0 <= u < wide:
                    out[:, y, x] = image[:, v, u]
        return out
    if name in ("resized-crop", "crop"):
        rule = {"resized-crop": training.rectangle, "crop": square}[name]
        more = {"resized-crop": ((0.08, 1.0), (3 / 4, 4 / 3)), "crop": (0.875,)}[name]
        top, left, high, wide = rule(drawn[0].tolist(), *image.shape[1:], *more)
        crop = torch.from_numpy(image[None, :, top : top + high, left : left + wide].copy())
        return F.interpolate(crop, size=image.shape[1:], mode="bilinear", antialias=True)[0].numpy()
    if name == "pca":
        values, vectors = components
        return image + (vectors @ (drawn[0].numpy() * values))[:, None, None]
    luma = np.array([0.299, 0.587, 0.114])
    bright, contrasted, saturated, turned = drawn[0].double().numpy()
    out = np.clip(image * (1 + bright), 0, 1)
    out = np.clip((1 + contrasted) * out - contrasted * (luma @ out.reshape(3, -1)).mean(), 0, 1)
    out = np.clip((1 + saturated) * out - saturated * np.tensordot(luma, out, 1), 0, 1)
    pixels = [colorsys.rgb_to_hsv(*pixel) for pixel in out.reshape(3, -1).T]
    made = [colorsys.hsv_to_rgb((h + turned) % 1, s, v) for h, s, v in pixels]
    return np.array(made).T.reshape(image.shape)


@pytest.mark.parametrize(
    "spec", ["cifar", "imagenet", "alexnet", "color:0.4:0.3:0.5:0.2", "imagenet,color:0.4:0.4:0.4:0.1"]
)
@pytest.mark.parametrize("size", [11, 300])
def test_whole_batches_are_augmented_as_image_by_image(spec, size):
    """Batches of small images, several of which fill a cache together, and of large ones."""
    count = 7 if size < 100 else 2
    x = pictures(count, height=size + 2, width=size)
    source = training.Batches(
        x.permute(0, 2, 3, 1).numpy(), np.arange(count), mean=(0.3,), std=(0.2,), size=count, augment=spec, seed=6
    )
    (batch,) = source.epoch(3)
    drawn = source.augment.draw(count, tuple(x.shape[1:]), training.generator(6, 3, 0, "augment"))
    names = [
        part.partition(":")[0]
        for part in ",".join(training.AUGMENTATIONS.get(p, p) for p in spec.split(",")).split(",")
    ]
    colors = x.transpose(0, 1).flatten(1).double().numpy() / 255
    values, vectors = np.linalg.eigh(np.cov(colors, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    vectors = vectors * np.sign(np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], 0))
    for row, (image, index) in enumerate(zip(batch.images, batch.indices.tolist(), strict=True)):
        expected = x[index].double().numpy() / 255
        for name, tensors in zip(names, drawn, strict=True):
            expected = naive(name, expected, [tensor[row] for tensor in tensors], (values, vectors))
        np.testing.assert_allclose(image.numpy(), (expected - 0.3) / 0.2, rtol=0, atol=2e-4)


def test_whitening_before_a_network_trains_as_on_images_whitened_one_by_one(tmp_path):
    x = pictures(40, height=6, width=6)
    x[:, 1] = (x[:, 0].float() * 0.6 + x[:, 1] * 0.3).to(torch.uint8)
    plain = training.Batches(x.permute(0, 2, 3, 1).numpy(), np.arange(40) % 3, size=10, augment="flip", seed=1)
    pixels = x.double().permute(1, 0, 2, 3).flatten(1).numpy() / 255
    values, vectors = np.linalg.eigh(np.cov(pixels, bias=True))
    matrix, mean = vectors @ np.diag(1 / np.sqrt(values + 1e-5)) @ vectors.T, pixels.mean(1)

    class White:
        seed = 1

        def __len__(self):
            return len(plain)

        def epoch(self, epoch, start=0):
            for batch in plain.epoch(epoch, start):
                white = [
                    [matrix @ (pixel - mean) for pixel in image.flatten(1).double().numpy().T] for image in batch.images
                ]
                images = torch.tensor(np.array(white)).transpose(1, 2).reshape(batch.images.shape).float()
                yield batch._replace(images=images)

    def network():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(64, 3))

    settings = training.Settings(epochs=2, batch=10, lr=0.1, augment="flip", seed=1)
    whitening = Whitening.fit(x.float() / 255, "zca", over="channels", eps=1e-5)
    ours, judge = torch.nn.Sequential(whitening, network()), network()
    training.run(ours, plain, settings, folder=tmp_path / "ours", progress=False)
    training.run(judge, White(), settings, folder=tmp_path / "judge", progress=False)
    for found, expected in zip(ours.parameters(), judge.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.equal(judge[0].weight, network()[0].weight)


def test_batches_apply_the_steps_to_the_right_images():
    """pad-crop and flip leave each image one of few candidates: find it among them."""
    x = pictures(10, height=6, width=6)
    data = training.Batches(x.permute(0, 2, 3, 1).numpy(), np.arange(10), size=5, augment="pad-crop:1,flip", seed=2)
    seen = set()
    for batch in data.epoch(0):
        for new, label in zip(batch.images, batch.labels.tolist(), strict=True):
            padded = F.pad(x[label].float() / 255, [1] * 4)
            found = {
                (t, le, mirrored)
                for t in range(3)
                for le in range(3)
                for mirrored in (False, True)
                if torch.allclose(
                    new, padded[:, t : t + 6, le : le + 6].flip(2) if mirrored else padded[:, t : t + 6, le : le + 6]
                )
            }
            assert len(found) == 1
            seen |= found
    assert len(seen) > 5


def test_named_distortions_are_still_the_distortions_they_were():
    x = pictures(4, 1, 9, 9).float() / 255
    steps = training.augmentation("light")
    drawn = steps.draw(4, (1, 9, 9), training.generator(7))
    strength = {"rotation": 5.0, "scale": 0.05, "shear": 0.05, "shift": 1.0, "elastic": 0.5}
    assert torch.equal(steps.apply(x, drawn), training.distort(x, training.generator(7), **strength))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("flipp", "expected .*flip"),
        ("colour:0.4", "expected color"),
        ("cifra", "expected cifar"),
        ("flip:2", "invalid flip's probability; found 2.0"),
        ("flip:x", "flip takes numbers"),
        ("pad-crop:1.5", "whole pixels"),
        ("pad-crop:2:3", "takes fewer numbers; .* expected pad-crop:pad"),
        ("pca:0.1:3", "takes fewer numbers; .* expected pca:std"),
        ("flip,resized-crop", "as the first step"),
        ("resized-crop:0.5:0.1", "invalid resized-crop's area"),
        ("color:0.4:0.4:0.4:0.7", "invalid color's hue"),
        ("flip,,erase", "unknown augmentation"),
        ("flip,whiten:0.1", "whitening is no augmentation.*Whitening before the network"),
    ],
)
def test_a_wrong_spec_is_one_error(spec, words):
    with pytest.raises(ArgumentError, match=words):
        training.augmentation(spec)


def test_pca_without_components_says_so():
    steps = training.augmentation("pca")
    drawn = steps.draw(5, (3, 11, 8), training.generator(0))
    with pytest.raises(ArgumentError, match="components"):
        steps.apply(pictures(), drawn)
