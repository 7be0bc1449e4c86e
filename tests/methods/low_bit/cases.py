"""Layers that ternary and binary forms are tried on, and the way of a form through checkpoint and file."""

import copy

import numpy as np
import torch
from torch import nn

from paring import methods, parametrize
from paring.container import Contents, read, write
from paring.forms import Integer
from paring.runtime import Engine, reference

#: Name to a layer on (4, 7, 6) maps, its input.
LAYERS = {
    "plain": lambda: nn.Conv2d(4, 6, 3, padding=1),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2, dilation=2),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4, stride=2),
    "1x1": lambda: nn.Conv2d(4, 9, 1, bias=False),
    "fully connected": lambda: nn.Sequential(nn.Flatten(), nn.Linear(168, 5)),
}
SHAPE = (4, 7, 6)


def network(kind, seed=0):
    """The layer as ``body``, something before it and behind it."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), LAYERS[kind]())


def name_of(kind):
    """The layer's path."""
    return "2.1" if kind == "fully connected" else "2"


def train(net, steps=12, after=None, lr=0.05):
    """A few steps of SGD towards random answers."""
    net.train()
    x = torch.randn(16, *SHAPE)
    wanted = torch.randn_like(net(x))
    optimizer = torch.optim.SGD(net.parameters(), lr, momentum=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        (net(x) - wanted).square().mean().backward()
        optimizer.step()
        if after is not None:
            after(net)


def check_round_trip(net, fresh, path, name):
    """Trained weight, form, checkpoint, file, interpreter and engine all say the same; the form.

    ``fresh`` is a network of the kind, without forms and with other weights.
    """
    net.eval()
    layer = net.get_submodule(name)
    weight = layer.weight.detach().numpy()
    form = parametrize.forms(net)[f"{name}.weight"]
    assert isinstance(form, Integer)
    np.testing.assert_array_equal(form.dense(), weight)
    parametrize.rebuild(fresh, parametrize.describe(net))
    fresh.load_state_dict(copy.deepcopy(net.state_dict()))
    assert parametrize.describe(fresh) == parametrize.describe(net)
    assert parametrize.forms(fresh.eval())[f"{name}.weight"].equals(form)
    x = torch.randn(3, *SHAPE)
    with torch.no_grad():
        answer = net(x)
        assert torch.equal(fresh(x), answer)
    graph = methods.graph_with_forms(net, SHAPE)
    assert graph.weights[f"{name}.weight"].equals(form)
    write(path, Contents(graph, None, (), {}))
    found = read(path).graph
    np.testing.assert_array_equal(found.weights[f"{name}.weight"].dense(), weight)
    agree(found, x, answer)
    return form


def agree(graph, x, answer):
    """The reference interpreter and the engine give torch's answers."""
    nhwc = x.permute(0, 2, 3, 1).contiguous().numpy()
    wanted = (answer.permute(0, 2, 3, 1) if answer.ndim == 4 else answer).numpy()
    for run in (reference.run(graph, nhwc), Engine(graph).run(nhwc)):
        np.testing.assert_allclose(run, wanted, rtol=0, atol=2e-6 * max(1, np.abs(wanted).max()))
