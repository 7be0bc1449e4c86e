"""Recipes on sets that are decoded as they are needed."""

import numpy as np
import pytest

from paring.data import load
from paring.errors import DataError
from paring.image import Preparation
from paring.recipes import compress
from paring.training.input import Images
from tests.recipes.run.problem import TRAINING, Net, sets, trained
from tests.recipes.small_problem import options

image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

PREPARATION = Preparation(12, 12, 1, (0.3,), (0.25,))
SHORT = {"epochs": 1, "batch": 16, "augment": "none"}  # bends are drawn for several batches at once in memory
RECIPES = {
    "deep-compression": options(keep=0.4, rounds=4, centroids=8, train=SHORT, prune=SHORT, retrain=SHORT, tune=SHORT),
    "slim": {"macs": 0.8, "epochs": 1, "calibrate": 20},
    "int8": {"calibrate": 20},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The pictures of the small problem as PNG files in class folders."""
    root = tmp_path_factory.mktemp("pictures")
    for data in sets():
        for number, (pixels, label) in enumerate(zip(data.images, data.labels, strict=True)):
            place = root / data.split / data.classes[label]
            place.mkdir(parents=True, exist_ok=True)
            image.fromarray(pixels[..., 0]).save(place / f"{number:03}.png")
    return root


def run(recipe, folder, where, workers, network=Net, **more):
    return compress(
        network,
        f"imagefolder:{folder}",
        where,
        recipe,
        data_args={"preparation": PREPARATION, **more},
        workers=workers,
        training=TRAINING,
        threads=1,
        progress=False,
        log=lambda line: None,
        **RECIPES[recipe],
    )


def test_calibration_and_scores_of_a_stream_give_the_bytes_of_a_set_in_memory(folder, tmp_path):
    network = trained()
    whole = run("int8", folder, tmp_path / "memory", None, network)
    for workers in (0, 1):
        streamed = run("int8", folder, tmp_path / str(workers), workers, network)
        assert whole.path.read_bytes() == streamed.path.read_bytes()
        assert streamed.record.final_error == whole.record.final_error


@pytest.mark.parametrize("recipe", ["deep-compression", "slim"])
def test_trainings_on_a_stream_go_as_those_in_memory(recipe, folder, tmp_path):
    """To float tolerance: the same pixels in another memory layout."""
    whole = run(recipe, folder, tmp_path / "memory", None)
    streamed = run(recipe, folder, tmp_path / "stream", 0)
    assert streamed.steps[0].stage.train_loss == pytest.approx(whole.steps[0].stage.train_loss, abs=1e-4)
    for one, other in zip(whole.steps, streamed.steps, strict=True):
        assert other.stage.test_error == pytest.approx(one.stage.test_error, abs=2 / 60)
        assert other.parameters == one.parameters
    assert streamed.record.file_bytes == pytest.approx(whole.record.file_bytes, rel=0.02)


def test_images_in_memory_and_streamed_are_the_same(folder):
    whole = Images(load(f"imagefolder:{folder}", "train", preparation=PREPARATION))
    from paring.data import listing

    streamed = Images(listing(f"imagefolder:{folder}"), PREPARATION)
    assert len(whole) == len(streamed) == 96
    assert (whole.classes, whole.shape, whole.name) == (streamed.classes, streamed.shape, streamed.name)
    assert len(streamed.first) == 1
    for one, other in zip(whole.some(7), streamed.some(7), strict=True):
        assert (one is None and other is None) or np.array_equal(one.numpy(), other.numpy())
    for batches in zip(whole.in_order(40), streamed.in_order(40), strict=True):
        assert np.array_equal(batches[0].images, batches[1].images)
    pairs = list(whole.arrays(50))
    np.testing.assert_array_equal(np.concatenate([images for images, _ in pairs]), whole.first.prepared())
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in pairs]), whole.first.labels)


def test_damaged_images_are_left_out_or_stop_the_run(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "damaged")
    bad = sorted((tmp_path / "damaged" / "train").rglob("*.png"))[40]
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(DataError, match=bad.name):
        run("int8", tmp_path / "damaged", tmp_path / "a", 0)
    done = run("int8", tmp_path / "damaged", tmp_path / "b", 0, on_bad_image="skip")
    assert done.record.final_error < 0.5
