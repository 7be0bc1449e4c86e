import numpy as np
import pytest
import torch
from torch import nn

from paring.errors import DataError
from paring.training import evaluator, score
from paring.training.input import Batch
from tests.training.problem import dataset, network


@pytest.mark.parametrize("size", [7, 50, 256])
def test_scores_are_a_naive_loop_s(size):
    data, net = dataset(), network()
    net.train()
    found = evaluator(data, size)(net)
    assert net.training
    net.eval()
    wrong, loss = 0, 0.0
    for image, label in zip(data.images, data.labels, strict=True):
        z = net(torch.tensor(image.transpose(2, 0, 1)[None] / 255).float()).detach().double().numpy()[0]
        wrong += z.argmax() != label
        loss += np.log(np.exp(z).sum()) - z[label]
    assert found["error"] == wrong / 50
    assert found["loss"] == pytest.approx(loss / 50, rel=1e-5)
    assert set(found) == {"error", "loss"}


def test_five_best_answers_of_many_classes():
    torch.manual_seed(0)
    z, labels = torch.randn(40, 120), torch.arange(40)
    z[:10].scatter_(1, labels[:10, None], 9.0)
    found = score(nn.Identity(), [Batch(z[:30], labels[:30], labels[:30]), Batch(z[30:], labels[30:], labels[30:])])
    best = z.numpy().argsort(1)[:, ::-1]
    assert found["error"] == np.mean(best[:, 0] != labels.numpy())
    assert found["error_5"] == np.mean([label not in row[:5] for row, label in zip(best, range(40), strict=True)])


def test_nothing_to_score_is_an_error():
    with pytest.raises(DataError, match="no images"):
        score(network(), [])
