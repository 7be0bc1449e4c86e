import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.linalg import lsqr
from torch import nn

from paring import container, methods, parametrize, training
from paring.container import Contents
from paring.errors import ArgumentError
from paring.forms import Hashed
from paring.image import Preparation
from paring.methods._hashing import HashedWeights

LAYERS = [
    (nn.Linear(8, 5), (3, 8)),
    (nn.Conv1d(4, 6, 3, groups=2), (2, 4, 9)),
    (nn.Conv2d(4, 6, 3), (2, 4, 5, 5)),
    (nn.Conv2d(4, 8, 3, groups=2), (2, 4, 5, 5)),
    (nn.Conv2d(6, 6, 3, groups=6, dilation=2), (2, 6, 7, 7)),
    (nn.Conv2d(6, 9, 1), (2, 6, 4, 4)),
    (nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last), (2, 4, 5, 5)),
]


def xxh32(number, seed):
    """The published 32-bit xxHash of four bytes, in plain integers."""
    h = (seed + 374761393 + 4 + number * 3266489917) % 2**32
    h = ((h << 17) | (h >> 15)) % 2**32 * 668265263 % 2**32
    h = (h ^ (h >> 15)) * 2246822519 % 2**32
    h = (h ^ (h >> 13)) * 3266489917 % 2**32
    return h ^ (h >> 16)


def place(i, buckets, seed):
    """Bucket and sign of weight ``i``, by the paper's two hashes."""
    return xxh32(i, seed) % buckets, -1 if xxh32(i, (seed + 1) % 2**32) >> 31 else 1


def test_the_hash_here_is_that_of_the_format():
    # docs/reference/format.md
    assert xxh32(0, 0) == 0x08D6D969
    assert xxh32(65536, 1) == 0x823D5FE7


@given(st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_least_squares_is_the_best_there_is(buckets, seed):
    weight = np.random.default_rng(buckets).normal(size=(5, 18)).astype(np.float32)
    found = methods._hashing.hash_buckets(weight, buckets, seed=seed)
    where = [place(i, buckets, seed) for i in range(90)]
    matrix = sparse.coo_matrix(([s for _, s in where], (range(90), [k for k, _ in where])), (90, buckets))
    np.testing.assert_allclose(found, lsqr(matrix, weight.ravel(), atol=1e-12, btol=1e-12)[0], atol=1e-5)


def test_fresh_buckets_are_distributed_as_the_weights():
    weight = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 300)).astype(np.float32)
    fresh, mean = (methods._hashing.hash_buckets(weight, 6000, init=init) for init in ("fresh", "least-squares"))
    assert set(np.abs(fresh)) <= {*np.abs(weight).ravel(), 0.0}
    assert fresh.var() == pytest.approx(1 / 12, rel=0.05)
    assert mean.var() < 1 / 12 / 5  # why a fresh layer is not averaged
    first = {}
    for i in range(weight.size):
        k, s = place(i, 6000, 0)
        first.setdefault(k, s * weight.flat[i])
        if len(first) == 6000:
            break
    np.testing.assert_array_equal(fresh, [first.get(k, 0.0) for k in range(6000)])


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_gradient_of_a_bucket_is_the_signed_sum_over_its_members(layer, shape):
    torch.manual_seed(0)
    net = nn.Sequential(copy.deepcopy(layer))
    size = layer.weight.numel()
    assert methods.hash(net, {"0": 1 / 4}, seed=9).numbers == {"0.weight": round(size / 4)}
    buckets = round(size / 4)
    x = torch.randn(*shape)
    weight = net[0].weight.detach().clone()
    values = net[0].parametrizations.weight.original
    net(x).pow(2).sum().backward()
    # the judge: a free weight of the same value
    free = copy.deepcopy(layer)
    free.weight = nn.Parameter(weight)
    free(x).pow(2).sum().backward()
    sums = [0.0] * buckets
    flat = weight.contiguous().ravel().tolist()
    for i, g in enumerate(free.weight.grad.contiguous().ravel().tolist()):
        k, s = place(i, buckets, 9)
        sums[k] += s * g
        assert flat[i] == s * values[k]
    torch.testing.assert_close(values.grad, torch.tensor(sums), rtol=1e-4, atol=1e-4)


def test_expansion_passes_gradcheck():
    form = HashedWeights((3, 4), torch.zeros(5))
    values = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(form.forward, values)


@pytest.mark.parametrize("bits", [32, 16])
def test_form_and_checkpoint_are_the_trained_weight_bit_for_bit(bits):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(80, 4))
    net = copy.deepcopy(plain)
    methods.hash(net, {"*": 0.1, "*.bias": 0.5}, seed=2**32 - 1, init="fresh", bits=bits)
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(2, 3, 6, 6)).square().mean().backward()
        optimizer.step()
    form = parametrize.forms(net)["2.weight"]
    assert isinstance(form, Hashed)
    assert (form.bits, form.buckets, form.seed) == (bits, 32, 3)
    again = copy.deepcopy(plain)
    parametrize.rebuild(again, parametrize.describe(net))
    state = net.state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == round(13.5) + 2 + 32 + 2  # buckets alone
    again.load_state_dict(state)
    parametrize.refresh(again)
    for name, known in parametrize.forms(again).items():
        trained = parametrize.places(net)[name]
        np.testing.assert_array_equal(known.dense(), getattr(trained.module, trained.tensor).detach().numpy())


def test_fine_tuning_and_the_file(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    images = (rng.integers(0, 90, (64, 6, 6, 1)) + 100 * (labels[:, None, None, None] == 0)).astype(np.uint8)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    methods.hash(net, {"*": 1 / 4})
    settings = training.Settings(epochs=2, batch=16, lr=0.05)
    batches = training.Batches(images, labels, size=16)
    outcome = training.run(net, batches, settings, folder=tmp_path, progress=False)
    assert outcome.steps == 8
    graph = methods.graph_with_forms(net, (1, 6, 6))
    path = tmp_path / "net.pare"
    container.write(path, Contents(graph, Preparation(6, 6, 1, (0.0,), (1.0,)), ("a", "b")))
    read = container.read(path).graph.weights
    for name, known in parametrize.forms(net).items():
        assert type(read[name]) is type(known)
        assert read[name].dense().tobytes() == known.dense().tobytes()
    np.testing.assert_array_equal(read["3.weight"].dense(), net[3].weight.detach().numpy())


def test_layers_have_hashes_of_their_own():
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    methods.hash(net, {"*": 1.0}, seed=5)
    described = parametrize.describe(net)
    assert [words["seed"] for words in described.values()] == [5, 7]
    assert all(words["buckets"] == 64 for words in described.values())


def test_what_cannot_be_is_refused_before_anything_changes():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    for targets, words, says in [
        ({"*": 8}, {}, "real weights.*1/8"),
        ({"*": 0}, {}, "real weights"),
        ({"*": 0.5}, {"seed": -1}, "32-bit"),
        ({"*": 0.5}, {"bits": 8}, "width"),
        ({"*": 0.5}, {"init": "zero"}, "least-squares or fresh"),
        ({"fc": 0.5}, {}, "matches no layer"),
    ]:
        with pytest.raises(ArgumentError, match=says):
            methods.hash(net, targets, **words)
    assert parametrize.describe(net) == {}
    methods.prune(net, {"1": 0.5})
    with pytest.raises(ArgumentError, match=r"1\.weight: weight is already pruned.*detach"):
        methods.hash(net, {"*": 0.5})
    net[0].weight.data[0, 0] = torch.nan
    with pytest.raises(ArgumentError, match=r"0\.weight: a weight is not finite"):
        methods.hash(net, {"0": 0.5})
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    with pytest.raises(ArgumentError, match=r"share.*0\.weight, 1\.weight"):
        methods.hash(tied, {"0": 0.5})


def test_tiny_layers_keep_a_bucket():
    assert methods._hashing.bucket_count(10, 0.01) == 1
    assert methods._hashing.bucket_count(8000, 1 / 8) == 1000
    net = nn.Sequential(nn.Linear(2, 2))
    assert methods.hash(net, {"0": 0.01}).numbers == {"0.weight": 1}
    assert len(set(net[0].weight.detach().abs().ravel().tolist())) == 1
