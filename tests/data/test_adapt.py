"""What users hold in their hands as data sets."""

import io
import warnings

import numpy as np
import pytest

pytest.importorskip("PIL", reason="opens pictures with Pillow")

from paring.data import Wish, dataset, parted
from paring.errors import ArgumentError, DataError
from paring.image import Preparation

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
NORMAL = Wish(mean=MEAN, std=STD)


def pixels(count=10, side=6, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def normalized(images):
    """float32 ``(N, C, H, W)``, in double precision on the way: an arithmetic of its own."""
    values = (images / 255.0 - np.array(MEAN)) / np.array(STD)
    return values.transpose(0, 3, 1, 2).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    from PIL import Image

    for number, image in enumerate(pixels()):
        place = tmp_path / "pictures" / ("odd" if number % 2 else "even")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    return tmp_path / "pictures"


def test_floats_that_are_whole_levels_become_pixels_again():
    images, labels = pixels(), np.arange(10) % 3
    data = dataset((normalized(images), labels), NORMAL)
    assert data.images.dtype == np.uint8
    np.testing.assert_array_equal(data.images, images)
    np.testing.assert_array_equal(data.labels, labels)
    assert data.classes == ("0", "1", "2")
    assert data.known_preparation == Preparation(6, 6, 3, MEAN, STD)
    np.testing.assert_allclose(data.prepared(2, 5), normalized(images)[2:5].transpose(0, 2, 3, 1), atol=1e-5)


def test_floats_between_levels_stay_floats():
    values = normalized(pixels()) + np.float32(0.01)
    data = dataset((values, np.zeros(10, int)), NORMAL)
    assert data.images.dtype == np.float32
    np.testing.assert_allclose(data.prepared(), values.transpose(0, 2, 3, 1), atol=1e-5)
    assert data.known_preparation is not None


def test_nobody_said_how_floats_were_made():
    values = normalized(pixels())
    data = dataset((values, np.zeros(10, int)))
    assert data.known_preparation is None
    np.testing.assert_array_equal(data.prepared(), values.transpose(0, 2, 3, 1))
    plain = dataset((pixels().transpose(0, 3, 1, 2) / np.float32(255), np.zeros(10, int)))  # 0..1: pictures over 255
    np.testing.assert_array_equal(plain.images, pixels())
    assert plain.known_preparation == Preparation(6, 6, 3, (0.0,) * 3, (1.0,) * 3)


def test_pictures_of_every_kind(folder):
    from PIL import Image

    expected = [pixels()[i] for i in (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)]  # by path: even before odd
    np.testing.assert_array_equal(dataset(folder, NORMAL, labels=False).images, expected)
    paths = sorted((folder / "even").iterdir())
    kinds = [str(paths[0]), paths[1].read_bytes(), io.BytesIO(paths[2].read_bytes()), Image.open(paths[3]), pixels()[8]]
    np.testing.assert_array_equal(dataset(kinds, NORMAL, labels=False).images, expected[:5])
    assert len(dataset(folder, NORMAL, labels=False, limit=4)) == 4
    small = dataset(folder, Wish(mean=MEAN, std=STD, size=3), labels=False)
    assert small.images.shape == (10, 3, 3, 3)
    assert dataset(folder, NORMAL, labels=False, shape=(4, 4, 3)).images.shape == (10, 4, 4, 3)


def test_pictures_without_a_word_are_measured_and_it_is_said(folder):
    with pytest.warns(UserWarning, match=r"how the network wants pictures normalized is not known; mean \(0\.\d+"):
        data = dataset(folder, labels=False)
    np.testing.assert_allclose(data.preparation.mean, (pixels() / 255).mean((0, 1, 2)), atol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset(folder, NORMAL, labels=False)
        dataset(folder, Wish(Preparation(6, 6, 3, MEAN, STD)), labels=False)


def test_a_folder_with_labels(folder):
    data = dataset(folder, NORMAL, split="all")
    assert data.classes == ("even", "odd")
    np.testing.assert_array_equal(data.labels, [0] * 5 + [1] * 5)


def test_loaders_of_tensors_and_mappings():
    torch = pytest.importorskip("torch")
    images, labels = torch.from_numpy(normalized(pixels())), torch.arange(10) % 2
    pairs = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=3)
    for loader in (
        pairs,
        [{"pixel_values": images, "label": labels}],
        [(images[:4], labels[:4]), (images[4:], labels[4:])],
    ):
        data = dataset(loader, NORMAL)
        np.testing.assert_array_equal(data.images, pixels())
        np.testing.assert_array_equal(data.labels, labels)
    assert len(dataset(pairs, NORMAL, limit=4)) == 4
    gray = dataset(
        (torch.zeros(2, 1, 5, 5, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)), Wish(mean=(0.5,), std=(0.2,))
    )
    assert gray.images.shape == (2, 5, 5, 1)
    assert gray.preparation.mean == (0.5,)


def test_bad_input(folder):
    images = normalized(pixels())
    for x, error in (
        (images, "images without labels; expected"),
        ((images, np.arange(9)), "batch is no images|labels do not fit|not"),
        ([folder / "even" / "0.png"], "pictures without labels"),
        (7, "not an image or images; found int"),
        ((images[:, :2], np.zeros(10, int)), "impossible number of channels; found 2"),
        ((images.astype(np.int64), np.zeros(10, int)), "images have the wrong type; found int64"),
        ([{"what": images}], "batch has no images; found what"),
    ):
        with pytest.raises(ArgumentError, match=error):
            dataset(x, NORMAL)
    with pytest.raises(ArgumentError, match="mean and std belong together"):
        Wish.of({"mean": 0.5})
    with pytest.raises(ArgumentError, match="a preparation already fixes it"):
        Wish.of({"preparation": Preparation(6, 6, 3, MEAN, STD), "mean": 0.5, "std": 1})
    with pytest.raises(DataError, match="not a finite number"):
        dataset((images * np.nan, np.zeros(10, int)), NORMAL)
    with pytest.raises(DataError, match="no images"):
        dataset(iter([]), NORMAL)
    with pytest.raises(DataError, match="label is out of range"):
        dataset((images, np.full(10, -1)), NORMAL)


def test_a_set_in_two_parts():
    labels = np.repeat([0, 1], 10)
    train, test = parted(dataset((normalized(pixels(20)), labels), NORMAL))
    assert (len(train), len(test)) == (16, 4)
    assert np.bincount(test.labels).tolist() == [2, 2]
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}


def test_a_name_of_nothing_is_said_to_be_that():
    for labels in (True, False):
        with pytest.raises(DataError, match=r"nowhere: no such file or folder; expected a folder.*kind:where"):
            dataset("nowhere", labels=labels)
