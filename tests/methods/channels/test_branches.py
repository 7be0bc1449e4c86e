import pytest
import torch
from torch import nn

from paring import zoo
from paring.capture import batch_norms, capture, rebuild
from paring.errors import ArgumentError
from paring.graph import cost
from paring.methods.channels import cheapest_branch, remove_branches, residual_branches
from tests.methods.channels.examples import (
    Bottleneck,
    Head,
    InvertedResidual,
    PaddedResidual,
    SqueezeExcite,
    trained,
    unit,
)


def run(graph, x):
    with torch.no_grad():
        return rebuild(graph)(x)


def resnet14():
    torch.manual_seed(0)
    return trained(zoo.create("resnet20", depth=14, num_classes=5))


def test_the_branches_of_a_resnet_are_its_blocks():
    graph = capture(resnet14(), (3, 8, 8), fold=False)
    branches = residual_branches(graph)
    assert list(branches) == [f"layer{stage}.{block}.add" for stage in (1, 2, 3) for block in (0, 1)]
    for add, inner in branches.items():
        block = add.removesuffix(".add")
        assert inner == tuple(f"{block}.{part}" for part in ("conv1", "bn1", "relu1", "conv2", "bn2"))


def test_removal_is_the_network_whose_branch_is_zero():
    """The judge: the module itself with the last batch norm of the block set to zero."""
    net = resnet14()
    graph = capture(net, (3, 8, 8), fold=False)
    smaller = remove_branches(graph, ["layer1.1.*", "layer2.0.conv1", "layer3.1.add"])
    for norm in (net.layer1[1].bn2, net.layer2[0].bn2, net.layer3[1].bn2):
        nn.init.zeros_(norm.weight)
        nn.init.zeros_(norm.bias)
    x = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        expected = net(x)
    torch.testing.assert_close(run(smaller, x), expected, rtol=1e-4, atol=1e-5)
    blocks = 2 * 16 * 16 * 9 * 64, (16 * 32 + 32 * 32) * 9 * 16, 2 * 64 * 64 * 9 * 4
    assert cost(graph).macs - cost(smaller).macs == sum(blocks)
    assert not [name for name in smaller.weights if name.startswith(("layer1.1.", "layer2.0.", "layer3.1."))]
    assert not [node.name for node in smaller.nodes if node.name.startswith(("layer1.1.", "layer3.1."))], "relu of relu"


def test_every_block_may_go():
    graph = capture(resnet14(), (3, 8, 8), fold=False)
    smaller = remove_branches(graph, ["*"])
    assert residual_branches(smaller) == {}
    assert [node.name for node in smaller.nodes if node.op == "conv2d"] == ["conv1"]
    assert run(smaller, torch.randn(2, 3, 8, 8)).shape == (2, 5)


def test_of_two_operands_with_layers_the_deeper_is_the_branch():
    torch.manual_seed(0)
    module = trained(Head(nn.Sequential(unit(3, 16), Bottleneck(16, 8, 32)), 32))
    branches = residual_branches(capture(module, (3, 6, 6), fold=False))
    (inner,) = branches.values()
    assert {name.split(".")[2] for name in inner} == {"a", "b", "c"}


def test_what_is_no_branch():
    torch.manual_seed(0)
    gate = trained(Head(nn.Sequential(unit(3, 16), SqueezeExcite(16)), 16))
    assert residual_branches(capture(gate, (3, 6, 6), fold=False)) == {}
    narrow = trained(Head(nn.Sequential(unit(3, 16), InvertedResidual(16, 24, 2)), 24))
    assert residual_branches(capture(narrow, (3, 6, 6), fold=False)) == {}

    class Twins(nn.Module):  # two equal ways from one value: none is the shortcut
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1)

        def forward(self, x):
            return self.a(x) + self.b(x)

    assert residual_branches(capture(Twins().eval(), (3, 4, 4))) == {}


def test_a_value_read_elsewhere_keeps_the_branch():
    class Peeked(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)

        def forward(self, x):
            inner = self.a(x)
            return x + self.b(inner), inner

    graph = capture(Peeked().eval(), (8, 4, 4))
    smaller = remove_branches(graph, ["*"])
    assert [node.name for node in smaller.nodes] == ["a"]
    x = torch.randn(1, 8, 4, 4)
    same, inner = run(smaller, x)
    assert torch.equal(same, x)
    assert inner.shape == (1, 8, 4, 4)


def test_padded_shortcut_and_batch_norms_survive():
    torch.manual_seed(0)
    module = trained(Head(nn.Sequential(PaddedResidual(), unit(32, 16)), 16))
    graph = capture(module, (16, 8, 8), fold=False)
    smaller = remove_branches(graph, ["body.0.first.*"])
    network = rebuild(smaller, batch_norms(module, smaller)).eval()
    assert [name for name, part in network.named_modules() if isinstance(part, nn.BatchNorm2d)] == ["body.1.1"]
    torch.testing.assert_close(network(x := torch.randn(2, 16, 8, 8)), run(smaller, x), rtol=1e-4, atol=1e-5)


def test_the_cheapest_branch_is_the_one_that_changes_least():
    net = resnet14()
    nn.init.constant_(net.layer2[1].bn2.weight, 1e-4)
    nn.init.constant_(net.layer2[1].bn2.bias, 0)
    graph = capture(net, (3, 8, 8), fold=False)
    x = torch.randn(4, 3, 8, 8)
    expected = run(graph, x)

    def change(smaller):
        return float((run(smaller, x) - expected).square().mean())

    add, smaller, loss = cheapest_branch(graph, change)
    assert add == "layer2.1.add"
    assert loss == change(smaller) < 1e-6
    assert cheapest_branch(graph, change, exclude=["layer2.1.conv*"])[0] != add
    assert cheapest_branch(graph, change, exclude=residual_branches(graph)) is None


def test_an_unknown_branch_names_the_nearest():
    graph = capture(resnet14(), (3, 8, 8), fold=False)
    with pytest.raises(ArgumentError, match=r"matches no residual branch.*layer1\.1"):
        remove_branches(graph, ["layer1.11.conv1"])
