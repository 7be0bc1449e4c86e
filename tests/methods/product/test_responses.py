"""Codebooks and codes for a layer's answers, against dense systems and against trying everything."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from paring import methods
from paring.errors import ArgumentError
from paring.graph import Node
from paring.methods.product._responses import ResponseProblem, fit_codebooks, fit_codes, reassign


def naive_dense(codebooks, codes):
    """The weight element by element, as docs/reference/format.md defines it."""
    stages, spaces, _, length = codebooks.shape
    out, places = codes.shape[1], codes.shape[3:]
    dense = np.empty((out, spaces * length, *places), np.float32)
    for o, m, t in itertools.product(range(out), range(spaces), range(length)):
        for p in np.ndindex(*places):
            total = codebooks[0, m, codes[(0, o, m, *p)], t]
            for r in range(1, stages):
                total = np.float32(total + codebooks[r, m, codes[(r, o, m, *p)], t])
            dense[(o, m * length + t, *p)] = total
    return dense


def problem(groups=1, ridge=0.3, seed=0):
    """Eight outputs, two sub-spaces of length 2, three places, on inputs that are not alike."""
    rng = np.random.default_rng(seed)
    weight, a, y = (torch.from_numpy(rng.normal(size=shape)) for shape in [(8, 12), (groups, 12, 30), (8, 30)])
    a[:, :4] *= 3
    weight, y = weight.view(groups, -1, 12), y.view(groups, -1, 30)
    return ResponseProblem(weight, a, y, torch.full((groups, 1, 1), ridge, dtype=torch.float64))


def loss(p, w):
    """|Y - W A|^2 + ridge |W - W0|^2."""
    return float(((p.y - w @ p.a) ** 2).sum() + (p.ridge * (w - p.weight) ** 2).sum())


def objective(p, codebooks, codes):
    """The loss of a weight that is built element by element."""
    dense = naive_dense(codebooks.numpy(), codes.numpy()).astype(np.float64)
    return loss(p, torch.from_numpy(dense).reshape(p.weight.shape))


def random_codes(stages=1, k=4, seed=0):
    rng = np.random.default_rng(seed)
    return (
        torch.from_numpy(rng.normal(size=(stages, 2, k, 2))),
        torch.from_numpy(rng.integers(0, k, (stages, 8, 2, 3))),
    )


@pytest.mark.parametrize(("groups", "stages"), [(1, 1), (2, 1), (1, 2), (8, 2)])
def test_codebooks_are_the_least_squares_solution(groups, stages):
    p, (books, codes) = problem(groups), random_codes(stages)
    found = fit_codebooks(p, books, codes, steps=200)
    # the judge: the dense linear system, a column for every number of the codebooks
    size, columns = books.numel(), []
    for number in range(size):
        unit = np.zeros(size)
        unit[number] = 1
        w = torch.from_numpy(naive_dense(unit.reshape(books.shape), codes.numpy()).astype(np.float64))
        w = w.reshape(p.weight.shape)
        columns.append(torch.cat([(w @ p.a).reshape(-1), (p.ridge.sqrt() * w).reshape(-1)]))
    target = torch.cat([p.y.reshape(-1), (p.ridge.sqrt() * p.weight).reshape(-1)])
    best = np.linalg.lstsq(torch.stack(columns, 1).numpy(), target.numpy(), rcond=None)[0]
    least = objective(p, torch.from_numpy(best).reshape(books.shape), codes)
    assert objective(p, found, codes) == pytest.approx(least, rel=1e-5)
    assert least < objective(p, books, codes)


@pytest.mark.parametrize(("groups", "stages"), [(1, 1), (4, 2)])
def test_no_single_code_can_be_improved(groups, stages):
    p, (books, codes) = problem(groups), random_codes(stages)
    before, changed = objective(p, books, codes), 1
    while changed:
        codes, changed = reassign(p, books, codes)
        now = objective(p, books, codes)
        assert now <= before + 1e-6
        before = now
    for where in np.ndindex(*codes.shape):
        for k in range(books.shape[2]):
            other = codes.clone()
            other[where] = k
            assert objective(p, books, other) >= before * (1 - 1e-4)


def test_moments_and_inputs_are_the_same_problem():
    torch.manual_seed(0)
    layer, x = nn.Conv2d(4, 6, 3, padding=1, groups=2), torch.randn(9, 4, 5, 5)
    y = layer(x + 0.1) - layer.bias.view(1, -1, 1, 1)
    attrs = {"groups": 2, "padding": (1, 1, 1, 1), "stride": (1, 1), "dilation": (1, 1)}
    moments = methods._least_squares.LeastSquares.of(Node("conv", "conv2d", (), attrs), layer.weight)
    moments.add(Node("conv", "conv2d", (), attrs), x, y.detach())
    short = ResponseProblem.of_moments(moments, damping=0.2)
    columns = nn.functional.unfold(x, 3, padding=1).unflatten(1, (2, 18)).permute(1, 2, 0, 3).flatten(2)
    answers = y.detach().unflatten(1, (2, 3)).permute(1, 2, 0, 3, 4).flatten(2)
    whole = ResponseProblem.of_inputs(short.weight, columns, answers, damping=0.2)
    assert short.a.shape[2] < whole.a.shape[2]
    one, other = (torch.randn_like(short.weight) for _ in range(2))
    # they differ by a constant alone
    assert loss(short, one) - loss(short, other) == pytest.approx(loss(whole, one) - loss(whole, other), rel=1e-3)
    free = one.clone().requires_grad_()
    ((whole.y - free @ whole.a).square().sum() + (whole.ridge * (free - whole.weight).square()).sum()).backward()
    for p in (short, whole):
        torch.testing.assert_close(-2 * p.pull(one), free.grad, rtol=1e-3, atol=1e-2)
        step = p.pull(one) - p.pull(one + other)
        torch.testing.assert_close(p.curvature(other), step, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("bits", [32, 16])
def test_turns_never_raise_the_objective(bits):
    p, (books, codes) = problem(2), random_codes(2)
    objectives = [objective(p, books, codes)]
    for rounds in range(4):
        found = fit_codes(p, books, codes, rounds=rounds, bits=bits)
        objectives.append(objective(p, *found))
        assert bits == 32 or found[0].equal(found[0].half().double())
        assert found[1].dtype == torch.int32
    slack = 1e-6 if bits == 32 else 1e-2
    assert all(now <= before * (1 + slack) for before, now in itertools.pairwise(objectives))
    assert objectives[-1] < 0.6 * objectives[0]


def test_inputs_that_are_few_and_alike():
    torch.manual_seed(0)
    weight, x = torch.randn(6, 300), 100 * torch.randn(1, 300) + torch.randn(3, 300)
    moments = methods._least_squares.LeastSquares.of(Node("fc", "linear", ()), weight)
    moments.add(Node("fc", "linear", ()), x, x @ weight.t())
    p = ResponseProblem.of_moments(moments)
    assert p.a.isfinite().all()
    torch.testing.assert_close(p.a @ p.a.transpose(1, 2), moments.h, rtol=1e-3, atol=1e-3 * float(moments.h.max()))
    x[0, 0] = torch.inf
    moments.add(Node("fc", "linear", ()), x, x @ weight.t())
    with pytest.raises(ArgumentError, match="not finite"):
        ResponseProblem.of_moments(moments)
