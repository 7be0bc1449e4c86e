import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paring import capture, container, methods, parametrize, runtime
from paring.errors import ArgumentError, CheckpointError
from paring.methods.low_rank._chain import macs, own_stage, parameters, sizes, stages
from paring.methods.low_rank._factors import cp_factors, spatial_factors, svd_factors, tucker_factors

LAYERS = {
    "fc": (lambda: nn.Linear(12, 10), (3, 12)),
    "1x1": (lambda: nn.Conv2d(12, 10, 1, stride=2), (2, 12, 7, 6)),
    "plain": (lambda: nn.Conv2d(6, 8, 3, padding=1), (2, 6, 7, 6)),
    "no bias": (lambda: nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False), (2, 6, 7, 6)),
    "oblong": (lambda: nn.Conv2d(6, 8, (3, 5), stride=(2, 1), padding=(0, 2), dilation=(2, 1)), (2, 6, 9, 8)),
    "same": (lambda: nn.Conv2d(6, 8, (5, 3), padding="same"), (2, 6, 7, 6)),
    "reflect": (lambda: nn.Conv2d(6, 8, 3, padding=1, padding_mode="reflect"), (2, 6, 7, 6)),
    "grouped": (lambda: nn.Conv2d(12, 8, 3, padding=1, groups=2), (2, 12, 7, 6)),
    "depthwise": (lambda: nn.Conv2d(6, 6, 5, padding=2, groups=6), (2, 6, 7, 6)),
    "1-d": (lambda: nn.Conv1d(6, 8, 3, padding=1, stride=2), (2, 6, 9)),
    "3-d": (lambda: nn.Conv3d(3, 4, 2, padding=1), (2, 3, 4, 4, 3)),
}
#: Kind and scheme to ranks at which nothing is lost.
FULL = {
    ("fc", "svd"): 10,
    ("1x1", "svd"): 10,
    ("plain", "svd"): 8,
    ("plain", "spatial"): 18,
    ("plain", "tucker"): (6, 8),
    ("no bias", "spatial"): 18,
    ("no bias", "tucker"): (6, 8),
    ("oblong", "svd"): 8,
    ("oblong", "spatial"): 18,
    ("oblong", "tucker"): (6, 8),
    ("same", "svd"): 8,
    ("same", "spatial"): 24,
    ("same", "tucker"): (6, 8),
    ("reflect", "spatial"): 18,
    ("reflect", "tucker"): (6, 8),
    ("grouped", "svd"): 4,
    ("grouped", "spatial"): 12,
    ("grouped", "tucker"): (6, 4),
    ("depthwise", "spatial"): 5,
    ("1-d", "svd"): 8,
    ("1-d", "tucker"): (6, 8),
    ("3-d", "svd"): 4,
    ("3-d", "tucker"): (3, 4),
}


def network(kind, seed=0):
    torch.manual_seed(seed)
    make, shape = LAYERS[kind]
    return nn.Sequential(make().double()), torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize(("kind", "scheme"), FULL)
def test_at_full_rank_the_chain_computes_the_layer(kind, scheme):
    net, x = network(kind)
    wanted = net(x)
    found = methods.factorize(net, {"0": FULL[kind, scheme]}, scheme=scheme, by="rank")["0"]
    torch.testing.assert_close(net(x), wanted)
    assert found.error < 1e-7
    assert isinstance(net[0], nn.Sequential)
    assert found.after == sum(layer.weight.numel() for layer in net[0])
    assert sum(layer.bias is not None for layer in net[0]) == (kind != "no bias")


@pytest.mark.parametrize("kind", ["plain", "oblong", "grouped", "same"])
def test_cp_chains_compute_the_product_of_their_factors(kind):
    """CP of a weight that is of rank 2: two components a group are enough, with strides, dilation and groups."""
    net, x = network(kind)
    layer = net[0]
    g, (t, s, h, w) = layer.groups, layer.weight.shape
    rng = np.random.default_rng(1)
    exact = np.concatenate(
        [np.einsum("or,ir,yr,xr->oiyx", *(rng.normal(size=(n, 2)) for n in (t // g, s, h, w))) for _ in range(g)]
    )
    layer.weight.data.copy_(torch.from_numpy(exact))
    wanted = net(x)
    found = methods.factorize(net, {"0": 2}, scheme="cp", by="rank")["0"]
    assert found.error < 1e-3
    torch.testing.assert_close(net(x), wanted, rtol=1e-2, atol=1e-2 * float(wanted.detach().abs().max()))


def test_svd_is_eckart_youngs():
    matrix = np.random.default_rng(0).normal(size=(9, 14))
    values = np.linalg.svd(matrix, compute_uv=False)
    for rank in (1, 4, 9):
        first, second = svd_factors(matrix, rank)
        assert np.sum((matrix - second @ first) ** 2) == pytest.approx(np.sum(values[rank:] ** 2), abs=1e-12)


def test_spatial_is_the_best_separable_pair():
    """Judge: alternating least squares on the naive double sum, from random starts, never gets below."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 3, 3, 5))
    vertical, horizontal = spatial_factors(weight, 2)
    naive = np.zeros_like(weight)
    for o, i, y, x in np.ndindex(weight.shape):
        naive[o, i, y, x] = sum(horizontal[o, k, x] * vertical[k, i, y] for k in range(2))
    ours = ((weight - naive) ** 2).sum()
    rows = weight.transpose(1, 2, 0, 3).reshape(9, 20)
    for _ in range(5):
        b = rng.normal(size=(2, 20))
        for _ in range(200):
            a = rows @ np.linalg.pinv(b)
            b = np.linalg.pinv(a) @ rows
        assert ours <= ((rows - a @ b) ** 2).sum() + 1e-9


def test_tucker_finds_an_exact_core_and_improves_on_projection():
    rng = np.random.default_rng(2)
    exact = np.einsum(
        "oq,qpyx,pi->oiyx", rng.normal(size=(9, 3)), rng.normal(size=(3, 2, 3, 3)), rng.normal(size=(2, 7))
    )

    def product(first, core, last):
        return np.einsum("oq,qpyx,pi->oiyx", last, core, first)

    np.testing.assert_allclose(product(*tucker_factors(exact, (2, 3))), exact, atol=1e-10)
    noisy = exact + 2 * rng.normal(size=exact.shape)
    into = np.linalg.svd(np.moveaxis(noisy, 1, 0).reshape(7, -1))[0][:, :2]
    out = np.linalg.svd(noisy.reshape(9, -1))[0][:, :3]
    projected = np.einsum("oa,ba,biyx,ij,kj->okyx", out, out, noisy, into, into)
    ours = ((noisy - product(*tucker_factors(noisy, (2, 3)))) ** 2).sum()
    assert ours < ((noisy - projected) ** 2).sum()
    first, _, last = tucker_factors(noisy, (2, 3))
    np.testing.assert_allclose(first @ first.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(last.T @ last, np.eye(3), atol=1e-12)


def test_cp_finds_an_exact_sum_and_falls_with_the_rank():
    rng = np.random.default_rng(3)
    parts = [rng.normal(size=(n, 3)) for n in (8, 6, 3, 3)]
    exact = np.zeros((8, 6, 3, 3))
    for o, i, y, x in np.ndindex(exact.shape):
        exact[o, i, y, x] = sum(parts[0][o, r] * parts[1][i, r] * parts[2][y, r] * parts[3][x, r] for r in range(3))
    first, vertical, horizontal, last = cp_factors(exact, 3)
    found = np.einsum("ri,ry,rx,or->oiyx", first, vertical, horizontal, last)
    assert ((found - exact) ** 2).sum() < 1e-5 * (exact**2).sum()
    lengths = [np.linalg.norm(f, axis=a) for f, a in ((first, 1), (vertical, 1), (horizontal, 1), (last, 0))]
    np.testing.assert_allclose(lengths, np.tile(lengths[0], (4, 1)), rtol=1e-9)
    weight = rng.normal(size=(8, 6, 3, 3))
    errors = [
        ((np.einsum("ri,ry,rx,or->oiyx", *cp_factors(weight, rank)) - weight) ** 2).sum() for rank in (1, 4, 12, 40)
    ]
    assert errors == sorted(errors, reverse=True)


def test_costs_are_the_papers_formulas():
    s, t, d, r, r3, r4 = 24, 40, 3, 7, 9, 11
    layer = sizes(nn.Conv2d(s, t, d))
    assert parameters([own_stage(layer)]) == d * d * s * t
    assert macs(stages("tucker", layer, (r3, r4)), (1, 1)) == s * r3 + d * d * r3 * r4 + r4 * t
    assert macs(stages("cp", layer, (r,)), (1, 1)) == s * r + 2 * d * r + r * t
    assert macs(stages("spatial", layer, (r,)), (1, 1)) == d * s * r + d * r * t
    assert macs(stages("svd", layer, (r,)), (1, 1)) == d * d * s * r + r * t


@pytest.mark.parametrize("scheme", ["svd", "spatial", "tucker", "cp"])
def test_macs_with_strides_are_those_of_the_modules_that_run(scheme):
    layer = nn.Conv2d(4, 6, 3, stride=(2, 4), padding=1)
    net = nn.Sequential(layer)
    found = methods.factorize(net, {"0": (2, 3) if scheme == "tucker" else 2}, scheme=scheme, by="rank")["0"]
    counted, x = 0, torch.zeros(1, 4, 64, 64)
    for stage in net[0]:
        x = stage(x)
        counted += x[0, 0].numel() * stage.weight.numel()
    assert counted == found.macs[1] * x[0, 0].numel()


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.deep = nn.Conv2d(16, 16, 5, padding=2, groups=16)
        self.point = nn.Conv2d(16, 16, 1)
        self.fc = nn.Linear(16 * 16, 20)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x).relu(), 2)
        x = F.max_pool2d(self.point(self.deep(self.conv2(x).relu())).relu(), 2)
        return self.fc(x.flatten(1))


def small(seed=0):
    torch.manual_seed(seed)
    return Small()


def images(count=64):
    smooth = F.interpolate(torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(1)), size=16)
    return smooth + 0.05 * torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(2))


def test_auto_chooses_a_scheme_for_each_kind():
    found = methods.factorize(small(), {"*": 0.5})
    schemes = {"conv1": "svd", "conv2": "tucker", "deep": "spatial", "point": "svd", "fc": "svd"}
    assert {path: outcome.scheme for path, outcome in found.items()} == schemes


@pytest.mark.parametrize("by", ["energy", "error", "macs", "parameters", "vbmf"])
@pytest.mark.parametrize("scheme", ["svd", "spatial", "tucker"])
def test_ranks_keep_their_promise_and_one_less_would_not(scheme, by):
    torch.manual_seed(3)
    layer = nn.Conv2d(16, 24, 3).double()
    u = torch.randn(24, 4, dtype=torch.float64) @ torch.randn(4, 16 * 9, dtype=torch.float64)
    layer.weight.data.copy_(u.view_as(layer.weight) / 5 + 0.05 * torch.randn_like(layer.weight))
    amount = {"energy": 0.7, "error": 0.5, "macs": 0.3, "parameters": 0.3, "vbmf": None}[by]
    net = nn.Sequential(copy.deepcopy(layer))
    found = methods.factorize(net, {"0": amount}, scheme=scheme, by=by)["0"]
    kept = 1 - found.error**2
    if by == "energy":
        assert kept >= 0.7 if scheme != "tucker" else kept > 0.4  # of Tucker, in each unfolding
    elif by == "error":
        assert found.error <= 0.5
    elif by in ("macs", "parameters"):
        before, after = found.macs if by == "macs" else (found.before, found.after)
        assert after <= 0.3 * before
        more = tuple(r + 1 for r in found.ranks)
        bigger = methods.factorize(nn.Sequential(copy.deepcopy(layer)), {"0": more}, scheme=scheme, by="rank")["0"]
        assert (bigger.macs[1] if by == "macs" else bigger.after) > 0.3 * before
    else:
        assert found.ranks[-1] == 4 if scheme != "spatial" else found.ranks[0] >= 4
    if scheme != "tucker" and by in ("energy", "error") and found.ranks[0] > 1:
        less = methods.factorize(nn.Sequential(layer), {"0": found.ranks[0] - 1}, scheme=scheme, by="rank")["0"]
        assert 1 - less.error**2 < (0.7 if by == "energy" else 0.75)


def test_cp_by_error_and_budget():
    net = nn.Sequential(nn.Conv2d(6, 8, 3))
    found = methods.factorize(copy.deepcopy(net), {"0": 0.5}, scheme="cp", by="parameters")["0"]
    assert (found.before, found.after) == (432, found.ranks[0] * (6 + 3 + 3 + 8))
    assert found.ranks == (432 // 2 // 20,)
    found = methods.factorize(net, {"0": 0.7}, scheme="cp", by="error")["0"]
    assert found.error <= 0.7
    with pytest.raises(ArgumentError, match="variational Bayes"):
        methods.factorize(nn.Sequential(nn.Conv2d(6, 8, 3)), {"0": None}, scheme="cp", by="vbmf")


@pytest.mark.parametrize("path", ["conv2", "point", "fc"])
def test_images_choose_what_matters_for_the_answers(path):
    x = images()
    plain, fitted, original = small(), small(), small()
    ranks = {path: 3}
    methods.factorize(plain, ranks, scheme="svd", by="rank")
    found = methods.factorize(fitted, ranks, scheme="svd", by="rank", images=x)[path]

    def answers(net):
        seen = []
        hook = net.get_submodule(path).register_forward_hook(lambda _, __, out: seen.append(out.detach().double()))
        net(x)
        hook.remove()
        return seen[0].movedim(1, -1).flatten(0, -2).numpy()

    wanted, of_plain, of_fitted = answers(original), answers(plain), answers(fitted)
    spread = ((wanted - wanted.mean(0)) ** 2).sum()
    ours = ((wanted - of_fitted) ** 2).sum() / spread
    assert ours < 0.8 * ((wanted - of_plain) ** 2).sum() / spread
    # the judge: no affine subspace of three dimensions is nearer to the answers than their principal one
    values = np.linalg.svd(wanted - wanted.mean(0), compute_uv=False) ** 2
    assert ours == pytest.approx(values[3:].sum() / values.sum(), rel=1e-3)
    assert found.error**2 == pytest.approx(ours, rel=1e-3)


def test_images_and_groups():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 3, groups=2))
    x = torch.randn(20, 4, 6, 6)
    wanted = net(x)
    methods.factorize(net, {"1": 4}, scheme="svd", by="rank", images=x)
    torch.testing.assert_close(net(x), wanted, rtol=1e-4, atol=1e-4)


def test_a_factorized_network_trains_saves_and_loads():
    net, x = small(), images(16)
    outcomes = methods.factorize(net, {"conv2": 0.4, "fc": 0.4}, by="parameters")
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), torch.arange(16))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    description = json.loads(json.dumps(methods.low_rank.describe_chains(outcomes)))
    fresh = small(seed=9)
    methods.low_rank.rebuild_chains(fresh, description)
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh(x), net(x))
    methods.prune(net, {"conv2.*": 0.5})  # and other methods take the stages like any layer
    assert {"conv2.0.weight", "conv2.1.weight", "conv2.2.weight"} <= parametrize.describe(net).keys()
    with pytest.raises(CheckpointError, match="conv2"):
        methods.low_rank.rebuild_chains(small(), {"conv2": {"scheme": "tucker", "ranks": [9, 99]}})
    with pytest.raises(CheckpointError, match="nowhere"):
        methods.low_rank.rebuild_chains(small(), {"nowhere": {"scheme": "svd", "ranks": [1]}})


def test_it_reaches_a_file_and_runs_without_torch(tmp_path):
    net, x = small().eval(), images(4)
    methods.factorize(net, {"*": 0.6}, by="parameters")
    graph = capture.capture(net, torch.zeros(1, 1, 16, 16))
    container.write(tmp_path / "n.pare", container.Contents(graph))
    read = container.read(tmp_path / "n.pare").graph
    np.testing.assert_array_equal(read.weights["conv2.1.weight"].dense(), net.conv2[1].weight.detach().numpy())
    answers = runtime.reference.run(read, x.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(answers, net(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_layers_that_stay_say_why():
    net = nn.ModuleDict({"a": nn.Conv2d(8, 8, 3, groups=8), "b": nn.Conv2d(16, 16, 3), "c": nn.Conv1d(8, 8, 3)})
    found = methods.factorize(net, {"*": 0.5}, scheme="tucker")
    assert "only one" in found["a"].reason
    assert not found["b"].reason
    assert isinstance(net["a"], nn.Conv2d)
    assert (found["a"].before, found["a"].after) == (72, 72)
    with pytest.raises(ArgumentError, match="two-dimensional"):
        methods.factorize(nn.ModuleDict({"c": nn.Conv1d(8, 8, 3)}), {"c": 2}, scheme="spatial", by="rank")
    with pytest.raises(ArgumentError, match="no smaller"):
        methods.factorize(nn.Sequential(nn.Linear(8, 8)), {"0": 1.0})
    with pytest.raises(ArgumentError, match="no rank costs"):
        methods.factorize(nn.Sequential(nn.Linear(4, 4)), {"0": 0.1}, by="parameters")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"scheme": "svg"}, "unknown scheme"),
        ({"by": "size"}, "unknown criterion"),
        ({"targets": {"fc": 0}}, "share of energy"),
        ({"targets": {"fc": 1.5}}, "share of energy"),
        ({"targets": {"fx": 0.5}}, "matches no layer"),
        ({"targets": {"fc.bias": 0.5}}, "only the weight"),
        ({"targets": {"fc": 21}, "by": "rank"}, "invalid ranks"),
        ({"targets": {"fc": (2, 3)}, "by": "rank"}, "invalid ranks"),
        ({"scheme": "tucker", "images": torch.zeros(1, 1, 16, 16)}, "only svd"),
        ({"scheme": "svd", "images": torch.zeros(0, 1, 16, 16)}, "no calibration images"),
    ],
)
def test_arguments_that_cannot_be(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        methods.factorize(small(), **{"targets": {"fc": 0.5}, **arguments})


def test_forms_and_shared_weights_are_refused():
    net = small()
    methods.prune(net, {"fc": 0.5})
    with pytest.raises(ArgumentError, match="trainable form"):
        methods.factorize(net, {"fc": 0.5})
    twins = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    twins[1].weight = twins[0].weight
    with pytest.raises(ArgumentError, match="share this weight"):
        methods.factorize(twins, {"0": 1}, by="rank")
    with pytest.raises(ArgumentError, match=r"nn\.Sequential"):
        methods.factorize(nn.Linear(4, 4), {"*": 1}, by="rank")
    once = nn.Linear(4, 4)
    net = nn.Sequential(once, once)
    methods.factorize(net, {"0": 2}, by="rank")
    assert net[0] is net[1]
