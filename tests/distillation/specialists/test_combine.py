import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from paring.distillation import specialists
from paring.errors import ArgumentError


def divergence(p, q):
    return sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def objective(q, general, answers, classes, active):
    """The sum of divergences, written out."""
    total = divergence(general, q)
    for p, own, on in zip(answers, classes, active, strict=True):
        if on:
            dustbin = sum(q[i] for i in range(len(q)) if i not in own)
            total += divergence(p, [*(q[i] for i in own), dustbin])
    return total


def slow(general, answers, classes, active):
    """The paper's way: gradient descent (here BFGS) on the logits of q, one image at a time."""

    def cost(z):
        return objective(softmax(z), general, answers, classes, active)

    found = minimize(cost, np.log(np.maximum(general, 1e-8)), method="BFGS", options={"gtol": 1e-9, "maxiter": 5000})
    return softmax(found.x), found.fun


def problem(images, count, classes, seed, sharp=3.0):
    rng = np.random.default_rng(seed)
    general = softmax(sharp * rng.normal(size=(images, count)), axis=1)
    answers = [softmax(sharp * rng.normal(size=(images, len(own) + 1)), axis=1) for own in classes]
    return general, answers


SETS = {
    "one": [(1, 3)],
    "disjoint": [(0, 1), (2, 3, 4)],
    "overlapping": [(0, 1, 2), (2, 3), (5, 0), (1, 4)],
    "nested": [(0, 1, 2, 3), (1, 2), (2,)],
    "same twice": [(1, 2), (2, 1)],
}


@pytest.mark.parametrize("kind", SETS)
def test_the_minimum_is_that_of_a_slow_optimizer(kind):
    classes = SETS[kind]
    general, answers = problem(6, 7, classes, seed=len(kind))
    active = np.random.default_rng(1).random((6, len(classes))) < 0.8
    active[0], active[1] = True, False
    found = specialists.combine(
        torch.from_numpy(general), [torch.from_numpy(a) for a in answers], classes, torch.from_numpy(active)
    )
    q = found.probabilities.numpy()
    np.testing.assert_allclose(q.sum(1), 1, atol=1e-12)
    assert float(found.gap.max()) <= 1e-9
    for n in range(6):
        one = [a[n] for a in answers]
        theirs, least = slow(general[n], one, classes, active[n])
        ours = objective(q[n], general[n], one, classes, active[n])
        assert ours <= least + 1e-8
        np.testing.assert_allclose(q[n], theirs, atol=2e-4)
    np.testing.assert_allclose(q[1], general[1], atol=1e-8)  # nobody active: the generalist's own


def test_the_gap_bounds_the_error_from_the_first_step_on():
    classes = SETS["overlapping"]
    general, answers = problem(5, 7, classes, seed=3)
    inputs = (torch.from_numpy(general), [torch.from_numpy(a) for a in answers], classes)
    everyone = torch.ones(5, 4, dtype=torch.bool)
    last = np.full(5, np.inf)
    exact = specialists.combine(*inputs, everyone, tolerance=1e-12).probabilities.numpy()
    for limit in (1, 2, 4, 16):
        rough = specialists.combine(*inputs, everyone, limit=limit)
        assert rough.steps <= limit
        for n in range(5):
            one = [a[n] for a in answers]
            least = objective(exact[n], general[n], one, classes, everyone[n])
            now = objective(rough.probabilities[n].numpy(), general[n], one, classes, everyone[n])
            assert -1e-12 < now - least <= float(rough.gap[n]) + 1e-12
            assert now <= last[n] + 1e-12  # every step goes down
            last[n] = now


def test_one_specialist_has_a_closed_form():
    """Inside, the mean of both answers; outside, the generalist's proportions rescaled to the mean of the masses."""
    general, (answer,) = problem(50, 9, [(2, 5, 6)], seed=8)
    inside, outside = [2, 5, 6], [0, 1, 3, 4, 7, 8]
    wanted = np.zeros_like(general)
    wanted[:, inside] = (general[:, inside] + answer[:, :3]) / 2
    mass = (general[:, outside].sum(1) + answer[:, 3]) / 2
    wanted[:, outside] = general[:, outside] / general[:, outside].sum(1, keepdims=True) * mass[:, None]
    found = specialists.combine(
        torch.from_numpy(general), [torch.from_numpy(answer)], [(2, 5, 6)], torch.ones(50, 1, dtype=torch.bool)
    )
    np.testing.assert_allclose(found.probabilities.numpy(), wanted, atol=1e-8)
    assert found.steps < 10


def test_agreement_is_left_alone():
    """Specialists that say what the generalist says change nothing."""
    classes = SETS["overlapping"]
    general = torch.from_numpy(problem(20, 7, [], seed=4)[0])
    answers = []
    for own in classes:
        inside = general[:, list(own)]
        answers.append(torch.cat([inside, 1 - inside.sum(1, keepdim=True)], 1))
    found = specialists.combine(general, answers, classes, torch.ones(20, 4, dtype=torch.bool))
    torch.testing.assert_close(found.probabilities, general, rtol=0, atol=1e-6)


def test_certain_and_contradicting_answers():
    general = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0.5, 0.5]])
    answer = torch.tensor([[0.0, 0, 1], [0.5, 0.5, 0]])  # a dustbin nobody else fills; classes the generalist excludes
    found = specialists.combine(general, [answer], [(0, 1)], torch.ones(2, 1, dtype=torch.bool))
    wanted = torch.tensor([[0.5, 0, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64)
    torch.testing.assert_close(found.probabilities, wanted, atol=1e-7, rtol=0)


def test_active_specialists_against_a_loop():
    rng = np.random.default_rng(0)
    general = rng.random((30, 6))
    classes = [(0, 1), (1, 2, 3), (5,)]
    for top in (1, 2, 6):
        wanted = [[bool(set(np.argsort(-row)[:top]) & set(own)) for own in classes] for row in general]
        assert specialists.active_specialists(torch.from_numpy(general), classes, top).tolist() == wanted
    with pytest.raises(ArgumentError, match="best classes"):
        specialists.active_specialists(torch.from_numpy(general), classes, 7)


def test_wrong_inputs_are_refused():
    general, answers = (torch.from_numpy(problem(3, 4, [(0, 1)], 0)[0]), torch.full((3, 3), 1 / 3))
    on = torch.ones(3, 1, dtype=torch.bool)
    with pytest.raises(ArgumentError, match="specialist 1"):
        specialists.combine(general, [answers[:, :2]], [(0, 1)], on)
    with pytest.raises(ArgumentError, match="generalist"):
        specialists.combine(2 * general, [answers], [(0, 1)], on)
    with pytest.raises(ArgumentError, match="fit together"):
        specialists.combine(general, [answers], [(0, 1)], on[:, :0])
    with pytest.raises(ArgumentError, match="classes"):
        specialists.combine(general, [answers], [(0, 0)], on)


def test_the_correction_is_bayes_rule():
    """Five discrete 'images', known p(x | c): the ideal specialist of the biased sample, corrected, is the true one."""
    rng = np.random.default_rng(2)
    counts = np.array([500, 20, 70, 10, 400])
    likelihood = rng.dirichlet(np.ones(6), size=5)  # (class, image)
    own, rest = [1, 3], [0, 2, 4]
    joint = likelihood * (counts / counts.sum())[:, None]  # true p(class, image)
    truth = np.concatenate([joint[own], joint[rest].sum(0, keepdims=True)])
    truth /= truth.sum(0)
    for share in (0.5, 0.2, 0.9):
        sample = np.concatenate(
            [
                (1 - share) * joint[own] / joint[own].sum(),
                share * joint[rest].sum(0, keepdims=True) / joint[rest].sum(),
            ]
        )
        logits = log_softmax(np.log(sample), axis=0)  # what training by cross-entropy ends at
        logits[-1] += specialists.dustbin_correction(counts.tolist(), own, share)
        np.testing.assert_allclose(softmax(logits, axis=0), truth, rtol=1e-12)


def test_the_correction_of_ten_equal_classes():
    assert specialists.dustbin_correction([1] * 10, [3, 5]) == pytest.approx(np.log(8 / 2))
    assert specialists.dustbin_correction([1] * 10, [0, 1, 2, 3, 4]) == 0
    with pytest.raises(ArgumentError, match="corrected"):
        specialists.dustbin_correction([0, 0, 4], [0, 1])
