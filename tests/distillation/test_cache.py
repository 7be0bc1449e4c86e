import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from paring import training
from paring.data import Dataset
from paring.distillation import CachedLogits, cached_logits, distillation, teacher_identity
from paring.errors import ArgumentError, CheckpointError, OutputError, TrainingError
from paring.image import Preparation
from paring.training.input import Batch


def dataset(count=50, seed=0, mean=0.2):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 4, 4, 1)).astype(np.uint8)
    labels = rng.integers(0, 3, count)
    return Dataset("rng", "train", images, labels, ("a", "b", "c"), Preparation(4, 4, 1, (mean,), (0.5,)))


class Net(nn.Sequential):
    """Counts the images it is asked about."""

    asked = 0

    def forward(self, images):
        self.asked += len(images)
        return super().forward(images)


def network(seed=0):
    torch.manual_seed(seed)
    return Net(nn.Flatten(), nn.Linear(16, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))


def expected(net, data):
    prepared = (data.images.astype(np.float64) / 255 - data.preparation.mean[0]) / data.preparation.std[0]
    with torch.no_grad():
        return net.eval().double()(torch.from_numpy(prepared.transpose(0, 3, 1, 2))).numpy()


def batch_of(data, rows):
    rows = torch.tensor(rows)
    return Batch(torch.zeros(len(rows), 1, 4, 4), torch.from_numpy(data.labels)[rows], rows)


@pytest.mark.parametrize(("dtype", "apart"), [("F32", 1e-5), ("F16", 5e-3)])
def test_logits_are_those_of_the_teachers_in_the_order_of_the_data(tmp_path, dtype, apart):
    data, nets = dataset(), [network(1), network(2)]
    cache = cached_logits(tmp_path / "c.safetensors", nets, data, dtype=dtype, batch=7)
    assert cache.shape == (50, 2, 3)
    rows = [49, 3, 3, 17, 0]
    found = cache.logits(batch_of(data, rows))
    assert found.dtype == torch.float32
    for member, net in zip(found.numpy(), nets, strict=True):
        np.testing.assert_allclose(member, expected(net, data)[rows], atol=apart)


def test_the_file_is_plain_safetensors(tmp_path):
    from safetensors.numpy import load_file

    data, net = dataset(), network(1)
    cached_logits(tmp_path / "c.safetensors", [net], data)
    tensors = load_file(tmp_path / "c.safetensors")
    assert list(tensors) == ["logits"]
    np.testing.assert_allclose(tensors["logits"][:, 0], expected(net, data), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_second_opening_computes_nothing_but_a_spot_check(tmp_path):
    data, net = dataset(), network(1)
    cached_logits(tmp_path / "c.safetensors", [net], data)
    stamp = (tmp_path / "c.safetensors").stat().st_mtime_ns
    net.asked = 0
    cached_logits(tmp_path / "c.safetensors", [net], data)
    assert net.asked <= 2
    assert (tmp_path / "c.safetensors").stat().st_mtime_ns == stamp


class Killed(Exception):
    pass


@pytest.mark.parametrize("torn", [0, 5])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, torn):
    data, whole = dataset(), tmp_path / "whole.safetensors"
    cached_logits(whole, [network(1)], data, batch=8)

    def kill(done, total):
        if done == 24:
            raise Killed

    path, net = tmp_path / "c.safetensors", network(1)
    with pytest.raises(Killed):
        cached_logits(path, [net], data, batch=8, progress=kill)
    assert not path.exists()
    partial = path.with_name("c.safetensors.partial")
    if torn:  # killed within a write
        partial.write_bytes(partial.read_bytes()[:-torn])
    net.asked = 0
    cached_logits(path, [net], data, batch=8)
    assert path.read_bytes() == whole.read_bytes()
    assert net.asked <= 3 + 50 - (16 if torn else 24)
    assert not partial.exists()


def test_a_partial_file_of_another_teacher_is_begun_anew(tmp_path):
    data, path = dataset(), tmp_path / "c.safetensors"

    def kill(done, total):
        raise Killed

    with pytest.raises(Killed):
        cached_logits(path, [network(2)], data, batch=8, progress=kill)
    net = network(1)
    cache = cached_logits(path, [net], data, batch=8)
    np.testing.assert_allclose(cache.logits(batch_of(data, [0]))[0], expected(net, data)[:1], atol=1e-5)


def test_what_changed_is_named(tmp_path):
    data, path = dataset(), tmp_path / "c.safetensors"
    cached_logits(path, [network(1)], data)
    with pytest.raises(CheckpointError, match=r"data\.sha256 was '[0-9a-f]{64}', is '[0-9a-f]{64}'. Name") as caught:
        cached_logits(path, [network(1)], dataset(seed=1))
    assert "teachers" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"data\.preparation\.mean was \[0\.2\], is \[0\.3\]"):
        cached_logits(path, [network(1)], dataset(mean=0.3))
    with pytest.raises(CheckpointError, match=r"teachers\.1\.weights was") as caught:
        cached_logits(path, [network(2)], data)
    assert "architecture" not in str(caught.value)
    other = network(1)
    other[3] = nn.Dropout(0.4)
    with pytest.raises(CheckpointError, match=r"teachers\.1\.architecture was"):
        cached_logits(path, [other], data)
    with pytest.raises(CheckpointError, match=r"teachers\.2 was None"):
        cached_logits(path, [network(1), network(2)], data)
    with pytest.raises(CheckpointError, match="dtype was 'F32', is 'F16'"):
        cached_logits(path, [network(1)], data, dtype="F16")


def test_a_changed_forward_is_found_by_asking(tmp_path):
    data, path, net = dataset(), tmp_path / "c.safetensors", network(1)
    cached_logits(path, [net], data)
    net.forward = lambda images: 2 * nn.Sequential.forward(net, images)
    with pytest.raises(CheckpointError, match="from the teacher's"):
        cached_logits(path, [net], data)


@pytest.mark.parametrize("place", [3, 100, -1, -40])
def test_damage_is_refused(tmp_path, place):
    data, path = dataset(), tmp_path / "c.safetensors"
    cached_logits(path, [network(1)], data)
    content = bytearray(path.read_bytes())
    content[place] ^= 0x20
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        CachedLogits(path) if place < 0 else cached_logits(path, [network(1)], data)


@pytest.mark.parametrize("content", [b"", b"x" * 100, (2**60).to_bytes(8, "little") + b"{}", b"\2" + bytes(7) + b"[]"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a whole file of cached logits"):
        CachedLogits(path)
    with pytest.raises(CheckpointError, match="cannot read"):
        CachedLogits(tmp_path / "none")


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    cached_logits(path, [network(1)], dataset())
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="length is not what the header says"):
        CachedLogits(path)


def test_logits_that_cannot_be_kept_are_refused(tmp_path):
    net = network(1)
    net[4].weight.data[0] = 1e6
    with pytest.raises(TrainingError, match="Keep them as F32"):
        cached_logits(tmp_path / "half.safetensors", [net], dataset(), dtype="F16")
    cached_logits(tmp_path / "single.safetensors", [net], dataset())
    net[4].bias.data[:] = torch.nan
    with pytest.raises(TrainingError, match=r"image 0.*teacher is broken"):
        cached_logits(tmp_path / "nan.safetensors", [net], dataset())


def test_bad_batches_and_arguments_are_refused(tmp_path):
    data, path = dataset(), tmp_path / "c.safetensors"
    cache = cached_logits(path, [network(1)], data)
    with pytest.raises(ArgumentError, match="image 50; expected 0 to 49"):
        cache.logits(batch_of(data, [0])._replace(indices=torch.tensor([3, 50])))
    with pytest.raises(ArgumentError, match="mixed images"):
        cache.logits(batch_of(data, [0])._replace(targets=torch.ones(1, 3)))
    with pytest.raises(ArgumentError, match="'F64'"):
        cached_logits(path, [network(1)], data, dtype="F64")
    with pytest.raises(ArgumentError, match="needs a teacher"):
        cached_logits(path, [], data)
    with pytest.raises(OutputError):
        cached_logits(tmp_path / "no" / "c.safetensors", [network(1)], data)


def test_training_on_cached_logits_is_training_on_the_teacher(tmp_path):
    data = dataset(64)
    teacher = network(1).eval()
    cache = cached_logits(tmp_path / "c.safetensors", [teacher], data)
    found = []
    for taught in (cache, teacher):
        student = network(3)
        mean_std = {"mean": data.preparation.mean, "std": data.preparation.std}
        source = training.Batches(data.images, data.labels, size=16, seed=5, **mean_std)
        optimizer = training.optimizer(student.parameters(), "sgd", lr=0.05)
        loss = distillation(taught, 3.0, 0.8)
        training.fit(student, source, optimizer, epochs=2, loss=loss, progress=False)
        found.append(torch.cat([p.detach().flatten() for p in student.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_identity_is_the_hash_of_the_bytes():
    """Judged by hand for one tensor: name, type, shape, bytes."""
    net = nn.Linear(2, 1, bias=False)
    state = hashlib.sha256(b"weight\x1ftorch.float32\x1f(1, 2)\n" + net.weight.detach().numpy().tobytes())
    assert teacher_identity(net)["weights"] == state.hexdigest()
