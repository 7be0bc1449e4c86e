"""A network nobody foresaw: one module called twice, two layers tied, one never called, a Conv1d, a layer of its own.

Every method applies where it can and says where it cannot.
"""

import copy
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paring import methods, parametrize, training
from paring.capture import batch_norms, capture, rebuild
from paring.container import Contents, read, write
from paring.errors import ArgumentError
from paring.runtime import Engine, reference
from paring.training.optim import cross_entropy

SHAPE = (4, 6, 6)
#: Layers that compute, by the name their weight has in the graph; ``again`` computes with ``inner``'s.
LAYERS = ("stem", "twice", "line", "left", "inner", "head")
#: All layers that do not share their weight.
UNTIED = ("stem", "twice", "unused", "line", "left", "head")


class Gain(nn.Module):
    """A layer of the user's own, with a parameter no method knows."""

    def __init__(self, channels):
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, channels).view(1, -1, 1, 1))

    def forward(self, x):
        return x * self.gain


class OwnNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(4, 16, 3, padding=1)
        self.twice = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.gain = Gain(16)
        self.unused = nn.Conv2d(16, 16, 1)
        self.line = nn.Conv1d(16, 16, 3, padding=1)
        self.left = nn.Linear(16 * 6, 24)
        self.inner = nn.Linear(24, 24)
        self.again = nn.Linear(24, 24)
        self.again.weight = self.inner.weight
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        x = F.relu(self.twice(F.relu(self.stem(x))))
        x = self.gain(F.relu(self.norm(self.twice(x))))
        x = F.relu(self.line(x.mean(2))).flatten(1)
        x = F.relu(self.inner(F.relu(self.left(x))))
        return self.head(F.relu(self.again(x)))


def inputs(count=8):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def own_network():
    return copy.deepcopy(template())


@cache
def template():
    torch.manual_seed(0)
    network = OwnNetwork()
    network.train()(inputs(32))  # statistics of its own
    return network.eval()


def nhwc(x):
    return np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy())


def check(got, expected):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(got / scale, expected / scale, atol=1e-5)


def square(network, batch):
    return network(batch).square().mean()


#: Methods that give weights a form, on patterns that say where.
FORMS = {
    "prune": lambda n: methods.prune(n, {"*": 0.5}),
    "prune together": lambda n: methods.prune(n, 0.3, together=True),
    "prune by quality": lambda n: methods.prune(n, quality=1.0),
    "prune_n_m": lambda n: methods.prune_n_m(n, {"*": "2:4"}),
    "prune_by_scores": lambda n: methods.pruning.prune_by_scores(
        n, methods.pruning.taylor_scores(n, square, [inputs()]), 0.5
    ),
    "prune_movement": lambda n: methods.prune_movement(n, {"*": 0.5}),
    "share": lambda n: methods.share(n, {"*": 8}),
    "prune and share": lambda n: (methods.prune(n, {"*": 0.5}), methods.share(n, {"*": 8})),
    "halve": lambda n: parametrize.halve(n, ["*", "*.bias"]),
    "ternarize": lambda n: methods.ternarize(n, {"*": 0.75}),
    "binary_connect": lambda n: methods.binary_connect(n, {"*": 1}),
    "binarize_weights": lambda n: methods.binarize_weights(n, {"*": "paper"}),
    "dorefa": lambda n: methods.dorefa(n, dict.fromkeys(UNTIED, 4)),
    "inq": lambda n: [methods.inq(n, dict.fromkeys(UNTIED, 4), portion=portion) for portion in (0.5, 1.0)],
    "product_quantize": lambda n: methods.product_quantize(n, dict.fromkeys(UNTIED, (4, 8))),
    "hash": lambda n: methods.hash(n, dict.fromkeys(UNTIED, 0.25)),
}
#: Of these, what leaves a tied weight alone because another trained tensor takes its place, with what it says.
TIED = {
    "dorefa": lambda n: methods.dorefa(n, {"again": 4}),
    "inq": lambda n: methods.inq(n, {"again": 4}),
    "product_quantize": lambda n: methods.product_quantize(n, {"again": (4, 8)}),
    "hash": lambda n: methods.hash(n, {"again": 0.25}),
    "factorize": lambda n: methods.factorize(n, {"again": 4}, by="rank"),
    "binarize": lambda n: methods.binarize(n, {"again": "scaled"}),
}


@pytest.mark.parametrize("method", FORMS)
def test_forms_reach_the_file_and_the_engine(method, tmp_path):
    network = own_network()
    FORMS[method](network)
    for name, form in parametrize.forms(network).items():
        module, _, leaf = name.rpartition(".")
        np.testing.assert_array_equal(form.dense(), getattr(network.get_submodule(module), leaf).detach().numpy())
    assert network.inner.weight.equal(network.again.weight), "tied layers stay tied"
    x = inputs()
    network.train()
    square(network, x).backward()
    network.eval()
    expected = network(x).detach().numpy()
    with pytest.warns(UserWarning, match=r"no output depends.*unused\.weight"):
        graph = methods.graph_with_forms(network, SHAPE)
    write(tmp_path / "own.pare", Contents(graph))
    loaded = read(tmp_path / "own.pare").graph
    assert "again.weight" not in loaded.weights, "one tensor in the file for both"
    assert not [name for name in loaded.weights if name.startswith("unused")]
    formed = {name.removesuffix(".weight") for name, form in loaded.weights.items() if form.kind != "dense"}
    wanted = set(LAYERS) & set(UNTIED) if method in TIED else set(LAYERS)
    wanted -= {"stem", "head"} if method == "dorefa" else set()  # first and last stay, as in the paper
    assert formed == wanted or method == "halve"
    check(Engine(loaded).run(nhwc(x)), expected)


def test_a_tied_weight_is_known_by_both_names_and_trained_once():
    network = own_network()
    methods.prune(network, {"again": 0.25})
    assert int(torch.count_nonzero(network.inner.weight)) == 144
    assert network.again.weight.equal(network.inner.weight)
    assert parametrize.describe(network).keys() == {"inner.weight"}
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    before = network.again.weight.detach().clone()
    square(network, inputs()).backward()
    optimizer.step()
    assert not network.again.weight.equal(before)
    assert network.again.weight.equal(network.inner.weight)
    twin = copy.deepcopy(network)
    methods.share(twin, {"inner": 4})
    assert len(set(twin.again.weight.flatten().tolist())) <= 5
    assert twin.again.weight.equal(twin.inner.weight)
    parametrize.detach(twin)
    assert twin.again.weight is twin.inner.weight
    assert isinstance(twin.again.weight, nn.Parameter)
    other = own_network()
    parametrize.rebuild(other, parametrize.describe(network))
    other.load_state_dict(network.state_dict())
    assert other.again.weight.equal(network.again.weight)


@pytest.mark.parametrize("method", TIED)
def test_what_would_untie_layers_names_them(method):
    network = own_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ArgumentError, match=r"share this.*inner.*again"):
        TIED[method](network)
    assert all(before[name].equal(tensor) for name, tensor in network.state_dict().items())


def test_what_never_computes_is_said_where_answers_are_needed():
    for method in (
        lambda n: methods.product_quantize(n, {"unused": (4, 8)}, images=inputs()),
        lambda n: methods.factorize(n, {"unused": 0.5}, by="parameters", scheme="svd", images=inputs()),
    ):
        with pytest.raises(ArgumentError, match=r"unused.*do not reach this layer"):
            method(own_network())


@pytest.mark.parametrize(
    "method",
    [
        lambda n, p: methods.prune(n, {p: 0.5}),
        lambda n, p: methods.prune(n, [p], keep=0.5, together=True),
        lambda n, p: methods.prune(n, quality={p: 1.0}),
        lambda n, p: methods.prune_n_m(n, {p: "2:4"}),
        lambda n, p: methods.prune_movement(n, {p: 0.5}),
        lambda n, p: methods.share(n, {p: 8}),
        lambda n, p: parametrize.halve(n, [p]),
        lambda n, p: methods.ternarize(n, {p: 0.75}),
        lambda n, p: methods.binary_connect(n, {p: 1}),
        lambda n, p: methods.binarize_weights(n, {p: "paper"}),
        lambda n, p: methods.binarize(n, {p: "scaled"}),
        lambda n, p: methods.dorefa(n, {p: 4}),
        lambda n, p: methods.inq(n, {p: 4}),
        lambda n, p: methods.product_quantize(n, {p: (4, 8)}),
        lambda n, p: methods.hash(n, {p: 0.25}),
        lambda n, p: methods.factorize(n, {p: 0.5}),
    ],
)
def test_a_pattern_without_a_match_names_the_nearest(method):
    for typed, meant in (("agian", "again"), ("lnie", "line"), ("gain", "again")):
        with pytest.raises(ArgumentError, match=f"pattern matches no .*{typed}.*{meant}"):
            method(own_network(), typed)


@pytest.fixture(scope="module")
def graph():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return capture(own_network(), SHAPE, fold=False)


def test_channels_go_with_everything_that_shares_them(graph):
    result = methods.prune_channels(graph, macs=0.6, round_to=4)
    after = {row.name: row.after for row in result.rows}
    assert after["stem"] == after["twice"] < 16, "a layer called twice makes what it reads"
    kept = result.kept["twice.weight"]
    np.testing.assert_array_equal(kept[0], kept[1])
    np.testing.assert_array_equal(result.kept["gain.gain"][0], kept[0])
    expected = own_network()
    with torch.no_grad():  # the judge: the module with these channels at zero
        gone = np.setdiff1d(np.arange(16), kept[0])
        for tensor in (expected.stem.weight, expected.stem.bias, expected.twice.weight, expected.norm.weight):
            tensor[gone] = 0
        expected.norm.bias[gone] = 0
        for name, axis in (("line", 0), ("left", 0), ("inner", 0)):
            places = result.kept.get(f"{name}.weight", {}).get(axis)
            for tensor in getattr(expected, name).parameters() if places is not None else ():
                tensor[np.setdiff1d(np.arange(len(tensor)), places)] = 0
        if "inner.weight" in result.kept:
            expected.again.bias[np.setdiff1d(np.arange(24), result.kept["inner.weight"][0])] = 0
    check(reference.run(result.graph, nhwc(inputs())), expected(inputs()).detach().numpy())
    with pytest.raises(ArgumentError, match=r"pattern matches no layer.*'unusde'"):
        methods.prune_channels(graph, {"unusde": 0.5})
    with pytest.raises(ArgumentError, match="no residual branch"):
        methods.channels.remove_branches(graph, ["twice"])


@pytest.mark.filterwarnings("ignore:parameters that no output depends on")
def test_channels_by_taylor_and_training_go_on():
    network = own_network()
    batch = training.Batch(inputs(16), torch.arange(16) % 5, torch.arange(16))
    small = methods.prune_channels(
        network, example=SHAPE, macs=0.6, score="taylor", batches=[batch], loss=cross_entropy(), round_to=4
    )
    square(small.network.train(), inputs()).backward()
    assert small.network.inner.weight.grad is not None
    with pytest.raises(ArgumentError, match=r"so many branches.*up to 0"):
        methods.prune_branches(network, 1, example=SHAPE, batches=[batch], loss=cross_entropy())


@pytest.mark.parametrize(("rounding", "options"), [("gptq", {}), ("adaround", {"steps": 5})])
def test_integers(graph, rounding, options):
    made = methods.quantize(
        graph, inputs(), rounding=rounding, options=options, answers="codes", observer="minmax", tuning_images=4
    )
    names = {layer.name for layer in made.rows}
    assert {"stem", "line", "left", "head"} <= names
    x = inputs()
    got = Engine(made.graph).run(nhwc(x))
    np.testing.assert_array_equal(got, reference.run(made.graph, nhwc(x)))
    expected = own_network()(x).detach().numpy()
    assert np.abs(got - expected).mean() < 0.05 * np.abs(expected).max()
    with pytest.raises(ArgumentError, match=r"'agian'.*again"):
        methods.quantize(graph, inputs(), weights={"agian": 4})


@pytest.mark.filterwarnings("ignore:parameters that no output depends on")
def test_layers_become_chains_or_binary_where_they_can():
    chained = own_network()
    outcomes = methods.factorize(chained, dict.fromkeys(UNTIED, 0.5), by="parameters")
    assert set(outcomes) == set(UNTIED)
    x = inputs()
    check(Engine(capture(chained, SHAPE)).run(nhwc(x)), chained(x).detach().numpy())
    binary = own_network()
    done = methods.binarize(binary, dict.fromkeys(UNTIED, "scaled"), SHAPE)
    assert {row.name for row in done.rows if not row.reason} == {"twice", "unused", "left"}
    assert "Conv1d" in done["line"].reason
    assert {row.name for row in done.rows if "stays real" in row.reason} == {"stem", "head"}
    check(Engine(methods.graph_with_forms(binary, SHAPE)).run(nhwc(x)), binary(x).detach().numpy())


def test_equalized_and_folded_answers_stay(graph):
    x = inputs()
    expected = own_network()(x).detach().numpy()
    check(reference.run(methods.integer.equalize.equalize(graph).graph, nhwc(x)), expected)
    network = rebuild(graph, batch_norms(own_network(), graph)).eval()
    check(network(x).detach().numpy(), expected)


class Few:
    """Two batches, as :class:`paring.training.Source` wants them."""

    seed = 0

    def __len__(self):
        return 2

    def epoch(self, epoch, start=0):
        for step in range(start, 2):
            yield training.Batch(inputs(8) + epoch + step, torch.arange(8) % 5, torch.arange(8))


def test_a_training_with_forms_goes_on_to_the_same_bits(tmp_path):
    settings = training.Settings(epochs=2, batch=8, lr=0.01)
    made = []
    for until in (None, 1):
        network = own_network()
        methods.prune(network, {"*": 0.5})
        methods.share(network, {"again": 6, "line": 4})
        folder = tmp_path / str(until)
        training.run(network, Few(), settings, folder=folder, until=until, progress=False)
        if until:
            network = own_network()
            methods.prune(network, {"*": 0.5})
            methods.share(network, {"again": 6, "line": 4})
            training.run(network, Few(), settings, folder=folder, resume=True, progress=False)
        made.append(network.state_dict())
    assert made[0].keys() == made[1].keys()
    assert all(made[0][name].equal(made[1][name]) for name in made[0])
