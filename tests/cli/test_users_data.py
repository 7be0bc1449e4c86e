"""Data as users have it: pictures without labels, a validation part alone, a part of the classes, other channels."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
from torch import nn  # noqa: E402

from paring.container import read  # noqa: E402
from paring.data import aligned, load  # noqa: E402
from paring.errors import DataError  # noqa: E402
from paring.runtime import load as engine  # noqa: E402
from tests.cli.examples import digits  # noqa: E402

OWN = """
import torch
from torch import nn

def net(channels=1, height=16, width=28, num_classes=10, dtype="float32"):
    torch.manual_seed(0)
    size = 6 * (height // 2) * (width // 2)
    layers = nn.Conv2d(channels, 6, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(size, num_classes)
    return nn.Sequential(*layers).to(getattr(torch, dtype))
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def picture(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def loose(tmp_path):
    """60 gray pictures without labels, some in a further folder."""
    for number, image in enumerate(digits(60, 4)[0]):
        picture(tmp_path / "loose" / ("more" if number % 3 else "") / f"{number:02}.png", image)
    return tmp_path / "loose"


@pytest.fixture
def labeled(tmp_path):
    """40 pictures in a folder a class, and nothing but them."""
    for number, (image, label) in enumerate(zip(*digits(40, 5), strict=True)):
        picture(tmp_path / "labeled" / f"{label}" / f"{number:02}.png", image)
    return tmp_path / "labeled"


def test_pictures_without_labels_are_enough_for_int8(paring, own, loose, tmp_path):
    words = ["compress", f"{own}:net(height=28)", "--recipe", "int8", "--calibrate", loose, "--normalization", "none"]
    code, out, err = paring(*words, "--threads", 1, "--out", tmp_path / "x.pare", "--json")
    assert code == 0, err
    said = json.loads(out)
    assert said["images"] == 12  # every fifth is held out
    assert said["data"].endswith("held out, named by the float network")
    assert said["error_before"] == 0
    contents = read(tmp_path / "x.pare")
    assert (contents.preparation.mean, contents.preparation.std) == ((0.0,), (1.0,))
    names = {}
    exec(OWN, names)  # the agreement, counted by hand
    files = sorted(loose.rglob("*.png"))[4::5]
    images = np.stack([np.asarray(Image.open(file)) for file in files])[..., None].astype(np.float32) / 255
    float_ = names["net"](height=28)(torch.from_numpy(images).permute(0, 3, 1, 2)).argmax(1).numpy()
    mine = engine(tmp_path / "x.pare")(images).argmax(1)
    assert said["error"] == np.mean(mine != float_)
    code, out, _ = paring(*words, "--threads", 1, "--out", tmp_path / "y.pare")
    assert code == 0
    assert "same class as the float network" in out


def test_a_labeled_set_tests_what_pictures_calibrated_and_all_of_it_where_it_has_no_parts(
    paring, own, loose, labeled, tmp_path
):
    words = ["compress", f"{own}:net(height=28)", "--recipe", "int8", "--calibrate", loose, "--normalization", "none"]
    code, out, err = paring(
        *words, "--val", f"imagefolder:{labeled}", "--threads", 1, "--out", tmp_path / "x.pare", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["images"] == 40


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ([], "no data"),
        (["--calibrate", "DIR", "--data", "mnist5k"], "two sets to calibrate on"),
        (["--calibrate", "DIR", "--epochs", "1"], "training needs labels"),
        (["--calibrate", "DIR", "--recipe", "twn"], "training needs labels"),
        (["--calibrate", "DIR/nothing"], "not"),
        (["--calibrate", "DIR", "--normalization", "imagenets"], "no such normalization"),
        (["--calibrate", "DIR", "--normalization", "none", "--mean", "0.5"], "given twice"),
        (["--calibrate", "DIR", "--size", "16x"], "invalid size"),
        (["--calibrate", "DIR", "--white", "0"], "invalid white"),
    ],
)
def test_what_does_not_go_together_is_said(paring, own, loose, tmp_path, more, what):
    words = [word.replace("DIR", str(loose)) for word in more]
    base = ["compress", f"{own}:net(height=28)", "--recipe", "int8", "--out", tmp_path / "x.pare"]
    code, _, err = paring(*base, *words)
    assert code in (2, 3)
    assert what in err
    assert len(err.splitlines()) <= 2


def test_sizes_that_are_not_square_and_the_measured_normalization_is_said(paring, own, labeled, tmp_path):
    layers = nn.Conv2d(1, 6, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 8 * 14, 10)
    torch.save(nn.Sequential(*layers).state_dict(), tmp_path / "w.pt")
    code, out, err = paring(
        "eval", f"{own}:net", "-w", tmp_path / "w.pt", "--data", f"imagefolder:{labeled}", "--size", "16x28", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["images"] > 0
    assert "the weights do not say how pictures were normalized" in err


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_network_in_another_precision_is_taken_in_float32(paring, own, labeled, dtype):
    net = f"{own}:net(height=28, dtype='{dtype}')"
    code, _, err = paring("eval", net, "--data", f"imagefolder:{labeled}", "--normalization", "none")
    assert code == 0, err
    assert f"weights in {dtype} are taken in float32" in err


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_networks_take_color_pictures_and_the_reverse(paring, own, tmp_path, channels):
    rng = np.random.default_rng(0)
    for number in range(10):
        shape = (28, 28, 3) if channels == 1 else (28, 28)
        picture(tmp_path / "set" / str(number % 2) / f"{number}.png", rng.integers(0, 256, shape).astype(np.uint8))
    net = f"{own}:net(height=28, channels={channels}, num_classes=2)"
    code, _, err = paring("eval", net, "--data", f"imagefolder:{tmp_path / 'set'}", "--normalization", "none")
    assert code == 0, err
    assert ("those in color become gray" if channels == 1 else "in color") in err


def test_one_picture_a_class_has_a_test_part(tmp_path):
    for number, image in enumerate(digits(20, 5)[0]):
        picture(tmp_path / f"class{number:02}" / "x.png", image)
    spec = f"imagefolder:{tmp_path}"
    train, test = load(spec, "train"), load(spec, "test")
    assert (len(train), len(test)) == (16, 4)
    assert test.labels.tolist() == [4, 9, 14, 19]


def test_a_part_of_the_classes(paring, own, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    images, labels = digits(30, 6)
    for name, most in (("train", 9), ("test", 7)):
        rows = labels <= most
        column = []
        for image in images[rows]:
            picture(tmp_path / "one.png", image)
            column.append({"bytes": (tmp_path / "one.png").read_bytes()})
        pq.write_table(pa.table({"image": column, "label": labels[rows]}), tmp_path / f"{name}.parquet")
    spec = f"parquet:{tmp_path}/*.parquet"
    torch.save(
        nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(1176, 1000)).state_dict(),
        tmp_path / "w.pt",
    )
    words = [f"{own}:net(height=28)", "--weights", tmp_path / "w.pt", "--data", spec, "--normalization", "none"]
    code, _, err = paring("eval", *words)
    assert code == 0, err
    assert "fresh weights" not in err
    code, _, err = paring("compress", *words, "--recipe", "int8", "--out", tmp_path / "x.pare")
    assert code == 0, err
    assert len(read(tmp_path / "x.pare").classes) == 1000
    code, _, err = paring("eval", tmp_path / "x.pare", "--data", spec)
    assert code == 0, err


def test_labels_follow_the_names_of_a_file(labeled):
    some = load(f"imagefolder:{labeled}", "all")
    names = ("x", *reversed(some.classes), "y")
    found = aligned(some, names, True)
    assert [found.classes[n] for n in found.labels] == [some.classes[n] for n in some.labels]
    with pytest.raises(DataError, match=r"data has other classes than the network.*1 unknown \(9\)"):
        aligned(some, tuple("abcdefghijk012345678"))


def test_white_reaches_the_pictures(paring, own, tmp_path):
    deep = np.full((28, 28), 4095, np.uint16)
    for number in range(10):
        picture(tmp_path / "set" / f"{number}.png", deep)
    words = ["compress", f"{own}:net(height=28)", "--recipe", "int8", "--calibrate", tmp_path / "set"]
    code, _, err = paring(*words, "--normalization", "none", "--white", 4095, "--out", tmp_path / "x.pare")
    assert code == 0, err
    preparation = read(tmp_path / "x.pare").preparation
    assert preparation.white == 4095
    assert engine(tmp_path / "x.pare").preparation.white == 4095
