import builtins
import copy
import itertools

import numpy as np
import pytest
import torch
from scipy.cluster.vq import kmeans2, vq
from torch import nn

from paring import container, methods, parametrize, training
from paring.container import Contents
from paring.errors import ArgumentError, ParingError
from paring.forms import Product
from paring.image import Preparation
from paring.methods.product._codewords import Decode, code_rows

LAYERS = [
    (nn.Linear(8, 12), (3, 8), (4, 4)),
    (nn.Conv1d(4, 6, 3, groups=2), (2, 4, 9), (2, 4)),
    (nn.Conv2d(6, 8, 3), (2, 6, 5, 5), (3, 8)),
    (nn.Conv2d(8, 8, 3, groups=2, dilation=2), (2, 8, 7, 7), (2, 8, 2)),
    (nn.Conv2d(6, 6, 3, groups=6), (2, 6, 5, 5), (1, 4)),
    (nn.Conv2d(6, 9, 1, stride=2), (2, 6, 4, 4), (None, 4, 3)),
    (nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last), (2, 4, 5, 5), (4, 8)),
]


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


def test_codes_are_the_nearest_centroids_of_each_sub_space():
    weight = np.random.default_rng(0).normal(size=(40, 6, 3, 2)).astype(np.float32)
    books, codes = methods.product.product_codes(weight, 3, 16, 2)
    assert books.shape == (2, 2, 16, 3)
    assert codes.shape == (2, 40, 2, 3, 2)
    left = weight.copy()
    for stage in range(2):
        for m in range(2):
            vectors = left[:, 3 * m : 3 * m + 3].transpose(0, 2, 3, 1).reshape(-1, 3)
            np.testing.assert_array_equal(codes[stage, :, m].ravel(), vq(vectors, books[stage, m])[0])
        left -= naive_dense(books[stage : stage + 1], codes[stage : stage + 1])


def test_clustering_is_as_good_as_scipys():
    weight = np.random.default_rng(1).standard_t(4, size=(600, 4)).astype(np.float32)
    books, codes = methods.product.product_codes(weight, 4, 16)
    ours = float(((weight - naive_dense(books, codes)) ** 2).sum())
    theirs = min(
        float((vq(weight, kmeans2(weight, 16, minit="++", seed=seed, iter=25)[0])[1] ** 2).sum()) for seed in range(5)
    )
    assert ours < 1.1 * theirs
    # where the sub-vectors are numbers it is the optimum
    line = methods.product.product_codes(weight, 1, 8)
    best = sum(
        float((np.min(np.abs(weight[:, m, None] - methods.sharing.exact_kmeans(weight[:, m], 8)), 1) ** 2).sum())
        for m in range(4)
    )
    assert float(((weight - naive_dense(*line)) ** 2).sum()) == pytest.approx(best, rel=1e-5)


def test_few_sub_vectors_are_kept_exactly():
    weight = np.random.default_rng(2).integers(-1, 2, (9, 4)).astype(np.float32)
    books, codes = methods.product.product_codes(weight, 2, 64)
    assert books.shape == (1, 2, 9, 2)  # no more centroids than sub-vectors
    np.testing.assert_array_equal(naive_dense(books, codes), weight)


def test_the_same_codes_on_any_number_of_threads():
    faiss = pytest.importorskip("faiss")
    weight = np.random.default_rng(3).normal(size=(700, 8)).astype(np.float32)
    threads, found = faiss.omp_get_max_threads(), []
    for count in (1, 2):
        faiss.omp_set_num_threads(count)
        found.append(methods.product.product_codes(weight, 4, 32, seed=7))
        assert faiss.omp_get_max_threads() == count  # put back
    faiss.omp_set_num_threads(threads)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*found, strict=True))


@pytest.mark.parametrize(("layer", "shape", "target"), LAYERS)
def test_gradient_of_a_codeword_is_the_sum_over_its_members(layer, shape, target):
    torch.manual_seed(0)
    net = nn.Sequential(copy.deepcopy(layer))
    found = methods.product_quantize(net, {"0": target})["0.weight"]
    form, books = net[0].parametrizations.weight[0], net[0].parametrizations.weight.original
    codes = form.codes.numpy()
    weight = net[0].weight.detach().clone()
    np.testing.assert_array_equal(weight.numpy(), naive_dense(books.detach().numpy(), codes))
    before = layer.weight.detach()
    assert found.error == pytest.approx(float((before - weight).norm() / before.norm()), abs=1e-6)
    x = torch.randn(*shape)
    net(x).pow(2).sum().backward()
    # the judge: the gradient of a free weight of the same value, summed member by member
    free = copy.deepcopy(layer)
    free.weight = nn.Parameter(weight)
    free(x).pow(2).sum().backward()
    sums = np.zeros(books.shape)
    for r, o, m, *p in np.ndindex(*codes.shape):
        for t in range(books.shape[3]):
            sums[r, m, codes[(r, o, m, *p)], t] += float(free.weight.grad[(o, m * books.shape[3] + t, *p)])
    np.testing.assert_allclose(books.grad.numpy(), sums, rtol=1e-3, atol=1e-3)


def test_decoding_passes_gradcheck():
    rng = np.random.default_rng(0)
    rows = code_rows(torch.from_numpy(rng.integers(0, 3, (2, 4, 2, 3))), 3)
    books = torch.randn(2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda b: Decode.apply(b, rows), books)


def small_network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(4, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, groups=16, padding=1, padding_mode="reflect"),
        nn.BatchNorm2d(16),
        nn.Conv2d(16, 32, 1, stride=2),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, groups=4, dilation=2, padding="same"),
        nn.Flatten(),
        nn.Linear(512, 24),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(24, 5),
    )


def test_fitting_the_answers_helps_on_images_not_seen():
    net, x = small_network().train(), torch.randn(80, 4, 8, 8) + torch.randn(4, 1, 1)
    targets = {"*": (4, 8), "2": (1, 4), "11": (None, 4, 2)}
    plain, fitted = copy.deepcopy(net), copy.deepcopy(net)
    without = methods.product_quantize(plain, targets)
    found = methods.product_quantize(fitted, targets, images=x[:48])
    assert fitted.training
    assert fitted[3].running_mean.equal(net[3].running_mean)
    for model in (net, plain, fitted):
        model.eval().requires_grad_(False)
    errors = [float((model(x[48:]) - net(x[48:])).norm()) for model in (plain, fitted)]
    assert errors[1] < 0.75 * errors[0]
    # what the report says is what the networks do
    for name, index in (("0.weight", 0), ("6.weight", 6), ("11.weight", 11)):
        exact, rough = (model[: index + 1](x[:48]) for model in (net, fitted))
        assert found[name].response == pytest.approx(float((exact - rough).norm() / exact.norm()), rel=1e-3)
        assert without[name].response is None
        assert not found[name].reason


def test_what_cannot_be_fitted_to_images_says_so():
    net = nn.Sequential(nn.Conv3d(2, 4, 2), nn.Flatten(), nn.Linear(4, 3))
    found = methods.product_quantize(net, {"*": (2, 3)}, images=torch.randn(6, 2, 2, 2, 2))
    assert "Conv3d" in found["0.weight"].unfitted
    assert not found["2.weight"].reason
    assert found["0.weight"].response > 0


def test_a_layer_used_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x).relu())

    torch.manual_seed(0)
    net, x = Twice(), torch.randn(8, 4, 5, 5)
    whole = copy.deepcopy(net)
    found = methods.product_quantize(net, {"conv": (2, 8)}, images=x)["conv.weight"]
    with torch.no_grad():
        exact, rough = (torch.cat([model.conv(x), model(x)]) for model in (whole, net))
    assert found.response == pytest.approx(float((exact - rough).norm() / exact.norm()), rel=1e-3)


@pytest.mark.parametrize("bits", [32, 16])
def test_form_and_checkpoint_are_the_trained_weight_bit_for_bit(bits):
    plain = small_network()
    net = copy.deepcopy(plain)
    images = torch.randn(12, 4, 8, 8)
    methods.product_quantize(net, {"*": (4, 16, 3), "2": (1, 4)}, images=images, bits=bits)
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        net(images).square().mean().backward()
        optimizer.step()
    again = copy.deepcopy(plain)
    parametrize.rebuild(again, parametrize.describe(net))
    again.load_state_dict(net.state_dict())
    parametrize.refresh(again)
    for index in (0, 2, 4, 6, 8, 11):
        form = parametrize.forms(again)[f"{index}.weight"]
        assert isinstance(form, Product)
        assert form.bits == bits
        np.testing.assert_array_equal(form.dense(), net[index].weight.detach().numpy())


def test_fine_tuning_and_the_file(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    images = (rng.integers(0, 90, (64, 6, 6, 1)) + 100 * (labels[:, None, None, None] == 0)).astype(np.uint8)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 2))
    methods.product_quantize(net, {"*": (4, 8, 2), "0": (1, 6)})
    before = net[3].parametrizations.weight.original.detach().clone()
    batches = training.Batches(images, labels, size=16)
    training.run(net, batches, training.Settings(epochs=2, batch=16, lr=0.05), folder=tmp_path, progress=False)
    assert not net[3].parametrizations.weight.original.equal(before)
    graph = methods.graph_with_forms(net, (1, 6, 6))
    path = tmp_path / "net.pare"
    container.write(path, Contents(graph, Preparation(6, 6, 1, (0.0,), (1.0,)), ("a", "b")))
    read = container.read(path).graph.weights
    for name, known in parametrize.forms(net).items():
        assert type(read[name]) is type(known)
        assert read[name].dense().tobytes() == known.dense().tobytes()
    np.testing.assert_array_equal(read["3.weight"].dense(), net[3].weight.detach().numpy())


def test_rate_is_gongs():
    # an m x n matrix in n / d sub-spaces: 32 m n / (32 k n + log2(k) m n / d)
    m, n, k, d = 4096, 1000, 256, 8
    assert methods.product.product_rate((m, n), d, k) == pytest.approx(32 * m * n / (32 * k * n + 8 * m * n / d))
    assert methods.product.product_rate((64, 16, 3, 3), 4, 16, stages=2) == pytest.approx(
        32 * 9216 / (2 * (32 * 16 * 16 + 4 * 9216 / 4))
    )


def test_what_cannot_be_is_refused_before_anything_changes():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=2))
    for targets, words, says in [
        ({"*": (2, 4)}, {}, r"0\.weight: sub-vectors do not divide.*expected 1, 3"),
        ({"2": (8, 4)}, {}, r"2\.weight: .*length 8 for 4 inputs; expected 1, 2, 4"),
        ({"2": 4}, {}, r"\(length, centroids\)"),
        ({"2": (0, 4)}, {}, "length"),
        ({"2": (2, 0)}, {}, "centroids"),
        ({"2": (2, 4, 17)}, {}, "stages"),
        ({"2": (2, 4)}, {"bits": 8}, "width"),
        ({"2": (2, 4)}, {"images": torch.zeros(0, 3, 9, 9)}, "no calibration images"),
        ({"2": (2, 4)}, {"images": torch.full((2, 3, 9, 9), torch.nan)}, "not a finite number"),
        ({"1.weight": (1, 2)}, {}, "sub-vectors"),
        ({"2.bias": (1, 2)}, {}, "sub-vectors"),
        ({"conv": (1, 2)}, {}, "matches no layer"),
    ]:
        with pytest.raises(ArgumentError, match=says):
            methods.product_quantize(net, targets, **words)
    assert parametrize.describe(net) == {}
    methods.prune(net, {"2": 0.5})
    with pytest.raises(ArgumentError, match=r"2\.weight: weight is already pruned.*detach"):
        methods.product_quantize(net, {"2": (2, 4)})
    parametrize.detach(net)
    net[2].weight.data[0, 0, 0, 0] = torch.inf
    with pytest.raises(ArgumentError, match=r"2\.weight: a weight is not finite"):
        methods.product_quantize(net, {"2": (2, 4)})
    unused = nn.Sequential(nn.Linear(4, 4))
    unused.other = nn.Linear(4, 4)
    unused.forward = lambda x: unused[0](x)
    with pytest.raises(ArgumentError, match=r"do not reach this layer"):
        methods.product_quantize(unused, {"*": (2, 4)}, images=torch.randn(4, 4))


def test_without_faiss_it_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "faiss":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    weight = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    methods.product.product_codes(weight, 1, 4)  # needs none
    with pytest.raises(ParingError, match=r"paring\[pq\]"):
        methods.product.product_codes(weight, 2, 4)


def test_sub_vectors_of_one_weight_are_a_codebook_for_each_input_channel():
    """As good as the proven optimum of each channel on its own, nearly: k-means from several starts."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(8, 16, 3))
    before = net[0].weight.detach().numpy().copy()
    methods.product_quantize(net, {"0": (1, 4)})
    after = net[0].weight.detach().numpy()
    for channel in range(8):
        own = before[:, channel].ravel()
        assert len(np.unique(after[:, channel])) == 4
        found = float(((after[:, channel].ravel() - own) ** 2).sum())
        centers = methods.sharing.exact_kmeans(own, 4)
        best = float((np.abs(own[:, None] - centers[None]).min(1) ** 2).sum())
        assert best <= found * (1 + 1e-6)
        assert found <= 1.05 * best
