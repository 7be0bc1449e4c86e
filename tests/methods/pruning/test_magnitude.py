import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

from paring import methods, parametrize
from paring.errors import ArgumentError
from paring.forms import Sparse

WEIGHTS = arrays(np.float32, array_shapes(max_dims=4, max_side=6), elements=st.integers(-4, 4).map(float))


def naive_mask(weight, count):
    """Sort by magnitude, first come first served."""
    order = sorted(range(weight.size), key=lambda i: (-abs(float(weight.flat[i])), i))
    mask = np.zeros(weight.size, bool)
    mask[order[:count]] = True
    return mask.reshape(weight.shape)


@given(WEIGHTS, st.floats(0, 1))
def test_magnitude_mask_keeps_the_largest(weight, keep):
    np.testing.assert_array_equal(
        methods.pruning.magnitude_mask(weight, keep), naive_mask(weight, round(keep * weight.size))
    )


@given(WEIGHTS, st.floats(0, 3))
def test_quality_mask_is_the_papers_threshold(weight, quality):
    alive = [float(w) for w in weight.flat if w != 0]
    mean = sum(alive) / len(alive) if alive else 0
    std = (sum((w - mean) ** 2 for w in alive) / len(alive)) ** 0.5 if alive else 0
    mask = methods.pruning.quality_mask(weight, quality)
    for w, kept in zip(weight.flat, mask.flat, strict=True):
        assert kept == (abs(w) > quality * std) or abs(abs(w) - quality * std) < 1e-9


def test_global_masks_are_one_threshold():
    rng = np.random.default_rng(0)
    weights = {"a": rng.normal(size=(5, 7)), "b": 3 * rng.normal(size=(2, 3, 2)), "c": rng.normal(size=4)}
    masks = methods.pruning.global_masks(weights, 0.25)
    kept = np.concatenate([np.abs(weights[n][masks[n]]) for n in weights])
    dropped = np.concatenate([np.abs(weights[n][~masks[n]]) for n in weights])
    assert len(kept) == round(0.25 * (35 + 12 + 4))
    assert kept.min() > dropped.max()
    assert {n: m.shape for n, m in masks.items()} == {n: w.shape for n, w in weights.items()}


def test_cubic_is_equation_1():
    # s_t = s_f + (s_i - s_f) (1 - t)^3 with sparsities s_i = 0, s_f = 0.9 at t = 0, 1/2, 1
    assert [methods.pruning.cubic(1.0, 0.1, t) for t in (0, 0.5, 1)] == [
        1.0,
        pytest.approx(1 - 0.7875),
        pytest.approx(0.1),
    ]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(6, 5),
        nn.Conv1d(4, 6, 3, groups=2),
        nn.Conv2d(4, 6, 3),
        nn.Conv2d(4, 8, 3, groups=2),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last),
    ],
)
def test_every_kind_of_layer(layer):
    torch.manual_seed(0)
    net = nn.Sequential(layer)
    before = layer.weight.detach().clone()
    count = round(0.3 * before.numel())
    assert methods.prune(net, {"0": 0.3}).removed == before.numel() - count
    form = parametrize.forms(net)["0.weight"]
    assert isinstance(form, Sparse)
    assert form.nonzeros == count
    np.testing.assert_array_equal(form.dense(), layer.weight.detach().numpy())
    np.testing.assert_array_equal(form.dense(), before.numpy() * naive_mask(before.numpy(), count))


def test_mask_survives_training_and_is_iterated():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    x, y = torch.randn(64, 8), torch.randint(0, 3, (64,))
    gone = torch.zeros(16, 8, dtype=torch.bool)
    for keep in (0.7, 0.4, 0.2):
        methods.prune(net, {"*": keep})
        optimizer = torch.optim.Adam(net.parameters(), 0.01, weight_decay=0.01)
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        zero = net[0].weight.detach() == 0
        assert int((~zero).sum()) == round(keep * zero.numel())
        assert not (gone & ~zero).any(), "a pruned weight came back"
        gone = zero


def test_gradient_is_autograds_through_the_mask():
    torch.manual_seed(0)
    net = nn.Linear(7, 4)
    x = torch.randn(9, 7)
    methods.prune(net, {"weight": 0.5})
    net(x).square().sum().backward()
    mask = net.parametrizations.weight[0].mask
    plain = (net.parametrizations.weight.original.detach() * mask).requires_grad_()
    nn.functional.linear(x, plain, net.bias.detach()).square().sum().backward()
    assert torch.equal(net.parametrizations.weight.original.grad, plain.grad * mask)


def test_half_precision_survivors_are_what_is_stored():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5))
    methods.prune(net, {"0": 0.5}, bits=16)
    form = parametrize.forms(net)["0.weight"]
    assert form.bits == 16
    np.testing.assert_array_equal(form.dense(), net[0].weight.detach().numpy())


def test_biases_by_full_name():
    net = nn.Sequential(nn.Linear(6, 5))
    nn.init.ones_(net[0].bias)
    methods.prune(net, {"*.bias": 0.0})
    assert not net[0].bias.any()
    assert net[0].weight.all()


@pytest.mark.parametrize("keep", [-0.2, 1.2, float("nan")])
def test_a_fraction_that_cannot_be(keep):
    with pytest.raises(ArgumentError, match=r"keep"):
        methods.prune(nn.Sequential(nn.Linear(2, 2)), {"0": keep})
    with pytest.raises(ArgumentError):
        methods.pruning.quality_mask(np.ones(3), -1.0)


def test_diverged_weights_are_refused():
    with pytest.raises(ArgumentError, match="not a number"):
        methods.pruning.magnitude_mask(np.array([1.0, np.nan]), 0.5)


def test_pruning_after_sharing_is_refused():
    net = nn.Sequential(nn.Linear(4, 4))
    methods.share(net, {"0": 2})
    with pytest.raises(ArgumentError, match="already shared"):
        methods.prune(net, {"0": 0.5})
