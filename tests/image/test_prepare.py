"""Image preparation: resizing against Pillow, the rest against the formula."""

import io
import sys
import tracemalloc

import numpy as np
import pytest

from paring.errors import DataError, ParingError
from paring.image import Preparation, prepare
from paring.image._prepare import as_array, open_image, pixels, resize, to_8_bits

Image = pytest.importorskip("PIL.Image", reason="Pillow is the judge of resizing")


def image(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def plain(height, width, channels, resize=0):
    return Preparation(height, width, channels, (0.0,) * channels, (1.0,) * channels, resize)


@pytest.mark.parametrize("seed", range(30))
def test_resize_is_pillow_s_bilinear(seed):
    height, width, new_height, new_width = np.random.default_rng(seed).integers(1, 180, 4).tolist()
    picture = image(seed, height, width, 3)

    def pillow(h, w):
        return np.asarray(Image.fromarray(picture).resize((w, h), Image.Resampling.BILINEAR)).astype(int)

    np.testing.assert_array_equal(resize(picture, height, new_width), pillow(height, new_width))
    np.testing.assert_array_equal(resize(picture, new_height, width), pillow(new_height, width))
    assert np.abs(resize(picture, new_height, new_width) - pillow(new_height, new_width)).max() <= 1


def test_gray_is_pillow_s():
    picture = image(0, 40, 50, 3)
    np.testing.assert_array_equal(
        pixels(picture, plain(40, 50, 1))[..., 0], np.asarray(Image.fromarray(picture).convert("L"))
    )


def test_normalization_is_the_formula():
    picture = image(1, 6, 5, 3)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    found = prepare(picture, Preparation(6, 5, 3, mean, std))
    expected = (picture.astype(np.float64) / 255 - np.array(mean)) / np.array(std)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_channels_are_converted():
    gray, color = image(2, 4, 5), image(3, 4, 5, 4)
    for picture in (gray, gray[..., None]):
        np.testing.assert_array_equal(pixels(picture, plain(4, 5, 3)), np.repeat(gray[..., None], 3, axis=2))
        np.testing.assert_array_equal(pixels(picture, plain(4, 5, 1))[..., 0], gray)
    np.testing.assert_array_equal(pixels(color, plain(4, 5, 3)), color[..., :3])


@pytest.mark.parametrize(("shape", "scaled"), [((100, 60), (53, 32)), ((60, 100), (32, 53)), ((30, 30), (32, 32))])
def test_shorter_side_then_center(shape, scaled):
    picture = image(4, *shape, 3)
    whole = resize(picture, *scaled)
    top, left = round((scaled[0] - 28) / 2), round((scaled[1] - 24) / 2)
    np.testing.assert_array_equal(pixels(picture, plain(28, 24, 3, resize=32)), whole[top : top + 28, left : left + 24])


def test_extreme_shapes():
    assert pixels(image(5, 1, 4000, 3), plain(28, 24, 3, resize=32)).shape == (28, 24, 3)
    assert pixels(image(5, 3000, 1), plain(7, 9, 1)).shape == (7, 9, 1)
    np.testing.assert_array_equal(pixels(np.full((9, 9), 255, np.uint8), plain(40, 3, 1)), 255)


@pytest.mark.parametrize("shape", [(3000, 1), (1, 3000), (60_000, 2), (2, 60_000), (4_000_000, 1), (1, 4_000_000)])
@pytest.mark.parametrize("side", [0, 256])
def test_a_thin_picture_takes_little_memory(shape, side):
    """Scaled as a whole before the crop, the third would be ``(7680000, 256)``."""
    picture = np.full(shape, 90, np.uint8)
    tracemalloc.start()
    found = pixels(picture, plain(224, 224, 3, resize=side))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, 90)
    assert peak < 64 << 20


def test_a_thin_picture_s_crop_is_that_of_the_whole():
    picture = image(9, 700, 3, 3)
    whole = resize(picture, 700 * 20 // 3, 20)
    top = round((whole.shape[0] - 16) / 2)
    np.testing.assert_array_equal(pixels(picture, plain(16, 16, 3, resize=20)), whole[top : top + 16, 2:18])


def test_far_reductions_are_means():
    picture = image(10, 3_000_000, 1)
    naive = picture.reshape(10, -1).mean(axis=1)
    found = resize(picture[..., None], 10, 1)[:, 0, 0]
    assert np.abs(found - naive).max() <= 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 3)), "wrong type"),
        (np.zeros((4, 4, 2), np.uint8), "wrong shape"),
        (np.zeros((1, 4, 4, 3), np.uint8), "wrong shape"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
    ],
)
def test_wrong_arrays_are_one_clear_error(array, message):
    with pytest.raises(DataError, match=message):
        prepare(array, plain(4, 4, 3))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I"])
def test_every_mode_of_file_opens(tmp_path, mode):
    picture = Image.fromarray(image(6, 5, 7, 3)).convert("L" if mode in ("I", "I;16") else mode if mode != "1" else "L")
    if mode in ("I", "I;16"):
        picture = Image.fromarray((image(6, 5, 7).astype(np.uint16) << 8) + 7)
    elif mode == "1":
        picture = picture.convert("1")
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I;16", "I") else "a.png")
    picture.save(path)
    array = as_array(open_image(path))
    assert array.dtype == np.uint8
    assert array.shape[:2] == (5, 7)
    if mode == "I;16":
        np.testing.assert_array_equal(array, image(6, 5, 7))
    if mode == "RGB":
        np.testing.assert_array_equal(array, image(6, 5, 7, 3))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_images_that_do_not_say_what_is_white_are_refused(tmp_path, dtype):
    levels = np.linspace(0, 1000, 35).reshape(5, 7).astype(dtype)
    Image.fromarray(levels).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"which value of the image is white; found .*up to 1000.*--white"):
        as_array(open_image(tmp_path / "a.tif"))
    found = as_array(open_image(tmp_path / "a.tif"), 1000)
    assert np.abs(found - levels * 255.0 / 1000).max() <= 0.5001


def test_12_bits_in_16_keep_8():
    samples = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "png")
    with pytest.raises(DataError, match="12 bits or less in 16, up to 4095"):
        as_array(open_image(file))
    found = as_array(open_image(file), 4095)
    assert len(np.unique(found)) == 256
    np.testing.assert_array_equal(found, np.rint(samples * (255 / 4095)))


def test_samples_outside_black_and_white_are_cut_off():
    np.testing.assert_array_equal(to_8_bits(np.array([[-1.0, 0.5, np.nan, 9.0]]), 1.0), [[0, 128, 0, 255]])


def test_photographs_are_turned_upright(tmp_path):
    picture = Image.fromarray(image(7, 5, 7, 3))
    exif = picture.getexif()
    exif[274] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    assert open_image(tmp_path / "a.png").size == (5, 7)


def test_bad_files_are_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        open_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match="not an image"):
        open_image(tmp_path / "text.png")
    Image.fromarray(image(8, 50, 50, 3)).save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:2000])
    with pytest.raises(DataError, match="cannot be read"):
        open_image(tmp_path / "cut.png")


def test_without_pillow_files_give_one_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ParingError, match=r"paring\[cli\]"):
        open_image("a.png")
