import io
import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from paring import zoo  # noqa: E402
from paring.errors import ArgumentError, CheckpointError  # noqa: E402
from tests.zoo.macs import check_card, check_trains_and_keeps_images_apart, macs, on_meta, parameters, quick  # noqa: E402

TABLE = {  # parameters A, M MACs A, parameters B, M MACs B
    20: (269_722, 40.55, 272_474, 40.81),
    32: (464_154, 68.86, 466_906, 69.12),
    44: (658_586, 97.17, 661_338, 97.44),
    56: (853_018, 125.49, 855_770, 125.75),
    110: (1_727_962, 252.89, 1_730_714, 253.15),
    1202: (19_421_274, 2829.24, 19_424_026, 2829.50),
}
DATA = os.environ.get("PARING_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="PARING_DATA (checkpoints and CIFAR-10) is not set")


@pytest.mark.parametrize("depth", [*list(TABLE)[:-1], pytest.param(1202, marks=pytest.mark.slow)])
def test_options_a_and_b(depth):
    name = f"resnet{depth}"
    check_card(name)
    found = ()
    for shortcut in "AB":
        model = on_meta(name, shortcut=shortcut)
        found += (parameters(model), round(macs(model, (3, 32, 32)) / 1e6, 2))
    assert found == TABLE[depth]
    assert found[2] - found[0] == 2752


@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_trains(depth, shortcut):
    check_trains_and_keeps_images_apart(quick(f"resnet{depth}", shortcut=shortcut), (3, 16, 16))


def test_the_deepest_trains():
    check_trains_and_keeps_images_apart(quick("resnet1202"), (3, 8, 8))


def test_option_a_shortcut():
    model = zoo.create("resnet20")
    x = torch.randn(1, 16, 6, 6)
    y = model.layer2[0].downsample(x)
    assert y.shape == (1, 32, 3, 3)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


@pytest.mark.parametrize("kwargs", [{"depth": 21}, {"depth": 2}, {"shortcut": "C"}])
def test_wrong_arguments(kwargs):
    with pytest.raises(ArgumentError):
        zoo.create("resnet20", **kwargs)


def cifar10_test():
    """All 10,000 test images as (N, 3, 32, 32) bytes, and their labels."""
    parquet, image = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("PIL.Image")
    numpy = pytest.importorskip("numpy")
    table = parquet.read_table(next(Path(DATA, "cifar10").glob("test-*.parquet")))
    pixels = [numpy.asarray(image.open(io.BytesIO(row["bytes"]))) for row in table["image"].to_pylist()]
    return torch.from_numpy(numpy.stack(pixels)).permute(0, 3, 1, 2), torch.tensor(table["label"].to_pylist())


def right_answers(depth):
    """How many of the 10,000 test images the published checkpoint gets right in our network."""
    model = zoo.create(f"resnet{depth}").eval()
    report = zoo.load_weights(model, Path(DATA, "weights", f"resnet{depth}_cifar10.safetensors"))
    assert (report.layout, report.problems, report.reinitialized) == ("cifar", 0, ())
    pixels, labels = cifar10_test()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    right = 0
    with torch.inference_mode():
        for batch, wanted in zip(pixels.split(250), labels.split(250), strict=True):
            right += int((model((batch / 255 - mean) / std).argmax(1) == wanted).sum())
    return right


@needs_data
def test_published_resnet20_scores_91_73():
    assert abs(right_answers(20) - 9173) <= 1  # one image may sit on the edge of float rounding


@needs_data
@pytest.mark.slow
def test_published_resnet56_scores_93_39():
    assert abs(right_answers(56) - 9339) <= 1


@needs_data
@pytest.mark.parametrize("depth", [20, 56])
def test_published_checkpoints_load_strictly_and_only_where_they_belong(depth):
    path = Path(DATA, "weights", f"resnet{depth}_cifar10.safetensors")
    report = zoo.load_weights(zoo.create(f"resnet{depth}"), path)
    assert len(report.loaded) == {20: 97, 56: 277}[depth]
    for name, kwargs in (("resnet32", {}), (f"resnet{depth}", {"shortcut": "B"})):
        with pytest.raises(CheckpointError, match="missing"):
            zoo.load_weights(zoo.create(name, **kwargs), path)
    model = zoo.create(f"resnet{depth}", num_classes=100)
    with pytest.warns(UserWarning, match="fc keeps fresh weights: 10 classes there, 100"):
        report = zoo.load_weights(model, path)
    assert report.reinitialized == ("fc",)
