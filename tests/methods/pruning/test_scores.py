"""Scores other than magnitude, N:M, movement and the gradual schedule, against loops and plain autograd."""

import copy
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn
from torch.nn import functional as F

from paring import methods, parametrize
from paring.errors import ArgumentError
from paring.training.input import Batches
from paring.training.loop import Position, fit
from paring.training.optim import optimizer

LAYERS = {
    "plain": lambda: nn.Conv2d(4, 6, 3, padding=1),
    "grouped": lambda: nn.Conv2d(8, 6, 3, padding=1, groups=2),
    "depthwise": lambda: nn.Conv2d(6, 6, 3, padding=1, groups=6),
    "dilated": lambda: nn.Conv2d(4, 6, 3, padding=2, dilation=2),
    "1x1": lambda: nn.Conv2d(4, 6, 1),
    "fc": lambda: nn.Linear(8, 6),
}


def layer(name):
    torch.manual_seed(0)
    module = nn.Sequential(LAYERS[name]())
    shape = (8,) if name == "fc" else (module[0].in_channels, 5, 5)
    return module, [torch.randn(4, *shape) for _ in range(3)]


def loss(network, batch):
    return network(batch).sin().square().sum()


@given(
    arrays(np.float64, array_shapes(max_dims=3, max_side=5), elements=st.integers(-3, 3).map(float)), st.floats(0, 1)
)
def test_score_mask_keeps_the_largest_with_their_sign(score, keep):
    order = sorted(range(score.size), key=lambda i: (-score.flat[i], i))[: round(keep * score.size)]
    expected = np.zeros(score.size, bool)
    expected[order] = True
    np.testing.assert_array_equal(methods.pruning.score_mask(score, keep), expected.reshape(score.shape))


@pytest.mark.parametrize("name", LAYERS)
def test_taylor_is_the_squared_change_of_the_loss_to_first_order(name):
    module, batches = layer(name)
    got = methods.pruning.taylor_scores(module, loss, batches)["0.weight"]
    weight, place = module[0].weight, tuple(s // 2 for s in module[0].weight.shape)
    squares = []
    for batch in batches:  # a central difference of the loss by the relative size of one weight
        ends = []
        for step in (1e-3, -1e-3):
            moved = copy.deepcopy(module).double()
            with torch.no_grad():
                moved[0].weight[place] *= 1 + step
            ends.append(float(loss(moved, batch.double()).detach()))
        squares.append(((ends[0] - ends[1]) / 2e-3) ** 2)
    assert got.shape == tuple(weight.shape)
    assert got[place] == pytest.approx(np.mean(squares), rel=1e-3)


@pytest.mark.parametrize("name", LAYERS)
def test_scores_compose_with_masks(name):
    module, batches = layer(name)
    size = module[0].weight.numel()
    methods.prune(module, {"0": 0.75})
    scores = methods.pruning.taylor_scores(module, loss, batches, squared=False)
    assert not scores["0.weight"][module[0].weight.detach().numpy() == 0].any()
    methods.pruning.prune_by_scores(module, scores, 0.5)
    assert int(module[0].weight.count_nonzero()) == round(0.5 * size)
    best = np.sort(scores["0.weight"].ravel())[::-1][: round(0.5 * size)]
    kept = scores["0.weight"][module[0].weight.detach().numpy() != 0]
    np.testing.assert_array_equal(np.sort(kept)[::-1], best)
    np.testing.assert_array_equal(parametrize.forms(module)["0.weight"].dense(), module[0].weight.detach().numpy())


def test_one_threshold_for_all_scores():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    scores = {f"{i}.weight": np.random.default_rng(i).normal(size=module[i].weight.shape) for i in (0, 1)}
    methods.pruning.prune_by_scores(module, scores, 0.3, together=True)
    kept = np.concatenate([scores[n][parametrize.forms(module)[n].dense() != 0] for n in scores])
    assert len(kept) == round(0.3 * 50)
    assert kept.min() >= np.sort(np.concatenate([s.ravel() for s in scores.values()]))[-15]


def best_blocks(score, n, m):
    """Every choice of every block tried."""
    mask = np.zeros(score.shape, bool)
    for o in range(score.shape[0]):
        for tap in np.ndindex(score.shape[2:]):
            for start in range(0, score.shape[1], m):
                block = range(start, min(start + m, score.shape[1]))
                choice = max(combinations(block, min(n, len(block))), key=lambda c: sum(score[(o, i, *tap)] for i in c))
                for i in choice:
                    mask[(o, i, *tap)] = True
    return mask


@pytest.mark.parametrize(("n", "m", "width"), [(2, 4, 8), (1, 4, 8), (2, 4, 7), (3, 8, 9), (1, 2, 1)])
def test_n_m_is_the_best_of_every_block(n, m, width):
    score = np.random.default_rng(0).random((3, width, 2, 2))
    np.testing.assert_array_equal(methods.pruning.n_m_mask(score, n, m, tail="pad"), best_blocks(score, n, m))
    if width % m:
        with pytest.raises(ArgumentError, match="no multiple"):
            methods.pruning.n_m_mask(score, n, m)


@pytest.mark.parametrize("name", ["plain", "grouped", "dilated", "1x1", "fc"])
def test_two_of_four_in_every_kind_of_layer(name):
    module, batches = layer(name)
    scores = methods.pruning.taylor_scores(module, loss, batches)
    expected = best_blocks(scores["0.weight"], 2, 4)
    methods.prune_n_m(module, {"0": "2:4"}, scores=scores)
    np.testing.assert_array_equal(module[0].weight.detach().numpy() != 0, expected)
    assert expected.mean() == 0.5


def test_n_m_refuses_before_it_changes_anything():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv2d(6, 6, 3, groups=6))
    with pytest.raises(ArgumentError, match=r"1\.weight.*no multiple of 4.*found 1"):
        methods.prune_n_m(module, {"*": "2:4"})
    assert module[0].weight.all()
    assert methods.prune_n_m(module, {"*": "2:4"}, tail="pad").removed == module[0].weight.numel() // 2
    for bad in ("4:2", "two", "0:4", "2"):
        with pytest.raises(ArgumentError, match="invalid N:M"):
            methods.prune_n_m(module, {"*": bad})


def forward(plain, x, weight, bias):
    return F.linear(x, weight, bias) if isinstance(plain, nn.Linear) else plain._conv_forward(x, weight, bias)


@pytest.mark.parametrize("name", LAYERS)
def test_movement_accumulates_minus_weight_times_gradient(name):
    module, batches = layer(name)
    plain, batches = copy.deepcopy(module[0]).double(), [batch.double() for batch in batches]
    methods.prune_movement(module, {"0": 1.0})
    module.double()
    scores = torch.zeros_like(plain.weight)
    sgd = torch.optim.SGD(module.parameters(), 0.1)
    for keep, batch in zip((1.0, 0.7, 0.4), batches, strict=True):
        methods.prune_movement(module, {"0": keep})
        count = round(keep * scores.numel())
        mask = torch.zeros(scores.numel(), dtype=torch.bool)
        mask[torch.sort(scores.detach().flatten(), descending=True, stable=True).indices[:count]] = True
        mask = mask.view_as(scores)
        assert torch.equal(module[0].weight != 0, mask & (plain.weight != 0))
        effective = (plain.weight.detach() * mask).requires_grad_()
        bias = plain.bias.detach().clone().requires_grad_()
        loss(lambda x, w=effective, b=bias: forward(plain, x, w, b), batch).backward()
        sgd.zero_grad()
        loss(module, batch).backward()
        sgd.step()
        with torch.no_grad():
            scores -= 0.1 * effective.grad * plain.weight
            plain.weight -= 0.1 * effective.grad * mask
            plain.bias -= 0.1 * bias.grad
        torch.testing.assert_close(module[0].parametrizations.weight[0].scores, scores)
        torch.testing.assert_close(module[0].parametrizations.weight.original, plain.weight)


def test_movement_survives_a_checkpoint_and_settles_into_a_mask():
    module, batches = layer("grouped")
    methods.prune_movement(module, {"0": 0.5})
    sgd = torch.optim.SGD(module.parameters(), 0.1)
    for batch in batches:
        sgd.zero_grad()
        loss(module, batch).backward()
        sgd.step()
    other = nn.Sequential(LAYERS["grouped"]())
    parametrize.rebuild(other, parametrize.describe(module))
    other.load_state_dict(module.state_dict())
    assert torch.equal(other[0].weight, module[0].weight)
    form, weight = parametrize.forms(module)["0.weight"], module[0].weight.detach().clone()
    np.testing.assert_array_equal(form.dense(), weight.numpy())
    assert methods.pruning.settle_movement(module) == ["0.weight"]
    assert parametrize.forms(module)["0.weight"].kind == "sparse"
    assert torch.equal(module[0].weight, weight)


def test_soft_movement_is_a_threshold_with_a_penalty():
    module, _ = layer("fc")
    methods.prune_movement(module, threshold={"0": 0.1})
    form = module[0].parametrizations.weight[0]
    with torch.no_grad():
        form.scores.copy_(torch.linspace(-1, 1, form.scores.numel()).view_as(form.scores))
    assert torch.equal(module[0].weight != 0, form.scores > 0.1)
    penalty = methods.pruning.movement_penalty(module)
    assert float(penalty.detach()) == pytest.approx(0.5)
    penalty.backward()
    s = 1 / (1 + np.exp(-form.scores.detach().numpy().astype(np.float64)))
    np.testing.assert_allclose(form.scores.grad.numpy(), s * (1 - s) / s.size, rtol=1e-5)


def test_movement_refuses_what_has_a_form():
    module, _ = layer("fc")
    methods.prune(module, {"0": 0.5})
    with pytest.raises(ArgumentError, match="already pruned"):
        methods.prune_movement(module, {"0": 0.5})
    with pytest.raises(ArgumentError, match="no weight has scores"):
        methods.pruning.movement_penalty(module)


def test_gradual_pruning_follows_equation_1_and_resumes():
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (64, 4, 4, 1), np.uint8), random.integers(0, 3, 64)
    batches = Batches(images, labels, size=16, seed=1)

    def make():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 3))
        return net, methods.pruning.Gradual(net, {"1": 0.1, "3": 0.5}, begin=2, end=8, every=2)

    net, driver = make()
    kept = []

    def watched(step):
        driver(step)
        kept.append(int(net[1].weight.count_nonzero()))

    fit(net, batches, optimizer(net.parameters()), epochs=3, before_step=watched, progress=False)
    # s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3 with s_i = 0, s_f = 0.9: t_0 = 2, n dt = 6
    at = {t: round((1 - (0.9 - 0.9 * (1 - (t - 2) / 6) ** 3)) * 320) for t in (2, 4, 6, 8)}
    expected = [320, 320, *[at[t] for t in (2, 2, 4, 4, 6, 6)], *[at[8]] * 4]
    assert kept == expected
    assert int(net[3].weight.count_nonzero()) == 30

    other, driver = make()
    position = Position()
    fit(
        other,
        batches,
        optimizer(other.parameters(), momentum=0.0),
        epochs=1,
        before_step=driver,
        position=position,
        progress=False,
    )
    state = copy.deepcopy(other.state_dict())
    fresh, driver = make()
    fresh.load_state_dict(state)
    fit(
        fresh,
        batches,
        optimizer(fresh.parameters(), momentum=0.0),
        epochs=3,
        before_step=driver,
        position=position,
        progress=False,
    )
    straight, driver = make()
    fit(straight, batches, optimizer(straight.parameters(), momentum=0.0), epochs=3, before_step=driver, progress=False)
    assert torch.equal(fresh[1].weight, straight[1].weight)


def test_gradual_pruning_by_movement_and_by_scores():
    module, _ = layer("plain")
    methods.prune_movement(module, {"0": 1.0})
    driver = methods.pruning.Gradual(module, {"0": 0.25}, end=4)
    for step in range(5):
        driver(step)
    assert int(module[0].weight.count_nonzero()) == round(0.25 * module[0].weight.numel())
    module, _ = layer("plain")
    order = np.arange(module[0].weight.numel(), dtype=float).reshape(module[0].weight.shape)
    driver = methods.pruning.Gradual(module, {"0": 0.5}, end=1, scores=lambda network: {"0.weight": order})
    driver(1)
    np.testing.assert_array_equal(module[0].weight.detach().numpy() != 0, order >= order.size / 2)
    with pytest.raises(ArgumentError, match="begin < end"):
        methods.pruning.Gradual(module, {"0": 0.5}, begin=3, end=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: methods.pruning.prune_by_scores(m, {"1.weight": np.ones(2)}, 0.5), "no such parameter"),
        (lambda m: methods.pruning.prune_by_scores(m, {"0.weight": np.ones(2)}, 0.5), "does not fit"),
        (lambda m: methods.pruning.prune_by_scores(m, {"0.weight": np.full((6, 8), np.nan)}, 0.5), "not a number"),
        (lambda m: methods.pruning.prune_by_scores(m, {"0.weight": np.ones((6, 8))}, {"0": 1.5}), "invalid fraction"),
        (
            lambda m: methods.pruning.prune_by_scores(m, {"0.weight": np.ones((6, 8))}, {"0": 0.5}, together=True),
            "one fraction",
        ),
        (lambda m: methods.pruning.taylor_scores(m, loss, []), "no batch"),
    ],
)
def test_bad_arguments(call, message):
    module, _ = layer("fc")
    with pytest.raises(ArgumentError, match=message):
        call(module)
