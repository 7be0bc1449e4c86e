import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn
from torch.nn import functional as F

from paring import methods, parametrize
from paring.distillation import specialists
from paring.distillation.specialists._network import _RIDGE, dustbin_row
from paring.errors import ArgumentError


class Parts(nn.Module):
    """The head is neither the last layer made nor called ``fc``; an unused layer follows it."""

    def __init__(self, classes=6):
        super().__init__()
        self.answer = nn.Linear(8, classes)
        self.trunk = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.spare = nn.Linear(classes, classes)

    def forward(self, x):
        return self.answer(self.trunk(x).flatten(1))


class Squeezing(nn.Module):
    """Ends like SqueezeNet: 1x1 convolution, ReLU, mean over the map."""

    def __init__(self, classes=6):
        super().__init__()
        self.features = nn.Conv2d(1, 8, 3)
        self.classifier = nn.Sequential(nn.Conv2d(8, classes, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x):
        return self.classifier(self.features(x).relu()).flatten(1)


def images(count=40):
    return torch.randn(count, 1, 7, 7, generator=torch.Generator().manual_seed(5))


def made(kind, seed=0):
    torch.manual_seed(seed)
    return kind().eval()


@pytest.mark.parametrize(("kind", "path"), [(Parts, "answer"), (Squeezing, "classifier.0")])
def test_the_head_is_the_layer_that_answers(kind, path):
    assert specialists.classifier_head(made(kind), images()) == path


@pytest.mark.parametrize("kind", [Parts, Squeezing])
def test_a_specialist_begins_as_the_generalist(kind):
    network, x = made(kind), images()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    found = specialists.specialize(network, (4, 1), x)
    with torch.no_grad():
        wanted, got = network(x), found(x)
    assert got.shape == (40, 3)
    torch.testing.assert_close(got[:, :2], wanted[:, [4, 1]])
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    assert not any(a is b for a in network.parameters() for b in found.parameters())
    got.requires_grad_()
    loss = F.cross_entropy(found(x), torch.zeros(40, dtype=torch.int64))
    loss.backward()
    assert all(p.grad is not None for name, p in found.named_parameters() if "spare" not in name)


def test_the_fitted_dustbin_is_scipys_logistic_regression():
    torch.manual_seed(1)
    weight, bias, h = torch.randn(7, 4).double(), torch.randn(7).double(), torch.randn(200, 4).double()
    inside, outside = [0, 3], [1, 2, 4, 5, 6]
    logits = (h @ weight.T + bias).numpy()
    mass = np.exp(logits[:, outside]).sum(1) / np.exp(logits).sum(1)
    threshold = np.log(np.exp(logits[:, inside]).sum(1))
    start = np.append(weight[outside].mean(0), bias[outside].mean() + np.log(5))

    def cost(w):
        p = 1 / (1 + np.exp(threshold - h.numpy() @ w[:-1] - w[-1]))
        cross = -(mass * np.log(p) + (1 - mass) * np.log(1 - p)).mean()
        return cross + _RIDGE / 2 * ((w - start) ** 2).sum()

    row, offset = dustbin_row(weight, bias, inside, h)
    wanted = minimize(cost, start, method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(np.append(row.numpy(), offset), wanted.x, atol=1e-4)
    assert cost(np.append(row.numpy(), offset)) < cost(start)


def test_without_features_the_dustbin_is_the_gibbs_bound():
    torch.manual_seed(2)
    weight, bias = torch.randn(5, 3), torch.randn(5)
    row, offset = dustbin_row(weight, bias, [1])
    h = torch.randn(100, 3)
    exact = (h @ weight.T + bias)[:, [0, 2, 3, 4]].logsumexp(1)
    assert bool((h @ row + offset <= exact + 1e-5).all())
    equal, b = dustbin_row(torch.ones(5, 3), torch.zeros(5), [1])  # equal logits attain it
    torch.testing.assert_close(h @ equal + b, h.sum(1) + np.log(4), check_dtype=False)


def test_a_pruned_generalist_keeps_its_zeros_in_front_of_the_head():
    network = made(Parts)
    methods.prune(network, {"*": 0.5})
    found = specialists.specialize(network, (0, 1, 2), images())
    assert parametrize.describe(found).keys() == {"trunk.0.weight", "spare.weight"}
    assert torch.equal(found.trunk[0].weight == 0, network.trunk[0].weight == 0)
    assert torch.equal(found.answer.weight[:3], network.answer.weight[:3])


class Softmaxed(Parts):
    def forward(self, x):
        return super().forward(x).softmax(1)


class Fixed(Parts):
    def forward(self, x):
        return super().forward(x).view(-1, 6)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Softmaxed(), "mixes its classes"),
        (Fixed(), "another number of classes"),
        (nn.Sequential(nn.Flatten(), nn.Linear(49, 3), nn.Flatten(), nn.ZeroPad1d((0, 3))), "no last layer"),
        (nn.Sequential(nn.Conv2d(1, 6, 7), nn.Flatten()), "no last layer"),
        (nn.Sequential(nn.Conv2d(1, 6, 1)), "one row of logits"),
    ],
)
def test_networks_that_cannot_be_recut(network, words):
    with pytest.raises(ArgumentError, match=words):
        specialists.specialize(network.eval(), (0, 1), images(41))


@pytest.mark.parametrize("classes", [(), (1, 1), (0, 6), (-1,), range(6)])
def test_classes_that_cannot_be(classes):
    with pytest.raises(ArgumentError, match="classes"):
        specialists.specialize(made(Parts), classes, images())
