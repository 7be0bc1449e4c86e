"""The whole way, on twelve-pixel pictures of six classes in three confusable pairs."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from paring import training
from paring.data import Dataset
from paring.distillation import specialists
from paring.distillation.specialists import predictions, train_specialists
from paring.errors import CheckpointError
from paring.image import Preparation

NAMES = ("top a", "top b", "middle a", "middle b", "bottom a", "bottom b")


def pictures(split, count, seed):
    """A bright band says the pair; which half of it is brighter, a little, says the class."""
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(0, 6, count))
    images = rng.integers(0, 100, (count, 12, 12, 1))
    for image, label in zip(images, labels, strict=True):
        band = image[4 * (label // 2) : 4 * (label // 2) + 4]
        band += 100
        band[:, 6 * (label % 2) : 6 * (label % 2) + 6] += 12
    return Dataset("bands", split, images.astype(np.uint8), labels, NAMES, Preparation(12, 12, 1, (0.3,), (0.25,)))


def generalist(train, epochs=8):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(200, 16),
        nn.ReLU(),
        nn.Linear(16, 6),
    )
    batches = training.Batches(
        train.images, train.labels, mean=train.preparation.mean, std=train.preparation.std, size=32
    )
    training.fit(network, batches, training.optimizer(network.parameters(), lr=0.02), epochs=epochs, progress=False)
    return network.eval()


@pytest.fixture(scope="module")
def problem():
    train, test = pictures("train", 480, 0), pictures("test", 300, 1)
    return generalist(train), train, test


def prepared(data):
    return torch.from_numpy(data.prepared().transpose(0, 3, 1, 2).copy())


OPTIONS = {"count": 3, "epochs": 2, "batch": 16, "lr": 0.01, "progress": False, "seed": 4}


def test_confusable_pairs_get_a_specialist_each_and_do_no_harm(problem, tmp_path):
    network, train, test = problem
    said = []
    team = train_specialists(network, train, tmp_path, log=said.append, **OPTIONS)
    assert team.classes == [(0, 1), (2, 3), (4, 5)]
    assert len(said) == 3
    assert "top a, top b; 2 epochs" in said[0]
    counts = np.bincount(train.labels)
    for member in team.members:
        inside = counts[list(member.classes)].sum()
        assert member.correction == pytest.approx(np.log((480 - inside) / inside))
    x = prepared(test)
    alone = team.probabilities(x, top=0)
    torch.testing.assert_close(alone, network(x).double().softmax(1).detach(), atol=1e-6, rtol=0)
    before = np.mean(alone.argmax(1).numpy() == test.labels)
    after = np.mean(team.answers(x) == test.labels)
    assert 0.5 < before < 0.97  # pairs are confusable: there is something to gain and to lose
    assert after > before - 0.05
    together = team.probabilities(x, top=2, size=77)
    torch.testing.assert_close(together.sum(1), torch.ones(300, dtype=torch.float64))
    assert not torch.allclose(together, alone, atol=1e-3)
    torch.testing.assert_close(team.probabilities(x, top=2), together, atol=1e-6, rtol=0)


def test_each_image_is_combined_from_the_networks_that_are_active(problem, tmp_path):
    network, train, test = problem
    team = train_specialists(network, train, tmp_path, log=str, **{**OPTIONS, "epochs": 1})
    x = prepared(test)[:25]
    together = team.probabilities(x, top=1)
    for n in range(25):
        z = network(x[n : n + 1]).double()[0].softmax(0)
        member = team.members[int(z.argmax()) // 2]
        logits = member.network(x[n : n + 1]).double()[0]
        s = (logits + torch.tensor([0, 0, member.correction])).softmax(0)
        inside = list(member.classes)
        outside = [c for c in range(6) if c not in inside]
        wanted = torch.zeros(6, dtype=torch.float64)
        wanted[inside] = (z[inside] + s[:2]) / 2
        wanted[outside] = z[outside] / z[outside].sum() * (z[outside].sum() + s[2]) / 2
        torch.testing.assert_close(together[n], wanted.detach(), atol=1e-6, rtol=0)


class Stop(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_bits(problem, tmp_path, monkeypatch):
    network, train, _ = problem
    whole = train_specialists(network, train, tmp_path / "whole", log=str, **OPTIONS)
    real, left = specialists.SpecialistBatches.epoch, [25]

    def dying(self, epoch, start=0):
        for batch in real(self, epoch, start):
            left[0] -= 1
            if left[0] < 0:
                raise Stop
            yield batch

    monkeypatch.setattr(specialists.SpecialistBatches, "epoch", dying)
    clock = {"clock": lambda: training.Clock(steps=3)}
    with pytest.raises(Stop):
        train_specialists(network, train, tmp_path / "killed", log=str, **OPTIONS, **clock)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["specialist-1"]
    left[0] = 10**9
    again = train_specialists(network, train, tmp_path / "killed", log=str, **OPTIONS, **clock)
    for a, b in zip(whole.members, again.members, strict=True):
        there = b.network.state_dict()
        assert all(torch.equal(tensor, there[name]) for name, tensor in a.network.state_dict().items())
    left[0] = 0  # everything is finished: nothing may be trained again
    train_specialists(network, train, tmp_path / "killed", log=str, **OPTIONS)
    with pytest.raises(CheckpointError, match=r"lr was 0\.01, is 0\.02"):
        train_specialists(network, train, tmp_path / "killed", log=str, **{**OPTIONS, "lr": 0.02})


def test_predictions_feed_the_covariance(problem):
    network, train, _ = problem
    p = network(prepared(train)).double().softmax(1).detach().numpy()
    found = specialists.prediction_covariance(predictions(network, train, size=64))
    np.testing.assert_allclose(found, np.cov(p.T, bias=True), atol=1e-7)


def test_conditional_accuracy_against_a_loop():
    rng = np.random.default_rng(0)
    answers, labels, inside = rng.random((200, 6)), rng.integers(0, 6, 200), [4, 1, 2]
    rows = zip(answers.tolist(), labels, strict=True)
    right = [max(inside, key=row.__getitem__) == label for row, label in rows if label in inside]
    found = specialists.conditional_accuracy(torch.from_numpy(answers), labels, inside)
    assert found == pytest.approx(np.mean(right))


class Elsewhere(nn.Module):
    """Lives on torch's device without memory, the only one beside the processor that every machine has; it answers on
    the processor, as nothing comes back from there."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, device="meta"))
        self.seen = []

    def forward(self, images):
        self.seen.append((images.device.type, len(images)))
        return torch.arange(3.0).repeat(len(images), 1)


def test_images_go_to_where_the_network_is():
    network, data = Elsewhere(), pictures("train", 10, 0)
    wanted = torch.arange(3.0).double().softmax(0).repeat(10, 1)
    found = np.concatenate(list(predictions(network, data, size=6)))
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-12)
    assert network.seen == [("meta", 6), ("meta", 4)]
    found = specialists.Specialists(network, []).probabilities(prepared(data), size=7)
    torch.testing.assert_close(found, wanted)
    assert network.seen[2:] == [("meta", 7), ("meta", 3)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_a_generalist_on_a_gpu_gets_its_specialists_there(problem, tmp_path):
    network, train, test = problem
    there = copy.deepcopy(network).cuda()
    team = train_specialists(there, train, tmp_path, log=str, **OPTIONS)
    assert all(p.device.type == "cuda" for member in team.members for p in member.network.parameters())
    assert team.classes == [(0, 1), (2, 3), (4, 5)]
    x = prepared(test)
    found, again = team.probabilities(x, top=2), team.probabilities(x.cuda(), top=2)
    assert found.device.type == again.device.type == "cpu"
    torch.testing.assert_close(found, again)
    for member in team.members:
        member.network.cpu()
    torch.testing.assert_close(
        specialists.Specialists(network, team.members).probabilities(x, top=2), found, atol=1e-3, rtol=0
    )
