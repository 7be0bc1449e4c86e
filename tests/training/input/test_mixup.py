import numpy as np
import pytest
import torch

from paring.errors import ArgumentError
from paring.training.input import Mixup, sliced
from tests.training.problem import batches


def test_a_batch_is_weighted_sums_of_pairs():
    plain, mixed = list(batches().epoch(1)), list(Mixup(batches(), 0.4, 3).epoch(1))
    shares = []
    for a, b in zip(plain, mixed, strict=True):
        x, y = a.images.double().numpy(), np.eye(3)[a.labels]
        for i in range(16):
            j = i + 1 if i % 2 == 0 else i - 1
            far = np.abs(x[i] - x[j]).argmax()
            share = ((b.images[i].double().numpy() - x[j]).flat[far]) / ((x[i] - x[j]).flat[far])
            np.testing.assert_allclose(b.images[i], share * x[i] + (1 - share) * x[j], atol=1e-5)
            np.testing.assert_allclose(b.targets[i], share * y[i] + (1 - share) * y[j], atol=1e-4)
            shares.append(share)
    shares = np.array(shares).reshape(len(plain), 16)
    assert np.ptp(shares, axis=1).max() < 1e-3  # one share for a batch
    assert shares.min() > -1e-3
    assert shares.max() < 1.001
    assert np.ptp(shares[:, 0]) > 0.01


def test_it_depends_on_seed_epoch_and_step_alone():
    data = Mixup(batches(), 1.0, 3)
    whole = [b.images for b in data.epoch(2)]
    torch.manual_seed(1)
    assert all(torch.equal(b.images, whole[i]) for i, b in enumerate(data.epoch(2, 3), 3))


def test_processes_share_a_mixed_batch():
    whole = list(Mixup(batches(), 1.0, 3).epoch(0))
    parts = [list(sliced(Mixup(batches(), 1.0, 3), rank, 4).epoch(0)) for rank in range(4)]
    for step, batch in enumerate(whole):
        for kind in ("images", "labels", "indices", "targets"):
            assert torch.equal(torch.cat([getattr(part[step], kind) for part in parts]), getattr(batch, kind))


def test_what_cannot_be_is_refused():
    with pytest.raises(ArgumentError, match="alpha"):
        Mixup(batches(), 0.0, 3)
    with pytest.raises(ArgumentError, match="pairs"):
        next(Mixup(batches(size=15), 1.0, 3).epoch(0))
    with pytest.raises(ArgumentError, match=r"3 processes.*found 16 images.*such as 15, 18"):
        sliced(Mixup(batches(), 1.0, 3), 0, 3)
