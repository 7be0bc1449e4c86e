"""GPTQ and AdaRound on tiny layers: brute force over all codes and exact re-solving are the judges."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from paring.graph import Node
from paring.methods._least_squares import LeastSquares
from paring.methods.integer import adaround, gptq
from paring.methods.integer._gptq import _feed_back, descend


def conv_node(**attrs):
    plain = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}
    return Node("conv", "conv2d", ("x",), {**plain, **attrs}, {"weight": "w"})


LAYERS = {
    "plain": ((4, 3, 3, 3), (6, 3, 7, 8), {"stride": (2, 1), "padding": (1, 1, 1, 1)}),
    "grouped": ((6, 2, 3, 3), (6, 4, 7, 8), {"groups": 2, "padding": (1, 0, 2, 1)}),
    "depthwise": ((4, 1, 3, 3), (6, 4, 7, 8), {"groups": 4, "dilation": (2, 2)}),
    "pointwise": ((5, 4, 1, 1), (6, 4, 7, 8), {"stride": (2, 2)}),
}


def problem_of(kind, seed=0):
    rng = torch.Generator().manual_seed(seed)
    if kind == "linear":
        node = Node("fc", "linear", ("x",), {}, {"weight": "w"})
        weight, x = torch.randn(5, 7, generator=rng), torch.randn(40, 7, generator=rng)

        def run(w):
            return F.linear(x, w)
    else:
        shape, size, attrs = LAYERS[kind]
        node = conv_node(**attrs)
        weight, x = torch.randn(shape, generator=rng), torch.randn(size, generator=rng).cumsum(3)
        a = node.attrs
        top, bottom, left, right = a["padding"]

        def run(w):
            return F.conv2d(F.pad(x, (left, right, top, bottom)), w, None, a["stride"], 0, a["dilation"], a["groups"])

    problem = LeastSquares.of(node, weight)
    wanted = run(weight) + 0.1 * torch.randn(run(weight).shape, generator=rng)
    problem.add(node, x, wanted)
    return problem, weight, run, wanted


@pytest.mark.parametrize("kind", [*LAYERS, "linear"])
def test_second_moments_give_the_layers_error(kind):
    problem, weight, run, wanted = problem_of(kind)
    for seed in range(3):
        other = weight + 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        direct = (run(other) - wanted).square().sum() - wanted.square().sum()
        found = problem.loss(other.reshape(problem.weight.shape)) * problem.count
        torch.testing.assert_close(found, direct, rtol=1e-4, atol=1e-2)


def quadratic(h, c, w):
    return float((w @ h @ w) - 2 * (w @ c))


def tiny(seed, columns=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(columns, 30)) @ np.diag(rng.uniform(0.2, 2, 30)) + rng.normal(size=30)
    h, w = x @ x.T, rng.normal(size=columns)
    return torch.tensor(h)[None].float(), torch.tensor(h @ w)[None, None].float(), torch.tensor(w)[None, None].float()


@pytest.mark.parametrize("seed", range(6))
def test_gptq_is_near_the_best_of_all_codes_and_no_single_move_improves_it(seed):
    h, c, w = tiny(seed)
    problem = LeastSquares(w, None, h, c, 10**9)
    scale, most = torch.full((1, 1), 0.4), 3
    codes = gptq(problem, scale, most, damping=0.0, sweeps=20)[0, 0].double().numpy()
    exact_h, exact_c = h[0].double().numpy(), c[0, 0].double().numpy()
    losses = {
        k: quadratic(exact_h, exact_c, 0.4 * np.array(k)) for k in itertools.product(range(-most, most + 1), repeat=4)
    }
    best = min(losses.values())
    floor = quadratic(exact_h, exact_c, np.linalg.solve(exact_h, exact_c))
    nearest = losses[tuple(np.clip(np.rint(w[0, 0].numpy() / 0.4), -most, most).astype(int).tolist())]
    found = losses[tuple(codes.astype(int).tolist())]
    assert found - floor <= 2.5 * (best - floor) + 1e-6
    assert found <= nearest + 1e-6
    for j, step in itertools.product(range(4), (-1, 1)):
        moved = codes.copy()
        moved[j] += step
        if abs(moved[j]) <= most:
            assert losses[tuple(moved.astype(int).tolist())] >= found - 1e-3


@pytest.mark.parametrize("columns", [5, 150])
def test_feeding_back_is_solving_for_the_rest_again(columns):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(columns, 3 * columns)) + rng.normal(size=3 * columns)
    h, weight, scale, most = x @ x.T, rng.normal(size=columns), 0.3, 7
    # the judge: round the first column that is left, then solve the normal equations for all behind it
    target, current, codes = weight.copy(), weight.copy(), np.zeros(columns)
    for j in range(columns):
        codes[j] = np.clip(np.rint(current[j] / scale), -most, most)
        current[j] = codes[j] * scale
        if j + 1 < columns:
            rest, fixed = slice(j + 1, None), slice(0, j + 1)
            wanted = h[rest] @ target - h[rest, fixed] @ current[fixed]
            current[rest] = np.linalg.solve(h[rest, rest], wanted)
    upper = torch.linalg.cholesky(torch.tensor(np.linalg.inv(h)), upper=True)[None]
    found = _feed_back(torch.tensor(weight)[None, None], upper, torch.full((1, 1), scale, dtype=torch.float64), most)
    np.testing.assert_array_equal(found[0, 0].numpy(), codes)


@pytest.mark.parametrize("kind", [*LAYERS, "linear"])
@pytest.mark.parametrize("method", [gptq, adaround])
def test_learned_codes_lower_the_error_on_every_kind_of_layer(kind, method):
    problem, _, _, _ = problem_of(kind)
    most = 3
    scales = problem.weight.abs().amax(2) / most
    column = scales[:, :, None]
    nearest = (problem.weight / column).round()
    codes = method(problem, scales, most)
    assert codes.shape == problem.weight.shape
    assert torch.equal(codes, codes.round())
    assert codes.abs().max() <= most
    assert problem.loss(codes * column) <= problem.loss(nearest * column)
    if method is adaround:
        assert ((codes - problem.weight / column).abs() <= 1 + 1e-5).all()


def test_descent_never_raises_the_error_and_stops_where_it_is_best():
    h, c, _ = tiny(3, columns=12)
    scale = torch.full((1, 1), 0.3)
    codes = torch.randint(-3, 4, (1, 1, 12), generator=torch.Generator().manual_seed(0)).float()
    last = quadratic(h[0], c[0, 0], 0.3 * codes[0, 0])
    for _ in range(8):
        codes = descend(h, c, codes, scale, 3, sweeps=1)
        loss = quadratic(h[0], c[0, 0], 0.3 * codes[0, 0])
        assert loss <= last + 1e-3
        last = loss
    assert torch.equal(codes, descend(h, c, codes, scale, 3, sweeps=1))
