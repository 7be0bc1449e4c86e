import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.cluster.vq import kmeans2
from torch import nn

from paring import methods, parametrize
from paring.errors import ArgumentError
from paring.forms import Codebook
from paring.methods.sharing._clustering import boundaries

VALUES = arrays(np.float64, st.integers(1, 9), elements=st.integers(-6, 6).map(float))


def inertia(values, centroids):
    return float(np.min((np.ravel(values)[:, None] - np.asarray(centroids)[None]) ** 2, 1).sum())


def best_by_trying(values, k):
    """Every way to cut the sorted values into at most k runs."""
    values = np.sort(values)
    n, least = len(values), np.inf

    def cut(start, left, cost):
        nonlocal least
        if start == n:
            least = min(least, cost)
        elif left:
            for end in range(start + 1, n + 1):
                run = values[start:end]
                cut(end, left - 1, cost + ((run - run.mean()) ** 2).sum())

    cut(0, k, 0.0)
    return least


@given(VALUES, st.integers(1, 5))
@settings(deadline=None)
def test_exact_kmeans_is_the_best_there_is(values, k):
    centroids = methods.sharing.exact_kmeans(values, k)
    assert len(centroids) <= k
    assert np.all(np.diff(centroids) > 0)
    assert inertia(values, centroids) == pytest.approx(best_by_trying(values, k), abs=1e-9)


def quadratic_dynamic_program(values, k):
    """The recurrence without any trick, with costs summed one by one."""
    values = np.sort(values)
    n = len(values)
    cost = np.zeros((n + 1, n + 1))
    for a in range(n):
        for b in range(a + 1, n + 1):
            cost[a, b] = ((values[a:b] - values[a:b].mean()) ** 2).sum()
    best = cost[0].copy()
    for _ in range(k - 1):
        best = np.array([min(best[m] + cost[m, i] for m in range(i + 1)) for i in range(n + 1)])
    return best[n]


@pytest.mark.parametrize("k", [2, 5, 16])
@pytest.mark.parametrize("kind", ["normal", "far", "repeated"])
def test_exact_kmeans_against_the_plain_recurrence(kind, k):
    rng = np.random.default_rng(k)
    values = {
        "normal": rng.normal(size=130),
        "far": 1e4 + rng.normal(size=130),  # far from zero: sums of squares lose digits unless centered
        "repeated": np.round(rng.normal(size=130), 1),
    }[kind]
    found = inertia(values, methods.sharing.exact_kmeans(values, k))
    assert found == pytest.approx(quadratic_dynamic_program(values, k), rel=1e-6)


def test_exact_kmeans_beats_scipy_on_many_values():
    values = np.random.default_rng(0).standard_t(3, size=4000)
    ours = inertia(values, methods.sharing.exact_kmeans(values, 16))
    for seed in range(5):
        theirs, _ = kmeans2(values, 16, minit="++", seed=seed)
        assert ours <= inertia(values, theirs) + 1e-9


@pytest.mark.parametrize("init", ["linear", "density", "random"])
def test_lloyd_is_scipys_from_the_same_start(init):
    values = np.random.default_rng(1).normal(size=500)
    start = methods.sharing.initial_centroids(values, 8, init, seed=3)
    theirs, _ = kmeans2(values, start.copy(), minit="matrix", iter=300)
    np.testing.assert_allclose(methods.sharing.lloyd(values, start), np.sort(theirs), rtol=1e-9)


def test_initializations_are_the_papers():
    values = np.array([-4.0, -1, -0.5, 0.5, 1, 2, 3, 8])
    np.testing.assert_allclose(methods.sharing.initial_centroids(values, 4, "linear"), [-4, 0, 4, 8])
    levels = [np.quantile(values, q) for q in (0.125, 0.375, 0.625, 0.875)]
    np.testing.assert_allclose(methods.sharing.initial_centroids(values, 4, "density"), levels)
    forgy = methods.sharing.initial_centroids(values, 4, "random", seed=5)
    assert set(forgy) < set(values)
    assert len(forgy) == 4
    with pytest.raises(ArgumentError, match="linear"):
        methods.sharing.initial_centroids(values, 4, "lineal")


@given(arrays(np.float64, 7, elements=st.floats(-3, 3)), arrays(np.float64, 4, elements=st.floats(0, 2)))
def test_nearest_is_the_cheapest(values, price):
    centroids = np.array([-2.0, -0.5, 0.25, 1.5])
    cost = (values[:, None] - centroids[None]) ** 2 + price[None]
    chosen = cost[np.arange(7), methods.sharing.nearest(values, centroids, price)]
    np.testing.assert_allclose(chosen, cost.min(1), atol=1e-9)
    assert np.all(np.diff(boundaries(centroids, price)) >= 0)


def test_penalty_trades_error_for_entropy():
    weight = np.random.default_rng(2).normal(size=3000)

    def entropy(indices):
        share = np.bincount(indices.ravel())[1:] / weight.size
        return -sum(p * np.log2(p) for p in share if p)

    plain = methods.sharing.share_values(weight, 16)
    priced = methods.sharing.share_values(weight, 16, penalty=0.05)
    assert entropy(priced[1]) < 0.9 * entropy(plain[1])
    assert inertia(weight, plain[0]) < inertia(weight, priced[0])


@given(arrays(np.float32, array_shapes(max_dims=4, max_side=4), elements=st.floats(-2, 2, width=16)), st.integers(1, 6))
@settings(deadline=None)
def test_share_values_keeps_zeros_and_nearest(weight, k):
    centroids, indices = methods.sharing.share_values(weight, k)
    assert len(centroids) <= k
    np.testing.assert_array_equal(indices == 0, weight == 0)
    for w, i in zip(weight.ravel(), indices.ravel(), strict=True):
        if i:
            assert abs(w - centroids[i - 1]) <= np.abs(w - centroids).min() + 1e-9


def shared_layer(layer, k, **kwargs):
    torch.manual_seed(0)
    net = nn.Sequential(layer)
    methods.prune(net, {"0": 0.6})
    zeros = (layer.weight == 0).clone()
    methods.share(net, {"0": k}, **kwargs)
    assert torch.equal(layer.weight == 0, zeros)
    return net


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 5), (3, 6)),
        (nn.Conv1d(4, 6, 3, groups=2), (2, 4, 9)),
        (nn.Conv2d(4, 6, 3), (2, 4, 5, 5)),
        (nn.Conv2d(4, 8, 3, groups=2), (2, 4, 5, 5)),
        (nn.Conv2d(6, 6, 3, groups=6), (2, 6, 5, 5)),
        (nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last), (2, 4, 5, 5)),
    ],
)
def test_gradient_of_a_centroid_is_the_sum_over_its_members(layer, shape):
    net = shared_layer(layer, 4)
    x = torch.randn(*shape)
    weight = layer.weight.detach().clone()
    indices = layer.parametrizations.weight[0].indices
    net(x).pow(2).sum().backward()
    found = layer.parametrizations.weight.original.grad
    # the judge: the gradient of a free weight, summed member by member
    judge = nn.Sequential(layer)
    parametrize.detach(judge)
    layer.weight = nn.Parameter(weight)
    judge(x).pow(2).sum().backward()
    sums = [0.0] * len(found)
    for i, g in zip(indices.ravel().tolist(), layer.weight.grad.contiguous().ravel().tolist(), strict=True):
        if i:
            sums[i - 1] += g
    torch.testing.assert_close(found, torch.tensor(sums), rtol=1e-4, atol=1e-4)


def test_gather_passes_gradcheck():
    from paring.methods.sharing._share import _Gather

    members, symbols = torch.tensor([0, 2, 3, 5]), torch.tensor([1, 0, 1, 2])
    centroids = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: _Gather.apply(c, members, symbols, (2, 3)), centroids)


@pytest.mark.parametrize("bits", [32, 16])
def test_form_is_the_trained_weight_bit_for_bit(bits):
    net = shared_layer(nn.Conv2d(3, 5, 3), 4, bits=bits)
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(2, 3, 6, 6)).square().mean().backward()
        optimizer.step()
    form = parametrize.forms(net)["0.weight"]
    assert isinstance(form, Codebook)
    assert (form.bits, len(form.centroids)) == (bits, 4)
    np.testing.assert_array_equal(form.dense(), net[0].weight.detach().numpy())


def test_a_layer_without_survivors():
    net = nn.Sequential(nn.Linear(3, 3))
    methods.prune(net, {"0": 0.0})
    assert methods.share(net, {"0": 8}).numbers == {"0.weight": 0}
    assert parametrize.forms(net)["0.weight"].nonzeros == 0
    net(torch.ones(1, 3)).sum().backward()


def test_sharing_rate_is_the_papers_example():
    # section 3 of the paper: 16 weights of 32 bits, 4 centroids: 3.2
    assert methods.sharing.sharing_rate(16, 4) == pytest.approx(3.2)


@pytest.mark.parametrize("k", [0, -3, 70000, 2.5])
def test_a_number_of_centroids_that_cannot_be(k):
    with pytest.raises(ArgumentError, match="centroids"):
        methods.share(nn.Sequential(nn.Linear(2, 2)), {"0": k})


def test_sharing_twice_is_refused():
    net = nn.Sequential(nn.Linear(4, 4))
    methods.share(net, {"0": 2})
    with pytest.raises(ArgumentError, match="already shared"):
        methods.share(net, {"0": 2})
