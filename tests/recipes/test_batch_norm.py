"""Networks with batch norm go the whole way: the file answers as the trained torch network does."""

import numpy as np
import pytest
import torch
from torch import nn

import paring
from paring.errors import GraphError
from paring.recipes import compress
from paring.report import gather
from tests.recipes.small_problem import options, sets


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(6)
        self.fc = nn.Linear(150, 3)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 2)
        x = x + torch.relu(self.bn2(self.conv2(x)))
        return self.fc(x.flatten(1))


def test_the_file_answers_as_the_trained_network_with_its_running_statistics(tmp_path):
    small = {"output": tmp_path / "n.pare", "log": str, **options(centroids=4)}
    done = compress(Normed, sets(), tmp_path / "run", "deep-compression", **small)
    record, trained = done.record, done.network
    assert abs(trained.bn1.running_mean).max() > 0.01  # not those of a fresh network
    test = sets()[1]
    with torch.no_grad():
        expected = trained(torch.from_numpy(test.prepared().transpose(0, 3, 1, 2).copy())).numpy()
    model = paring.load(tmp_path / "n.pare")
    np.testing.assert_allclose(model(test.images), expected, rtol=1e-4, atol=1e-4)
    assert (expected.argmax(1) != test.labels).mean() == pytest.approx(record.final_error)
    assert {layer.name for layer in record.layers} >= {"conv1.weight", "conv2.weight", "fc.bias"}
    assert gather(tmp_path / "n.pare", run=tmp_path / "run").bytes == record.file_bytes


def test_what_no_file_can_hold_is_refused_before_anything_is_trained(tmp_path):
    said = []

    def network():
        return nn.Sequential(nn.Flatten(), nn.Linear(144, 3), nn.LogSoftmax(1))

    with pytest.raises(GraphError, match="log_softmax"):
        compress(network, sets(), tmp_path / "run", "deep-compression", log=said.append)
    assert not said
    assert not (tmp_path / "run").exists()
