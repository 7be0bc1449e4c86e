"""Whole networks: names, shared weights, what is unused, what is refused, what is left as it was."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.nn.utils import parametrize  # noqa: E402

from paring import zoo  # noqa: E402
from paring.capture import capture, rebuild, unused  # noqa: E402
from paring.errors import ArgumentError, GraphError  # noqa: E402
from tests.capture.judge import Function, agree, ops, shaken  # noqa: E402


def test_lenet_5_caffe_exactly():
    torch.manual_seed(0)
    network = zoo.create("lenet_5_caffe")
    graph = agree(network, (1, 28, 28), tolerance=1e-6)
    assert [(n.name, n.op) for n in graph.nodes] == [
        ("conv1", "conv2d"),
        ("max_pool", "max_pool"),
        ("conv2", "conv2d"),
        ("max_pool_2", "max_pool"),
        ("flatten", "flatten"),
        ("fc1", "linear"),
        ("relu", "relu"),
        ("fc2", "linear"),
    ]
    assert graph.inputs == {"x": (28, 28, 1)}
    assert graph.outputs == ("fc2",)
    assert graph.parameters == 431_080
    for name, parameter in network.named_parameters():
        assert np.array_equal(graph.weights[name].dense(), parameter.detach().numpy())


@pytest.mark.parametrize("name", ["lenet_300_100", "lenet_5_modern", "lenet_5_1998"])
def test_the_other_lenets(name):
    agree(zoo.create(name), zoo.card(name).input_shape)


def test_the_graph_of_the_1998_network_holds_c3_with_its_zeros():
    graph = capture(zoo.create("lenet_5_1998"), (1, 32, 32))
    assert graph.weights["c3.weight"].nonzeros == 1500
    assert graph.weights["c3.weight"].shape == (16, 6, 5, 5)


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + x)


def test_names_are_module_paths():
    module = nn.ModuleDict({"stem": nn.Conv2d(3, 4, 3), "layer1": nn.Sequential(Residual(4), Residual(4))})
    network = Function(lambda m, x: m.parts["layer1"](m.parts["stem"](x)), parts=module)
    graph = agree(network, (3, 8, 8))
    assert [n.name for n in graph.nodes][:6] == [
        "parts.stem",
        "parts.layer1.0.conv1",
        "parts.layer1.0.relu",
        "parts.layer1.0.conv2",
        "parts.layer1.0.add",
        "parts.layer1.0.relu.relu",
    ]
    assert "parts.layer1.1.conv2.bias" in graph.weights
    assert not any("bn" in name for name in graph.weights)


# --- shared and unused --------------------------------------------------------------------------------------------


def test_a_module_called_twice_keeps_its_weights_once():
    shared = nn.Linear(5, 5)
    graph = agree(nn.Sequential(shared, nn.ReLU(), shared), (5,))
    assert set(graph.weights) == {"0.weight", "0.bias"}
    assert len(graph.weight_users()["0.weight"]) == 2


def test_a_parameter_of_two_modules_is_kept_once_under_its_first_path():
    network = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4, bias=False))
    network[2].weight = network[0].weight
    graph = agree(network, (4,))
    assert set(graph.weights) == {"0.weight", "0.bias"}


class WithBranch(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)
        self.auxiliary = nn.Linear(4, 2)
        self.never = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        x = self.body(x).mean((2, 3))
        self.auxiliary(x)  # computed for nothing
        return (self.head(x), self.auxiliary(x)) if self.training else self.head(x)


def test_an_unused_branch_is_left_out_and_named():
    with pytest.warns(UserWarning, match=r"auxiliary\.weight"):
        graph = capture(WithBranch(), (3, 6, 6))
    assert set(graph.weights) == {"body.weight", "body.bias", "head.weight", "head.bias"}
    assert set(unused(WithBranch(), (3, 6, 6))) == {"auxiliary.weight", "auxiliary.bias", "never"}
    assert unused(zoo.create("lenet_5_caffe"), (1, 28, 28)) == []


# --- parametrized weights -----------------------------------------------------------------------------------------


class Halved(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        return weight * self.mask / 2


def test_a_parametrized_weight_is_captured_as_it_acts_under_its_plain_name():
    network = shaken(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 16, 2)))
    mask = (torch.rand(4, 3, 3, 3) > 0.5).float()
    parametrize.register_parametrization(network[0], "weight", Halved(mask))
    parametrize.register_parametrization(network[3], "weight", nn.Tanh())
    before = {name: t.clone() for name, t in network.state_dict().items()}
    kinds = [type(m) for m in network.modules()]
    graph = agree(network, (3, 6, 6), fold=False)
    assert np.array_equal(graph.weights["0.weight"].dense(), network[0].weight.detach().numpy())
    assert np.array_equal(graph.weights["0.weight"].dense() == 0, mask.numpy() == 0)
    assert "3.weight" in graph.weights
    assert not any("parametrizations" in name for name in graph.weights)
    assert [type(m) for m in network.modules()] == kinds
    assert list(network.state_dict()) == list(before)
    assert parametrize.is_parametrized(network[0], "weight")
    network(torch.randn(2, 3, 6, 6)).sum().backward()
    assert network[0].parametrizations.weight.original.grad is not None
    assert unused(network, (3, 6, 6)) == []


def test_a_shared_parametrized_module_is_kept_once():
    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", nn.Tanh())
    assert set(agree(nn.Sequential(layer, nn.ReLU(), layer), (3,)).weights) == {"0.weight", "0.bias"}


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad):
        return grad


def test_a_weight_computed_in_forward_with_a_gradient_of_its_own():
    class Binary(nn.Linear):
        def forward(self, x):
            return F.linear(x, Sign.apply(self.weight) * self.weight.abs().mean(1, keepdim=True), self.bias)

    network = nn.Sequential(Binary(6, 4), nn.ReLU(), nn.Linear(4, 2))
    graph = agree(network, (6,))
    assert len(np.unique(np.abs(graph.weights["0.weight"].dense()[0]))) == 1


def test_weight_norm_of_either_kind():
    agree(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))), (3, 6, 6))


# --- left as it was, refused, answered ----------------------------------------------------------------------------


def test_the_module_is_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU())
    network.train()
    network[1].eval()
    before = [p.clone() for p in network.parameters()], network[1].running_mean.clone()
    capture(network, (3, 6, 6))
    assert [m.training for m in network.modules()] == [True, True, False, True, True]
    assert all(torch.equal(a, b) for a, b in zip(before[0], network.parameters(), strict=True))
    assert torch.equal(before[1], network[1].running_mean)
    assert network[1].num_batches_tracked == 0


def test_the_module_is_left_as_it_was_after_an_error():
    network = nn.Sequential(nn.Linear(4, 4), nn.ELU()).train()
    parametrize.register_parametrization(network[0], "weight", nn.Tanh())
    with pytest.raises(GraphError, match="elu"):
        capture(network, (4,))
    assert network.training
    assert parametrize.is_parametrized(network[0])


class Decides(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x * 2
        return x


def test_an_if_on_data_is_refused_with_its_line():
    with pytest.raises(GraphError, match=r"test_capture\.py:\d+.*numbers inside a tensor") as caught:
        capture(nn.Sequential(nn.Linear(3, 3), Decides()), (3,))
    line = int(str(caught.value).split("test_capture.py:")[1].split(":")[0].split(";")[0])
    source = Path(__file__).read_text().splitlines()
    assert "if x.sum() > 0" in source[line - 1]


class Custom(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).real


def test_a_custom_layer_is_refused_with_its_path_and_line():
    with pytest.raises(GraphError, match=r"^1, test_capture\.py:\d+: operator 'fft_rfft'"):
        capture(nn.Sequential(nn.Linear(8, 8), Custom()), (8,))


def test_code_that_raises_is_explained():
    with pytest.raises(GraphError, match="could not trace"):
        capture(nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 4)), (3,))


def test_mixing_the_images_of_a_batch_is_refused():
    for function in (lambda m, x: x - x.mean(0, keepdim=True), lambda m, x: x.flatten(), lambda m, x: x @ x.t()):
        with pytest.raises(GraphError):
            capture(Function(function), (6,))


def test_many_inputs_and_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Linear(5, 4)

        def forward(self, image, vector):
            image = self.a(image)
            return image * self.b(vector)[:, :, None, None], image.mean((2, 3))

    graph = agree(Two(), (3, 6, 6), (5,))
    assert list(graph.inputs.values()) == [(6, 6, 3), (5,)]
    assert len(graph.outputs) == 2


def test_answers_must_depend_on_the_input():
    with pytest.raises(GraphError, match="does not depend"):
        capture(Function(lambda m, x: (x, m.c), c=torch.ones(2, 3)), (3,))


def test_examples():
    network = nn.Linear(3, 2)
    for example in (torch.zeros(1, 3), np.zeros((7, 3), np.float32), (3,)):
        assert capture(network, example).inputs == {"input": (3,)}
    for bad in ("image.png", 3, torch.zeros(3), []):
        with pytest.raises(ArgumentError, match="example"):
            capture(network, bad)


def test_half_and_double_precision_networks():
    for dtype in (torch.float64, torch.float16):
        network = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).to(dtype)
        graph = capture(network, (4,))
        assert np.array_equal(graph.weights["0.weight"].dense(), network[0].weight.detach().float().numpy())


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        with torch.no_grad():
            y = self.a(x)
        with torch.enable_grad():
            y, z = self.b(y), y * 2
        with torch.autocast("cpu", enabled=False):
            y = self.c(y.relu())
        return y + z


def test_gradient_and_precision_blocks_leave_nothing():
    assert sorted(ops(agree(Blocks(), (4,)))) == ["add", "linear", "linear", "linear", "relu", "scale_shift"]


def test_wrappers_leave_no_prefix():
    network = nn.Sequential(nn.Linear(3, 3))
    for wrapped in (torch.compile(network), nn.DataParallel(network), torch.compile(nn.DataParallel(network))):
        assert set(capture(wrapped, (3,)).weights) == {"0.weight", "0.bias"}


def test_buffers_a_network_counts_in_are_not_touched():
    class Counts(nn.Linear):
        def __init__(self):
            super().__init__(3, 3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return super().forward(x)

    network = Counts()
    assert ops(capture(network, (3,))) == ["linear"]
    assert network.calls == 0


def test_answers_in_a_dictionary():
    graph = capture(Function(lambda m, x: {"a": x * 2, "b": x.relu()}), (3,))
    assert [next(n.op for n in graph.nodes if n.name == o) for o in graph.outputs] == ["scale_shift", "relu"]


# --- and back -----------------------------------------------------------------------------------------------------


def test_a_rebuilt_network_has_the_weights_by_name_and_trains():
    network = shaken(nn.Sequential(Residual(3), nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    graph = capture(network, (3, 6, 6))
    again = rebuild(graph)
    assert set(again.state_dict()) == set(graph.weights)
    x, y = torch.randn(4, 3, 6, 6), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.SGD(again.parameters(), 0.1)
    losses = []
    for _ in range(5):
        loss = F.cross_entropy(again(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(p.grad is not None for p in again.parameters())


def test_a_rebuilt_network_is_captured_as_the_same_graph():
    network = shaken(nn.Sequential(Residual(3), nn.Conv2d(3, 5, 3, 2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5, 2)))
    graph = capture(network, (3, 7, 7))
    second = capture(rebuild(graph), (3, 7, 7))
    assert ops(second) == ops(graph)
    assert second.weights.keys() == graph.weights.keys()
    assert all(np.array_equal(second.weights[k].dense(), graph.weights[k].dense()) for k in graph.weights)
