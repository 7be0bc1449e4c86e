"""Every trainable form on every kind of layer: trained a step, saved, loaded, evaluated, written to a file, read again.

A new row in ``TRAINABLE`` needs a case here, or :func:`test_every_trainable_form_has_a_case` fails. What a method
refuses stands in ``REFUSED`` with the words of its message.
"""

import io
import json
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paring import methods, parametrize
from paring.capture import capture
from paring.container import Contents, read, write
from paring.errors import ArgumentError
from paring.graph import Graph
from paring.parametrize._registry import TRAINABLE
from paring.runtime import Engine

LAYERS = {
    "plain": lambda: nn.Conv2d(4, 8, 3, padding=1),
    "grouped": lambda: nn.Conv2d(4, 8, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, stride=2, groups=4),
    "dilated": lambda: nn.Conv2d(4, 6, 3, dilation=2),
    "1x1": lambda: nn.Conv2d(4, 6, 1),
    "FC": lambda: nn.Linear(20, 12),
}


class Case(NamedTuple):
    """How a network's ``layer`` gets the form, what follows a step, and whether a step leaves all as it is."""

    kind: str
    apply: object
    after: object = None
    still: bool = False


def portions(network, *steps):
    for portion in steps:
        methods.inq(network, {"layer": 4}, portion=portion)


CASES = {
    "pruned": Case("pruned", lambda n: methods.prune(n, {"layer": 0.4})),
    "pruned, half precision": Case("pruned", lambda n: methods.prune(n, {"layer": 0.4}, bits=16)),
    "pruned 2:4": Case("pruned", lambda n: methods.prune_n_m(n, {"layer": "2:4"})),
    "movement": Case("movement", lambda n: methods.prune_movement(n, {"layer": 0.4})),
    "movement, soft": Case("movement", lambda n: methods.prune_movement(n, threshold={"layer": -0.001})),
    "shared": Case("shared", lambda n: methods.share(n, {"layer": 5})),
    "pruned and shared": Case(
        "shared", lambda n: (methods.prune(n, {"layer": 0.4}), methods.share(n, {"layer": 5}, bits=16))
    ),
    "half": Case("half", lambda n: parametrize.halve(n, ["layer"])),
    "inq": Case("inq", lambda n: portions(n, 0.5)),
    "inq, all": Case("inq", lambda n: portions(n, 0.5, 1.0), still=True),
    "pruned and inq": Case("inq", lambda n: (methods.prune(n, {"layer": 0.4}), portions(n, 0.75))),
    **{
        f"dorefa {bits}": Case("dorefa", lambda n, bits=bits: methods.dorefa(n, {"layer": bits}, exclude=()))
        for bits in (1, 2, 8)
    },
    "dorefa 4, scale kept": Case("dorefa", lambda n: methods.dorefa(n, {"layer": 4}, exclude=(), keep_scale=True)),
    "ternary": Case("ternary", lambda n: methods.ternarize(n, {"layer": 0.75})),
    "ternary, by channel": Case("ternary", lambda n: methods.ternarize(n, {"layer": 0.75}, per_channel=True)),
    "binary_connect": Case(
        "binary_connect", lambda n: methods.binary_connect(n, {"layer": 1}), methods.low_bit.clip_weights
    ),
    "binary_connect, drawn": Case(
        "binary_connect",
        lambda n: methods.binary_connect(n, {"layer": "glorot"}, stochastic=True),
        methods.low_bit.clip_weights,
    ),
    "binarize_weights": Case(
        "binarize_weights",
        lambda n: methods.binarize_weights(n, {"layer": "paper"}),
        methods.low_bit.center_and_clip_weights,
    ),
    "binarize_weights, released": Case(
        "binarize_weights", lambda n: methods.binarize_weights(n, {"layer": "released"})
    ),
    "product": Case("product", lambda n: methods.product_quantize(n, {"layer": (2, 3)})),
    "product, vectors in two stages": Case(
        "product", lambda n: methods.product_quantize(n, {"layer": (None, 3, 2)}, bits=16)
    ),
    "hashed": Case("hashed", lambda n: methods.hash(n, {"layer": 0.3})),
    "hashed, half precision": Case("hashed", lambda n: methods.hash(n, {"layer": 0.3}, seed=7, bits=16)),
}

#: Case and layer to a pattern of the error.
REFUSED = {
    ("binarize_weights, released", "depthwise"): "released gradient trains no layer of one input channel",
    ("pruned 2:4", "grouped"): "input channels per group are no multiple of 4",
    ("pruned 2:4", "depthwise"): "input channels per group are no multiple of 4",
    ("product", "depthwise"): "sub-vectors do not divide the layer's inputs",
}


def network(layer):
    """The layer named ``layer``, and a head behind it."""
    torch.manual_seed(0)
    first = LAYERS[layer]()
    size = first(torch.zeros(inputs(layer, 2).shape)).flatten(1).shape[1]
    parts = {"layer": first, "relu": nn.ReLU(), "flatten": nn.Flatten(), "head": nn.Linear(size, 3)}
    net = nn.Sequential()
    for name, part in parts.items():
        net.add_module(name, part)
    return net


def inputs(layer, count):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, *((20,) if layer == "FC" else (4, 7, 6)), generator=generator)


@cache
def captured(layer):
    """The graph of the plain network, captured once: only its weights change."""
    return capture(network(layer), tuple(inputs(layer, 2).shape[1:]), fold=False)


def train_step(net, case, x):
    optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, weight_decay=0.01)
    loss = F.cross_entropy(net.train()(x), torch.arange(len(x)) % 3)
    loss.backward()
    optimizer.step()
    if case.after is not None:
        case.after(net)
    return net.eval()


def loaded(net, layer):
    """Another network, from the state dict's bytes and the description's text alone."""
    state, description = io.BytesIO(), json.dumps(parametrize.describe(net))
    torch.save(net.state_dict(), state)
    state.seek(0)
    other = network(layer)
    for p in other.parameters():
        nn.init.constant_(p, 0.5)
    parametrize.rebuild(other, json.loads(description))
    other.load_state_dict(torch.load(state, weights_only=True))
    parametrize.refresh(other)
    return other.eval()


def test_every_trainable_form_has_a_case():
    assert {case.kind for case in CASES.values()} == set(TRAINABLE)
    assert {name for name, _ in REFUSED} <= set(CASES)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", CASES)
def test_train_save_load_evaluate_write_and_read(name, layer, tmp_path):
    case, net, x = CASES[name], network(layer), inputs(layer, 12)
    if (name, layer) in REFUSED:
        with pytest.raises(ArgumentError, match=REFUSED[name, layer]):
            case.apply(net)
        assert parametrize.describe(net) == {}
        return
    case.apply(net)
    assert {word: d["kind"] for word, d in parametrize.describe(net).items()} == {"layer.weight": case.kind}
    before = net.layer.weight.detach().clone() if case.still else net.layer.parametrizations.weight.original.clone()
    train_step(net, case, x)
    after = net.layer.weight.detach() if case.still else net.layer.parametrizations.weight.original
    assert torch.equal(before, after) == case.still

    other = loaded(net, layer)
    with torch.no_grad():
        wanted = net(x)
        assert torch.equal(other(x), wanted)
    assert parametrize.describe(other) == parametrize.describe(net)

    exact = parametrize.forms(net)
    plain = captured(layer)
    assert set(exact) == set(plain.weights)
    path = tmp_path / "network.pare"
    write(path, Contents(Graph(dict(plain.inputs), list(plain.nodes), plain.outputs, exact)))
    graph = read(path).graph
    for word, form in graph.weights.items():
        assert form.equals(exact[word])
        assert form.equals(parametrize.forms(other)[word])
        np.testing.assert_array_equal(form.dense(), trained(net, word))
    maps = np.ascontiguousarray(np.moveaxis(x.numpy(), 1, -1)) if x.ndim == 4 else x.numpy()
    np.testing.assert_allclose(
        Engine(graph).run(maps), wanted.numpy(), rtol=0, atol=1e-5 * (1 + float(wanted.abs().max()))
    )


def trained(net, word):
    """A parameter's effective value by its plain name."""
    path, _, leaf = word.rpartition(".")
    return getattr(net.get_submodule(path), leaf).detach().numpy()
