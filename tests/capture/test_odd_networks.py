"""Networks that no graph can hold are refused in words of the user's, by every door."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from paring import api, training
from paring.capture import capture, outline
from paring.errors import ArgumentError, GraphError
from paring.training.input import Batches

SHAPE = (1, 8, 8)


class Unpool(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.back = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.fc = nn.Linear(64, 3)

    def forward(self, x):
        y, places = self.pool(x)
        return self.fc(self.back(y, places).flatten(1))


class Heads(nn.Module):
    """Answers with two heads while it trains, with one afterwards."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(64, 3), nn.Linear(64, 3)

    def forward(self, x):
        x = x.flatten(1)
        return (self.a(x), self.b(x)) if self.training else self.a(x)


class Broken(nn.Module):
    def forward(self, x):
        raise ValueError("no such luck")


def scripted(make=torch.jit.script):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval())


DOORS = {
    "capture": lambda net: capture(net, SHAPE),
    "outline": lambda net: outline(net, SHAPE),
    "cost": lambda net: api.cost(net, SHAPE),
    "quantize": lambda net: api.quantize(net, torch.rand(4, *SHAPE)),
    "prune_channels": lambda net: api.prune_channels(net, SHAPE, keep=0.5),
}
NETWORKS = {
    "max unpool": (Unpool, GraphError, "a max pool's indices"),
    "lazy": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), ArgumentError, "1.weight: lazy.*Run one example"),
    "script": (scripted, ArgumentError, "TorchScript.*torch.export"),
    "trace": (lambda: scripted(lambda net: torch.jit.trace(net, torch.zeros(1, *SHAPE))), ArgumentError, "TorchScript"),
    "frozen": (lambda: scripted(lambda net: torch.jit.freeze(torch.jit.script(net))), ArgumentError, "TorchScript"),
    "raises": (
        Broken,
        GraphError,
        r"test_odd_networks.py:\d+: torch could not trace the network.*ValueError: no such luck",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_refused_in_plain_words(kind, door):
    make, error, words = NETWORKS[kind]
    with pytest.raises(error, match=words):
        DOORS[door](make())


def test_lazy_layers_that_have_seen_an_input():
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(ArgumentError, match="lazy"):
        api.prune(net, keep=0.5)
    net(torch.zeros(1, *SHAPE))
    assert capture(net, SHAPE).weights["1.weight"].shape == (3, 64)


@pytest.mark.parametrize(
    ("make", "words"),
    [(Heads, "more than one tensor while it trains"), (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), "lazy")],
)
def test_training_says_so_at_its_first_step(make, words, tmp_path):
    images, labels = np.zeros((20, 8, 8, 1), np.uint8), np.arange(20) % 3
    batches = Batches(images, labels, mean=(0.0,), std=(1.0,), size=10)
    settings = training.Settings(epochs=1, lr=0.1, batch=10)
    with pytest.raises(ArgumentError, match=words):
        training.run(make(), batches, settings, folder=tmp_path, progress=False)
    assert capture(Heads(), SHAPE).outputs == ("a",)  # as it answers afterwards
