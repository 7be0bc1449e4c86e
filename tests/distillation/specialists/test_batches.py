import numpy as np
import pytest
import torch

from paring.distillation import specialists
from paring.errors import ArgumentError, DataError

LABELS = np.array([0, 1, 2, 3, 4] * 12 + [2] * 10)


def make(classes=(4, 2), labels=LABELS, **changes):
    images = np.zeros((len(labels), 2, 3, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    return specialists.SpecialistBatches(images, labels, classes, **{"size": 8, "seed": 1, **changes})


def test_half_of_every_batch_is_of_the_classes():
    data = make()
    own, rest = [], []
    for batch in data.epoch(0):
        assert batch.images.shape == (8, 1, 2, 3)
        assert batch.indices.tolist() == (batch.images[:, 0, 0, 0] * 255).round().tolist()
        assert batch.labels.tolist() == [{4: 0, 2: 1}.get(c, 2) for c in LABELS[batch.indices]]
        inside = batch.labels < 2
        assert int(inside.sum()) == 4
        own += batch.indices[inside].tolist()
        rest += batch.indices[~inside].tolist()
    assert len(data) == 34 // 4 == len(own) / 4
    assert len(set(own)) == len(own)
    assert len(set(rest)) == len(rest)
    assert set(LABELS[rest]) == {0, 1, 3}
    places = [np.flatnonzero((batch.labels < 2).numpy()).tolist() for batch in data.epoch(0)]
    assert len(set(map(tuple, places))) > 1  # not always in the same rows


def test_the_rest_comes_round_again_when_it_is_small():
    data = make(classes=(0, 1, 2, 4), size=4)
    rest = [i for b in data.epoch(0) for i in b.indices[b.labels == 4].tolist()]
    assert set(LABELS[rest]) == {3}
    counts = np.bincount(rest)[np.flatnonzero(LABELS == 3)]
    assert len(rest) == 58
    assert counts.min() == 58 // 12
    assert counts.max() == 58 // 12 + 1


def test_order_depends_on_seed_and_epoch_alone_and_starts_anywhere():
    data = make(augment="light")
    first = [(b.images.numpy().tobytes(), b.labels.tolist(), b.indices.tolist()) for b in data.epoch(3)]
    torch.manual_seed(99)
    for start in (0, 1, 5, 7, 8):
        again = [(b.images.numpy().tobytes(), b.labels.tolist(), b.indices.tolist()) for b in data.epoch(3, start)]
        assert again == first[start:]
    assert [b.indices.tolist() for b in data.epoch(4)] != [indices for *_, indices in first]
    assert [b.indices.tolist() for b in make(seed=2).epoch(3)] != [indices for *_, indices in first]


def test_soft_targets_are_gathered():
    data = make()
    targets = torch.tensor([[0.1, 0.2, 0.3, 0.15, 0.25]])
    torch.testing.assert_close(data._gathered(targets), torch.tensor([[0.25, 0.3, 0.45]]))


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (ArgumentError, {"size": 7}, "batch size"),
        (ArgumentError, {"classes": (0,), "size": 26}, "batch size"),
        (ArgumentError, {"classes": (0, 0)}, "classes"),
        (DataError, {"classes": (9,)}, "no image"),
        (DataError, {"labels": np.array([2, 4] * 6), "size": 2}, "every image"),
    ],
)
def test_what_cannot_be(kind, changes, words):
    with pytest.raises(kind, match=words):
        make(**changes)
