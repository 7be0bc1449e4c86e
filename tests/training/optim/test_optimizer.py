import math

import pytest
import torch
from torch import nn

from paring import methods
from paring.errors import ArgumentError
from paring.training.optim import optimizer
from tests.training.problem import network


def descend(build, steps=4):
    """Minimize ``sum (w - target)^2 / 2`` of two weights; the path of the first one."""
    weight = nn.Parameter(torch.tensor([[1.0, -2.0]], dtype=torch.float64))
    tuned = build([weight])
    path = []
    for _ in range(steps):
        tuned.zero_grad()
        (0.5 * (weight - torch.tensor([0.25, 0.5])) ** 2).sum().backward()
        tuned.step()
        path.append(weight[0, 0].item())
    return path


def by_hand(rule, steps=4):
    w, path, state = 1.0, [], {}
    for t in range(1, steps + 1):
        w = rule(w, w - 0.25, t, state)
        path.append(w)
    return path


def test_nesterov():
    def rule(w, g, t, s):
        s["v"] = 0.9 * s["v"] + g if s else g  # torch begins with the gradient itself
        return w - 0.1 * (g + 0.9 * s["v"])

    assert descend(lambda p: optimizer(p, "sgd", lr=0.1, nesterov=True)) == pytest.approx(by_hand(rule))


def test_adamw_shrinks_weights_apart_from_the_gradient():
    def rule(w, g, t, s):
        w *= 1 - 0.1 * 0.2
        s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
        s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
        return w - 0.1 * (s["m"] / (1 - 0.9**t)) / (math.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8)

    assert descend(lambda p: optimizer(p, "adamw", lr=0.1, weight_decay=0.2)) == pytest.approx(by_hand(rule))


def test_rmsprop_with_momentum():
    def rule(w, g, t, s):
        s["v"] = 0.9 * s.get("v", 0) + 0.1 * g * g
        s["b"] = 0.8 * s.get("b", 0) + g / (math.sqrt(s["v"]) + 1.0)
        return w - 0.1 * s["b"]

    assert descend(lambda p: optimizer(p, "rmsprop", lr=0.1, momentum=0.8, eps=1.0)) == pytest.approx(by_hand(rule))


def test_biases_and_normalization_can_be_spared():
    net = network()
    methods.share(net, {"5.bias": 2})
    tuned = optimizer(net, weight_decay=0.1, decay_biases=False)
    decay = {id(p): group["weight_decay"] for group in tuned.param_groups for p in group["params"]}
    named = dict(net.named_parameters())
    excluded = {name for name, p in named.items() if decay.get(id(p)) == 0}
    decayed = {name for name, p in named.items() if decay.get(id(p)) == 0.1}
    assert decayed == {"0.weight", "5.weight"}
    assert {"0.bias", "1.weight", "1.bias"} < excluded
    assert any("parametrizations.bias" in name for name in excluded)
    assert len(optimizer(net, weight_decay=0.1).param_groups) == 1
    alone = optimizer(list(net.parameters()), weight_decay=0.1, decay_biases=False)
    assert [group["weight_decay"] for group in alone.param_groups] == [0.1, 0.0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "lion"},
        {"lr": -1.0},
        {"lr": math.inf},
        {"momentum": 1.0},
        {"weight_decay": -1.0},
        {"nesterov": True, "momentum": 0.0},
        {"nesterov": True, "name": "adam"},
    ],
)
def test_what_cannot_be_is_refused(arguments):
    with pytest.raises(ArgumentError):
        optimizer(nn.Linear(2, 2), **arguments)
    with pytest.raises(ArgumentError, match="nothing to train"):
        optimizer(nn.Linear(2, 2).requires_grad_(False))
