"""What a new user stumbled over, each gone."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.utils.data import DataLoader, TensorDataset

import paring
from paring import recipes
from paring.capture import capture, rebuild
from paring.container import Contents, write
from paring.errors import ArgumentError, ParingError
from paring.image import Preparation


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 16), nn.ReLU(), nn.Linear(16, 3)
    ).eval()


def data(count=48, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 1, 8, 8)).astype(np.float32) / 255
    return torch.from_numpy(images), torch.arange(count) % 3


def loader(**words):
    return DataLoader(TensorDataset(*data()), batch_size=16, **words)


def test_the_verbs_need_torch_only_when_asked_for():
    code = (
        "import sys, paring; assert 'torch' not in sys.modules; assert 'quantize' in dir(paring);"
        "sys.modules['torch'] = None\n"
        "try: paring.quantize\n"
        "except paring.ParingError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "paring.quantize needs PyTorch. Install it with: pip install 'paring[torch]'.\n"
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        paring.quantise  # noqa: B018


def test_prune_capture_write_keeps_the_forms(tmp_path):
    net = small()
    paring.prune(net, keep=0.05)
    kept = write(tmp_path / "kept.pare", Contents(capture(net, (1, 8, 8)))).total
    dense = write(tmp_path / "dense.pare", Contents(capture(net, (1, 8, 8), forms=False))).total
    assert kept < 0.8 * dense
    assert paring.export(net, (1, 8, 8)).save(tmp_path / "verb.pare").total <= kept + 40  # its provenance


def test_keep_and_amount_cannot_be_mistaken():
    net, theirs = small(), small()
    paring.prune(net, amount=0.8)
    torch_prune.l1_unstructured(theirs[3], "weight", amount=0.8)
    assert torch.equal(net[3].weight != 0, theirs[3].weight != 0)
    other = small()
    paring.prune(other, keep={"*": 0.2})
    assert torch.equal(other[3].weight != 0, theirs[3].weight != 0)
    for wrong in ((0.2,), ({"*": 0.2},)):
        with pytest.raises(ArgumentError, match=r"how much is to stay is not said.*Write keep=0\.2 to keep a fifth"):
            paring.prune(small(), *wrong)
    with pytest.raises(ArgumentError, match="found both"):
        paring.prune(small(), keep=0.1, amount=0.1)
    for bad in (1.2, "half", {"3": None}):
        with pytest.raises(ArgumentError, match="keep"):
            paring.prune(small(), keep=bad)
    with pytest.raises(ArgumentError, match=r"not a module; found Model.*to_torch\(\)"):
        paring.prune(paring.export(small(), (1, 8, 8)), keep=0.5)


def test_rebuild_takes_what_load_gives(tmp_path):
    net = small()
    paring.export(net, data()[0], tmp_path / "net.pare")
    x = data()[0]
    torch.testing.assert_close(rebuild(paring.load(tmp_path / "net.pare"))(x), net(x))


@pytest.mark.parametrize("kind", ["loader", "shuffled", "floats", "pair"])
def test_a_recipe_takes_a_loader_and_floats(tmp_path, kind):
    train = {
        "loader": loader(),
        "shuffled": loader(shuffle=True),
        "floats": (data()[0].numpy(), data()[1].numpy()),
        "pair": data(),
    }
    model = paring.compress(
        small(), train[kind], recipe="int8", run=tmp_path / "run", progress=False, log=lambda line: None
    )
    assert model.preparation == Preparation(8, 8, 1, (0.0,), (1.0,))
    assert model.report.test_images == 9  # every fifth of each class, three of sixteen
    assert model.report.classes == ("0", "1", "2")
    assert (tmp_path / "run" / "Sequential.pare").stat().st_size == model.report.file_bytes


def test_a_file_does_not_pretend_to_know_how_pictures_were_prepared(tmp_path):
    x, y = data()
    model = paring.compress(
        small(), ((x - 0.3) / 0.2, y), recipe="int8", run=tmp_path, progress=False, log=lambda line: None
    )
    assert model.preparation is None
    with pytest.raises(ArgumentError, match="file does not say how to prepare an image"):
        model.classify(np.zeros((8, 8), np.uint8))
    quantized = paring.quantize(small(), (x - 0.3) / 0.2)
    assert quantized.preparation is None
    assert quantized((x - 0.3) / 0.2).shape == (48, 3)


def test_what_a_network_knows_travels():
    net = small()
    net.preparation, net.classes = Preparation(8, 8, 1, (0.3,), (0.2,)), ("a", "b", "c")
    pictures = [np.full((12, 12), level, np.uint8) for level in (0, 60, 120, 255)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = paring.quantize(net, pictures)
        exported = paring.export(net)
    for one in (model, exported):
        assert (one.preparation, one.classes) == (net.preparation, net.classes)
    assert paring.prune_channels(net, (1, 8, 8), macs=0.7, round_to=1).classes == net.classes


def test_networks_that_are_none():
    for verb in (paring.export, paring.cost, paring.quantize):
        with pytest.raises(ArgumentError, match=r"not a network; found mobilenet_v2.*Make it with paring\.create"):
            verb("mobilenet_v2", data()[0])
    with pytest.raises(ArgumentError, match="shape of the input is not known"):
        paring.export(small())
    with pytest.raises(ArgumentError, match="unknown argument; found maen"):
        paring.export(small(), (1, 8, 8), maen=0.5)


def test_quantize_of_vectors_graphs_and_few_bits():
    net = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    x = torch.randn(64, 20, generator=torch.Generator().manual_seed(1))
    model = paring.quantize(net, x)
    assert (model(x.numpy()).argmax(1) == net(x).argmax(1).numpy()).mean() > 0.95
    again = paring.quantize(capture(net, (20,)), x.numpy())
    np.testing.assert_array_equal(model(x.numpy()), again(x.numpy()))
    four = paring.quantize(net, DataLoader(x, 16), bits=4)
    assert {form.params()["bits"] for name, form in four.graph.weights.items() if name.endswith("weight")} == {4}


def test_an_iterator_is_read_once_from_its_beginning():
    x = data()[0]
    batches = [x[:16], x[16:32], x[32:]]
    whole, once = paring.quantize(small(), x), paring.quantize(small(), iter(batches))
    np.testing.assert_array_equal(whole(x), once(x))


def test_quantized_after_pruning_keeps_the_zeros():
    net = small()
    paring.prune(net, keep=0.3)
    model = paring.quantize(net, data()[0])
    form = model.graph.weights["3.weight"]
    assert form.kind == "integer"
    assert form.nonzeros <= round(0.3 * form.size)


def test_run_again(tmp_path):
    words = {"recipe": "int8", "run": tmp_path, "progress": False, "log": lambda line: None}
    first = paring.compress(small(), data(), **words)
    with pytest.raises(ArgumentError, match="folder holds an earlier run"):
        paring.compress(small(), data(), **words)
    resumed = paring.compress(small(), loader(shuffle=True), resume=True, **words)
    x = data()[0]
    np.testing.assert_array_equal(first(x), resumed(x))
    assert recipes.RECIPES


def test_a_name_and_a_folder_of_classes(tmp_path):
    pil = pytest.importorskip("PIL.Image", reason="opens pictures with Pillow")
    for number, image in enumerate((data(30)[0].numpy() * 255).round().astype(np.uint8)):
        place = tmp_path / "set" / "abc"[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        pil.fromarray(image[0]).save(place / f"{number:02}.png")
    words = {"recipe": "int8", "progress": False, "log": lambda line: None, "mean": (0.5,), "std": (0.25,)}
    one = paring.compress(small(), tmp_path / "set", run=tmp_path / "1", **words)
    two = paring.compress(small(), f"imagefolder:{tmp_path / 'set'}", run=tmp_path / "2", **words)
    three = paring.compress(small(), tmp_path / "set", tmp_path / "set", run=tmp_path / "3", **words)
    for model in (one, two, three):
        assert model.classes == ("a", "b", "c")
        assert model.preparation == Preparation(8, 8, 1, (0.5,), (0.25,))
        assert model.report.test_images == 6
    assert one.evaluate(tmp_path / "set")["images"] == 6


def test_errors_are_ours():
    with pytest.raises(ParingError, match="images"):
        paring.quantize(small(), 7)
    with pytest.raises(ParingError, match="not a module"):
        paring.distill("student", small(), data())
