import json

import numpy as np
import pytest

from tests.cli.examples import TINY, digits

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")


@pytest.fixture
def command(tiny, idx_folder, tmp_path):
    """Words of a short distillation of the user's network by another of its kind, from cached logits."""
    words = ["distill", f"{tiny}:tiny", "--data", f"mnist:{idx_folder}", "--epochs", 1, "--batch-size", 20]
    words += ["--threads", 1, "--mean", 0.1, "--std", 0.5, "--cache", tmp_path / "c.safetensors"]
    return [*words, "--out", tmp_path / "net.safetensors"]


def teacher_s(mean, std):
    """What the user's network answers to the training images under this normalization."""
    names = {}
    exec(TINY, names)
    images = digits(300, 1)[0]
    with torch.no_grad():
        return names["tiny"]().eval()(torch.from_numpy((images[:, None] / 255 - mean) / std).float()).numpy()


def cached(tmp_path):
    from safetensors.numpy import load_file

    return load_file(tmp_path / "c.safetensors")["logits"][:, 0]


def test_a_teacher_that_says_nothing_gets_the_student_s_normalization_and_a_note(paring, command, tiny, tmp_path):
    code, _, err = paring(*command, "--teacher", f"{tiny}:tiny", "--json")
    assert code == 0
    assert err.splitlines() == [
        f"{tiny}:tiny: the weights do not say how images were normalized for them. They get the student's mean and std "
        "(0.1; 0.5); --teacher-mean and --teacher-std give others."
    ]
    np.testing.assert_allclose(cached(tmp_path), teacher_s(0.1, 0.5), rtol=1e-4, atol=1e-4)


def test_a_teacher_is_given_the_normalization_it_is_said_to_have(paring, command, tiny, tmp_path):
    words = ["--teacher", f"{tiny}:tiny", "--teacher-mean", 0.4, "--teacher-std", 0.2, "--hint", "0=0", "--json"]
    code, out, err = paring(*command, *words)
    assert (code, err) == (0, "")
    assert json.loads(out)["steps"] == 15
    np.testing.assert_allclose(cached(tmp_path), teacher_s(0.4, 0.2), rtol=1e-4, atol=1e-4)


def test_a_teacher_trained_here_brings_its_own(paring, command, tiny, idx_folder, tmp_path):
    """Its checkpoint says it, and the teacher's image is the one it was trained on."""
    out = tmp_path / "teacher.safetensors"
    words = ["train", f"{tiny}:tiny", "--data", f"mnist:{idx_folder}", "-e", 1, "-b", 20, "-t", 1, "--out", out]
    assert paring(*words, "--mean", 0.3, "--std", 0.25)[0] == 0
    word = f"{tiny}:tiny:{out}"
    code, _, err = paring(*command, "--teacher", word, "--json")
    assert (code, err) == (0, "")
    names = {}
    exec(TINY, names)
    net = names["tiny"]()
    from safetensors.torch import load_file

    net.load_state_dict(load_file(out))
    images = torch.from_numpy((digits(300, 1)[0][:, None] / 255 - 0.3) / 0.25).float()
    with torch.no_grad():
        np.testing.assert_allclose(cached(tmp_path), net.eval()(images).numpy(), rtol=1e-4, atol=1e-3)
    code, _, err = paring(*command, "--teacher", word, "--teacher-mean", 0.3, "--teacher-std", 0.25)
    assert code == 2
    assert f"--teacher-mean: every teacher says itself how its images were normalized; found {word}" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--teacher-mean", 0.4], "--teacher-std: mean and std come together; found none"),
        (["--teacher-std", 0.4], "--teacher-mean: mean and std come together; found none"),
        (["--teacher-mean", "0.4,0.4,0.4", "--teacher-std", 1], "--teacher-mean: not one number for each channel; "),
        (["--teacher-mean", "x", "--teacher-std", 1], "--teacher-mean: not a list of numbers"),
        (["--teacher-mean", 0.4, "--teacher-std", 0], "std is not positive"),
    ],
)
def test_an_impossible_normalization_is_refused(paring, command, tiny, words, said):
    code, _, err = paring(*command, "--teacher", f"{tiny}:tiny", *words)
    assert code == 2
    assert said in err


def test_a_streamed_set_distills_the_same_for_any_number_of_workers(paring, tiny, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    pixels, labels = digits(40, 1)
    for number, (pixel, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = tmp_path / "set" / ("train" if number < 30 else "val") / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixel).save(folder / f"{number}.png")
    (tmp_path / "set" / "train" / "class3" / "x.png").write_bytes(b"no image")
    words = ["distill", f"{tiny}:tiny", "--teacher", f"{tiny}:tiny", "--data", f"imagefolder:{tmp_path / 'set'}"]
    words += ["--teacher-mean", 0.4, "--teacher-std", 0.2, "--hint", "0=0", "-e", 2, "-b", 10, "-t", 1]
    words += ["--augment", "pad-crop:2", "--on-bad-image", "skip"]
    found = []
    for workers in (0, 1):
        out = tmp_path / f"net{workers}.safetensors"
        code, said, err = paring(*words, "--workers", workers, "--out", out, "--json")
        assert code == 0, err
        assert "1 damaged image left out: " in err
        said = json.loads(said)
        assert (said["train_images"], said["test_images"], said["steps"], said["skipped"]) == (31, 10, 6, 1)
        found.append(out.read_bytes())
    assert found[0] == found[1]
    cache = ["--cache", tmp_path / "c.safetensors", "--out", tmp_path / "x.safetensors"]
    code, _, err = paring(*words, "--workers", 1, *cache)
    assert code == 2
    assert "--cache: logits are cached of images in memory; found --workers 1. Leave out one of the two" in err
    assert not list(tmp_path.glob("[cx].*"))
    code, _, err = paring(*words, "--workers", -1, "--out", tmp_path / "x.safetensors")
    assert code == 2
    assert "--workers: invalid number of processes; found -1" in err
