"""Capture keeps the forms that weights trained in."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from paring import zoo
from paring.capture import capture, rebuild
from paring.container import Contents, read, write
from paring.errors import ArgumentError
from paring.methods import binarize, prune, share
from paring.runtime import Model


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 24)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(24, 5)).eval()


def test_what_was_pruned_is_sparse_in_the_file(tmp_path):
    net = network()
    dense = write(tmp_path / "dense.pare", Contents(capture(net, (1, 8, 8)))).total
    prune(net, {"4": 0.05, "6": 0.5})
    graph = capture(net, (1, 8, 8))
    assert {graph.weights[name].kind for name in ("4.weight", "6.weight")} == {"sparse"}
    pruned = write(tmp_path / "pruned.pare", Contents(graph)).total
    zeros = write(tmp_path / "zeros.pare", Contents(capture(net, (1, 8, 8), forms=False))).total
    assert pruned < zeros < dense
    assert pruned < 0.25 * dense  # 3,456 weights of 5 % and 120 of one half
    again = read(tmp_path / "pruned.pare").graph
    np.testing.assert_array_equal(again.weights["4.weight"].dense(), net[4].weight.detach().numpy())


def test_norms_are_folded_into_dense_weights_alone():
    net = network()
    share(net, {"0": 4})
    torch.nn.init.uniform_(net[1].weight)
    ops = [node.op for node in capture(net, (1, 8, 8)).nodes]
    assert ops.count("scale_shift") == 1
    assert "scale_shift" not in [node.op for node in capture(net, (1, 8, 8), forms=False).nodes]


def test_signs_of_a_binary_network_take_a_bit_each():
    net = zoo.create("lenet_5_caffe").eval()
    binarize(net, {"conv2": "scaled", "fc1": "sign"})
    kinds = {name: form.kind for name, form in capture(net, (1, 28, 28)).weights.items() if form.kind != "dense"}
    assert len(kinds) == 2
    assert set(kinds.values()) == {"integer"}


def test_a_rebuilt_network_is_the_graph_it_was_made_of():
    graph = capture(network(), (1, 8, 8))
    again = rebuild(graph)
    prune(again, {"4": 0.1})
    captured = capture(again, (1, 8, 8))
    assert [node.name for node in captured.nodes] == [node.name for node in graph.nodes]
    assert captured.weights["4.weight"].kind == "sparse"
    assert rebuild(network_of_maps()).takes([torch.zeros(2, 1, 8, 8)])
    assert capture(rebuild(network_of_maps()), (1, 12, 12)).inputs != graph.inputs  # another size: traced


def network_of_maps():
    return capture(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), (1, 8, 8))


def test_rebuild_takes_what_holds_a_graph():
    contents = Contents(capture(network(), (1, 8, 8)))
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    expected = rebuild(contents.graph)(x)
    for held in (contents, Model(contents)):
        torch.testing.assert_close(rebuild(held)(x), expected, rtol=0, atol=0)
    with pytest.raises(ArgumentError, match=r"not a graph; found str; expected a Graph, a Model or Contents"):
        rebuild("net.pare")
