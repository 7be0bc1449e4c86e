"""What torch computes weights by is folded at the door, and the network answers as before."""

import copy
import warnings

import numpy as np
import pytest
import torch
import torch.nn.utils as old
from torch import nn
from torch.nn.utils import parametrizations as new
from torch.nn.utils import parametrize as torch_parametrize
from torch.nn.utils import prune as torch_prune

from paring import api, capture, methods, recipes, training
from paring.errors import ArgumentError
from paring.parametrize import places, settle, settled
from paring.training.input import Batches


def masked(layer):
    torch_prune.l1_unstructured(layer, "weight", 0.5)
    torch_prune.random_unstructured(layer, "weight", 0.1)  # the second makes a container of both


KINDS = {
    "weight norm": new.weight_norm,
    "spectral norm": new.spectral_norm,
    "orthogonal": new.orthogonal,
    "old weight norm": old.weight_norm,
    "old spectral norm": old.spectral_norm,
    "pruning masks": masked,
}


def network(kind):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 36, 8),
        nn.ReLU(),
        nn.Linear(8, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )
    for layer in net:
        if hasattr(layer, "weight"):
            KINDS[kind](layer)
    net(torch.zeros(1, 1, 8, 8))  # old hooks leave a weight with a gradient behind, which no copy takes
    return net


def pictures():
    numbers = np.random.default_rng(0)
    return numbers.integers(0, 255, (60, 8, 8, 1), np.uint8), np.arange(60) % 3


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
class TestSettled:
    def test_answers_as_before_with_plain_weights(self, kind):
        net = network(kind)
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        with pytest.warns(UserWarning, match=r"folded into them: 0.weight, 3.weight, 5.weight, 7.weight"):
            made = settled(net)
        names = [f"{layer}.{name}" for layer in (0, 3, 5, 7) for name in ("weight", "bias")]
        assert sorted(made.state_dict()) == sorted(names)
        assert list(places(made)) == names
        assert all(p.requires_grad for p in made.parameters())
        x = torch.randn(4, 1, 8, 8)
        torch.testing.assert_close(made(x), net.eval()(x), rtol=0, atol=0)
        after = net.state_dict()
        assert list(after) == list(before)
        for name, tensor in before.items():
            assert torch.equal(after[name], tensor), name
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert settle(made) == []
            copy.deepcopy(made)

    def test_the_graph_has_the_effective_weights_under_their_names(self, kind):
        net = network(kind).eval()
        net(torch.zeros(1, 1, 8, 8))
        weight = net[3].weight.detach().numpy()
        graph = capture.capture(net, (1, 8, 8))
        found = [form.dense() for name, form in graph.weights.items() if name.startswith("3.weight")]
        np.testing.assert_allclose(found[0], weight, rtol=0, atol=1e-7)

    @pytest.mark.parametrize("recipe", ["int8", "deep-compression", "twn"])
    def test_recipes_take_it_to_a_file(self, kind, recipe, tmp_path):
        net, (images, labels) = network(kind), pictures()
        with pytest.warns(UserWarning, match="folded into them"):
            done = recipes.compress(
                net,
                _sets(images, labels),
                tmp_path,
                recipe,
                effort=0.01,
                progress=False,
                log=lambda line: None,
            )
        assert done.path.is_file()
        assert {"0.weight", "3.weight", "5.weight", "7.weight"} <= set(done.graph.weights)

    def test_pruning_in_place(self, kind):
        net = network(kind)
        with pytest.warns(UserWarning, match="folded into them"):
            report = api.prune(net, keep=0.25)
        assert [row.name for row in report.rows] == ["0.weight", "3.weight", "5.weight", "7.weight"]
        assert int((net[3].weight != 0).sum()) == 8 * 288 // 4


def _sets(images, labels):
    from paring.data import dataset

    one = dataset((images, labels))
    return one, one


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["old weight norm", "old spectral norm", "pruning masks"])
def test_a_method_says_what_to_do_about_a_hook(kind):
    with pytest.raises(ArgumentError, match=r"0\.weight.*paring\.parametrize\.settle"):
        methods.prune(network(kind), keep=0.5)
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    KINDS[kind](net[1])
    with pytest.raises(ArgumentError, match=r"1\.weight"):  # not the plain layer alone, in silence
        methods.prune(net, {"*": 0.5})
    methods.prune(net, {"0": 0.5})


def test_parametrization_shared_by_two_layers_stays_one_parameter():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    for layer in net:
        torch_parametrize.register_parametrization(layer, "weight", nn.Tanh())
    net[1].parametrizations["weight"] = net[0].parametrizations["weight"]
    x = torch.randn(2, 4)
    want = net(x)
    with pytest.warns(UserWarning, match=r"0\.weight, 1\.weight"):
        made = settled(net)
    assert made[0].weight is made[1].weight
    torch.testing.assert_close(made(x), want, rtol=0, atol=0)
    assert torch_parametrize.is_parametrized(net[0])


def test_trainable_forms_stay():
    net = nn.Sequential(nn.Linear(4, 4), new.weight_norm(nn.Linear(4, 4)))
    methods.prune(net, {"0": 0.5})
    with pytest.warns(UserWarning, match=r"folded into them: 1\.weight$"):
        made = settled(net)
    assert torch_parametrize.is_parametrized(made[0], "weight")
    assert not torch_parametrize.is_parametrized(made[1])


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda net: torch.compile(net, backend="eager")])
class TestWrapped:
    def net(self):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))

    def test_names_are_those_inside(self, wrap):
        assert next(iter(places(wrap(self.net())))) == "1.weight"
        net = self.net()
        methods.prune(wrap(net), {"3": 0.25})
        assert int((net[3].weight != 0).sum()) == 16

    @pytest.mark.parametrize("recipe", ["deep-compression", "twn"])
    def test_recipes_give_the_same_file(self, wrap, recipe, tmp_path):
        sets = _sets(*pictures())
        words = {"effort": 0.01, "progress": False, "log": lambda line: None, "name": "net"}
        files = [
            recipes.compress(net, sets, tmp_path / name, recipe, **words).path.read_bytes()
            for name, net in (("a", self.net()), ("b", wrap(self.net())))
        ]
        assert files[0] == files[1]

    def test_checkpoints_of_a_training_fit_the_network(self, wrap, tmp_path):
        from safetensors.torch import load_file

        images, labels = pictures()
        net = self.net()
        settings = training.Settings(epochs=1, lr=0.01, batch=20)
        batches = Batches(images, labels, mean=(0.0,), std=(1.0,), size=20)
        training.run(wrap(net), batches, settings, folder=tmp_path, progress=False)
        found = load_file(next(tmp_path.rglob("*.safetensors")))
        inside = {name.partition(":")[2] or name for name in found}
        assert not [name for name in found if "module." in name or "_orig_mod" in name]
        assert any(name.endswith("1.weight") for name in inside)
