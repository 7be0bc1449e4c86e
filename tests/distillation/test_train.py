import numpy as np
import pytest
import torch
from torch import nn

from paring import capture, training
from paring.container import Contents, write
from paring.data import Dataset
from paring.distillation import Hints, distill, distillation, teacher
from paring.errors import ArgumentError
from paring.image import Preparation

HERE = Preparation(6, 6, 1, (0.1,), (0.5,))


def dataset(count=48):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 6, 6, 1)).astype(np.uint8)
    return Dataset("rng", "train", images, rng.integers(0, 3, count), ("a", "b", "c"), HERE)


def network(seed=0, classes=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, classes))


def source(data, **changes):
    return training.Batches(data.images, data.labels, mean=HERE.mean, std=HERE.std, size=16, seed=2, **changes)


SETTINGS = training.Settings(epochs=1, batch=16, optimizer="adam", lr=0.01, seed=2)


def test_a_teacher_with_its_own_normalization_sees_what_it_was_trained_on():
    own = Preparation(6, 6, 1, (0.4,), (0.2,))
    data, net = dataset(), network().eval()
    pixels = data.images[:4].transpose(0, 3, 1, 2) / 255
    ours = torch.from_numpy((pixels - 0.1) / 0.5).float()
    theirs = torch.from_numpy((pixels - 0.4) / 0.2).float()
    found = teacher(net, HERE, own=own)
    with torch.no_grad():
        torch.testing.assert_close(found(ours), net(theirs), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(teacher(net, HERE, own=HERE)(ours), net(ours), rtol=0, atol=0)


def test_a_graph_and_a_file_teach_what_the_network_does(tmp_path):
    net = network().eval()
    graph = capture.capture(net, (1, 6, 6))
    write(tmp_path / "t.pare", Contents(graph, HERE, ("a", "b", "c")))
    images = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for kind in (graph, tmp_path / "t.pare", str(tmp_path / "t.pare")):
            found = teacher(kind, HERE, classes=("a", "b", "c"))
            torch.testing.assert_close(found(images), net(images), rtol=1e-5, atol=1e-5)
    with pytest.raises(ArgumentError, match="teacher knows other classes than the data"):
        teacher(tmp_path / "t.pare", HERE, classes=("a", "b", "d"))
    with pytest.raises(ArgumentError, match=r"7x6x1.*expected 6x6x1"):
        teacher(net, HERE, own=Preparation(7, 6, 1, (0.1,), (0.5,)))


def test_the_recipe_is_a_run_with_the_loss(tmp_path):
    data, teacher, student, judge = dataset(), network(1), network(2), network(2)
    distill(
        student,
        source(data),
        SETTINGS,
        [teacher],
        data,
        folder=tmp_path / "a",
        temperature=3,
        hard_weight=0.2,
        progress=False,
    )
    loss = distillation(teacher, 3, 0.8)
    training.run(judge, source(data), SETTINGS, folder=tmp_path / "b", loss=loss, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(student.parameters(), judge.parameters(), strict=True))


def test_a_cache_under_distortion_is_warned_of(tmp_path):
    data, said = dataset(), []
    cache = tmp_path / "c.safetensors"
    options = {"folder": tmp_path / "run", "cache": cache, "progress": False}
    settings = SETTINGS.changed(augment="shift")
    distill(network(2), source(data, augment="shift"), settings, [network(1)], data, warn=said.append, **options)
    assert len(said) == 1
    assert "'shift'" in said[0]
    with pytest.raises(ArgumentError, match="mixed images"):
        distill(network(2), source(data), SETTINGS.changed(mixup=0.2), [network(1)], data, **options)


def test_bad_input_is_refused_before_any_work(tmp_path):
    data = dataset()

    def refused(words, teachers, **options):
        with pytest.raises(ArgumentError, match=words):
            distill(network(2), source(data), SETTINGS, teachers, data, folder=tmp_path / "run", **options)
        assert not list(tmp_path.iterdir())

    cache = {"cache": tmp_path / "c.safetensors"}
    refused("one number per class; found .5,.; expected 3", [network(1, classes=5)], **cache)
    refused("invalid temperature", [network(1)], temperature=0, **cache)
    refused("weight of the labels", [network(1)], hard_weight=-0.1, **cache)
    refused("hints come from one teacher", [network(1), network(3)], hints={"0": "0"}, **cache)
    refused("needs a teacher", [], **cache)


def test_hints_name_layers_of_a_teacher_with_its_own_normalization(tmp_path):
    """Judged by a teacher without a wrapper, whose pixels are brought to its normalization by hand."""
    data, net = dataset(), network(1).eval()
    own = Preparation(6, 6, 1, (0.4,), (0.2,))
    wrapped = teacher(net, HERE, own=own)
    assert wrapped is not net
    student, hints = network(2), {"1": "1"}
    images = torch.from_numpy(data.prepared(0, 4).transpose(0, 3, 1, 2).copy())
    loss = Hints(None, student, wrapped, hints, images, named=wrapped.network)
    batch = training.Batch(images, torch.from_numpy(data.labels[:4]), torch.arange(4))
    theirs = torch.from_numpy((data.images[:4].transpose(0, 3, 1, 2) / 255 - 0.4) / 0.2).float()
    with torch.no_grad():
        guided, hinted = student[:2](images), net[:2](theirs)
        weight, bias = loss.regressors[0].weight[:, :, 0, 0], loss.regressors[0].bias
        answer = torch.einsum("kc,ncyx->nkyx", weight, guided) + bias[:, None, None]
        judge = ((hinted - answer) ** 2).mean() / 2
    torch.testing.assert_close(loss(student, batch), judge, rtol=1e-4, atol=1e-6)

    options = {"folder": tmp_path / "run", "progress": False}
    with pytest.raises(ArgumentError, match="teacher has no such layer; found '11'; expected 1"):
        distill(student, source(data), SETTINGS, [wrapped], data, hints={"1": "11"}, **options)
    outcome = distill(student, source(data), SETTINGS, [wrapped], data, hints=hints, **options)
    assert outcome.steps == 3
