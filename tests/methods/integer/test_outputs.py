"""Outputs are float, parts of a concatenation keep a scale each where one would cost, and outputs are measured."""

import numpy as np
import pytest
import torch
from torch import nn

from paring.capture import capture, rebuild
from paring.methods.integer import quantize

SHAPE = (3, 8, 8)


class Net(nn.Module):
    def __init__(self, end, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.first, self.second = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1)
        self.after = nn.Conv2d(8, 5, 1)
        self.end = end

    def forward(self, x):
        return self.end(self, torch.relu(self.stem(x)))


def detector(net, y):
    """Boxes around 320 beside probabilities."""
    return torch.cat([net.first(y) * 100 + 320, net.second(y).sigmoid()], 1)


ENDS = {
    "boxes and scores": detector,
    "times 100": lambda net, y: torch.cat([net.first(y), 100 * net.first(y)], 1),
    "relu": lambda net, y: net.first(y).relu(),
    "tanh": lambda net, y: net.first(y).tanh(),
    "slice": lambda net, y: net.first(y)[:, 1:3],
    "mean": lambda net, y: net.first(y).mean((2, 3)),
    "relu, pool, flatten": lambda net, y: nn.functional.max_pool2d(net.first(y).relu(), 2).flatten(1),
    "sum": lambda net, y: (net.first(y) + net.second(y)).relu(),
    "read inside, too": lambda net, y: (net.first(y).relu(), net.after(torch.cat([net.first(y).relu()] * 2, 1))),
}


def outputs(network, x):
    with torch.no_grad():
        found = network(x)
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("end", ENDS)
def test_outputs_are_not_rounded_to_levels(end):
    net = Net(ENDS[end]).eval()
    x = torch.randn(64, *SHAPE, generator=torch.Generator().manual_seed(1))
    made = quantize(capture(net, SHAPE), x)
    assert len(made.outputs) == len(made.graph.outputs)
    for wanted, found, ratios in zip(
        outputs(net, x), outputs(rebuild(made.graph), x), made.outputs.values(), strict=True
    ):
        channels = zip(wanted.movedim(1, 0).flatten(1), found.movedim(1, 0).flatten(1), ratios, strict=True)
        for y, z, ratio in channels:
            if not (y != y[0]).any():  # dead behind the relu
                assert torch.equal(y, z)
                assert ratio == 150
                continue
            judge = 10 * np.log10(float((y - y.mean()).square().sum() / (y - z).square().sum()))
            assert judge > 25
            assert ratio == pytest.approx(judge, abs=0.2)
            assert len(z.unique()) > 0.8 * len(y.unique())
    assert any(note.startswith("output ") for note in made.notes)


def test_codes_at_an_output_keep_a_scale_for_each_part():
    net = Net(detector).eval()
    x = torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(1))
    made = quantize(capture(net, SHAPE), x, answers="codes")
    (wanted,), (found,) = outputs(net, x), outputs(rebuild(made.graph), x)
    error = (wanted - found).abs()
    assert error[:, 4:].max() < 0.05
    assert 20 < len(found[:, 4:].unique()) <= 256  # they are codes


def test_parts_too_different_for_one_scale_keep_their_own_inside():
    def end(net, y):
        return net.after(torch.cat([net.first(y).tanh() * 300, net.second(y).sigmoid()], 1)).relu()

    net = Net(end).eval()
    with torch.no_grad():
        net.after.weight[:, :4] /= 300
    x = torch.randn(32, *SHAPE, generator=torch.Generator().manual_seed(1))
    made = quantize(capture(net, SHAPE), x)
    assert any("too different for one scale" in why for why in made.floats.values())
    assert min(ratios.min() for ratios in made.outputs.values()) > 25


def test_parts_of_like_ranges_stay_on_codes():
    net = Net(lambda net, y: net.after(torch.cat([net.first(y).relu(), net.second(y).relu() * 3], 1))).eval()
    made = quantize(capture(net, SHAPE), torch.randn(16, *SHAPE))
    assert {"concat", "integer_conv2d"} <= {node.op for node in made.graph.nodes}
    assert list(made.floats) == ["after"]


def test_a_lost_channel_is_told():
    net = Net(lambda net, y: net.first(y)).eval()
    with torch.no_grad():
        net.stem.bias[:] = 1e7  # what the stem tells is far below a level of its codes
    made = quantize(capture(net, SHAPE), torch.randn(8, *SHAPE))
    assert "are mostly noise" in str(made)
