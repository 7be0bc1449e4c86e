"""Networks by every kind of name."""

import importlib.util
import zipfile

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from paring import networks, zoo
from paring.capture import capture
from paring.container import Contents, write
from paring.errors import ArgumentError, CheckpointError, ParingError
from paring.image import Preparation
from paring.training import save_checkpoint

SOURCE = """
from torch import nn

def small(width=4, num_classes=3):
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.Flatten(), nn.Linear(width * 36, num_classes))

def broken():
    raise RuntimeError("no such luck")

def number():
    return 7
"""
PREPARATION = {"height": 8, "width": 8, "channels": 1, "mean": [0.5], "std": [0.25], "resize": 0}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's file, which is also a module ``own_nets`` on the path."""
    (tmp_path / "own_nets.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "own_nets.py"


def equal(one, two, shape=(2, 1, 8, 8)):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(one(x), two(x))


@pytest.mark.parametrize("place", ["{own}:small", "own_nets:small"])
def test_functions_of_files_and_modules(own, place):
    name = place.format(own=own)
    assert networks.create(name)[0].out_channels == 4
    assert networks.create(f"{name}(width=6)")[2].out_features == 3
    assert networks.create(f"{name}(width=6)", width=7, num_classes=5)[0].out_channels == 7
    assert networks.make(f"{name}(width=6)", classes=9)[2].out_features == 9


def test_errors_name_the_place(own):
    for name, error in {
        f"{own}:smal": r"file has no such function; expected small",
        "own_nets:smal": r"module has no such function; expected small",
        "no_nets:small": r"no such module; found no_nets; expected a zoo name, timm:NAME",
        "own_nets:broken": r"your code raised RuntimeError; found no such luck",
        "own_nets:number": r"function did not return a network",
        "own_nets:small(8)": r"invalid arguments; found arguments need names",
        "own_nets:small(width=print)": r"invalid arguments",
        "mobilenet_v9": r"no such network in the zoo; found 'mobilenet_v9'; expected mobilenet_v",
        f"{own}": r"a Python file without a function",
    }.items():
        with pytest.raises(ArgumentError, match=error):
            networks.create(name)
    with pytest.raises(CheckpointError, match="checkpoint does not exist"):
        networks.create("lenet_300_100", weights="none.pth")
    with pytest.raises(ArgumentError, match="not a network; found int"):
        networks.create(7)


def test_a_function_or_a_module_will_do(own):
    made = networks.create(nn.Sequential(nn.Linear(3, 2)).train())
    assert not made.training
    assert networks.create(nn.Linear, in_features=3, out_features=2).out_features == 2


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_library_that_is_not_there(library):
    if importlib.util.find_spec(library) is not None:
        pytest.skip(f"{library} is installed")
    with pytest.raises(ParingError, match=rf"{library}:resnet18: {library} is not installed\. Install it with: pip"):
        networks.create(f"{library}:resnet18")


def test_a_library_that_is_there(tmp_path, monkeypatch):
    """The way to timm and back; a stand-in of ours, since timm itself has no build for every torch."""
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text(
        "from torch import nn\n"
        "def list_models(): return ['tiny_net']\n"
        "def create_model(name, pretrained=False, num_classes=10):\n"
        "    if name != 'tiny_net': raise RuntimeError(f'Unknown model ({name})')\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(192, num_classes)).train()\n"
        "    net.pretrained_cfg = dict(input_size=(3, 8, 8), mean=(.5, .4, .3), std=(.2, .2, .2), crop_pct=0.5)\n"
        "    return net\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    net = networks.create("timm:tiny_net(num_classes=5)")
    assert not net.training
    assert net[1].out_features == 5
    assert net.preparation == Preparation(8, 8, 3, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), 16)
    with pytest.raises(ArgumentError, match=r"timm cannot make this network.*Unknown model.*expected tiny_net"):
        networks.create("timm:tiny_nett")


def test_a_checkpoint_knows_its_network_pictures_and_classes(tmp_path):
    made = zoo.create("lenet_300_100", num_classes=4)
    words = {"net": "lenet_300_100", "classes": ["a", "b", "c", "d"], "preparation": {**PREPARATION, "height": 28}}
    words["preparation"]["width"] = 28
    save_checkpoint(tmp_path / "a.safetensors", made.state_dict(), words)
    again = networks.create(tmp_path / "a.safetensors")
    equal(made.eval(), again, (2, 1, 28, 28))
    assert again.classes == ("a", "b", "c", "d")
    assert again.preparation.mean == (0.5,)


def test_a_checkpoint_never_runs_code(own, tmp_path):
    for net in (f"{own}:small", "own_nets:small", "evil.pt2", "a.pare"):
        save_checkpoint(tmp_path / "a.safetensors", {}, {"net": net, "classes": [], "preparation": PREPARATION})
        with pytest.raises(CheckpointError, match="does not say of which zoo network"):
            networks.create(tmp_path / "a.safetensors")


def test_weights_that_are_no_numbers(tmp_path):
    made = zoo.create("lenet_300_100")
    with torch.no_grad():
        made.fc1.weight[0, 0] = torch.nan
    torch.save(made.state_dict(), tmp_path / "a.pth")
    with pytest.raises(
        CheckpointError, match=r"a\.pth, fc1\.weight: weights are not finite numbers; found 1 of 235,200"
    ):
        networks.create("lenet_300_100", weights=tmp_path / "a.pth")


def test_an_exported_program(own, tmp_path):
    made = networks.create("own_nets:small")
    torch.export.save(torch.export.export(made, (torch.zeros(2, 1, 8, 8),)), tmp_path / "net.pt2")
    again = networks.create(tmp_path / "net.pt2")
    equal(made, again)
    graph = capture(again, (1, 8, 8))
    assert [node.op for node in graph.nodes] == ["conv2d", "flatten", "linear"]
    (tmp_path / "bad.pt2").write_bytes(b"no program")
    with pytest.raises(CheckpointError, match=r"not a program of torch\.export"):
        networks.create(tmp_path / "bad.pt2")


def test_an_exported_program_that_unpacks_to_more_than_it_is(tmp_path):
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/weights/0", bytes(1 << 20))
    with pytest.raises(
        CheckpointError, match=r"not a program of torch\.export; found archive of .* unpack to 1,048,576"
    ):
        networks.create(str(path))


def test_a_pare_file(own, tmp_path):
    made = networks.create("own_nets:small")
    preparation = Preparation(8, 8, 1, (0.5,), (0.25,))
    write(tmp_path / "net.pare", Contents(capture(made, (1, 8, 8)), preparation, ("a", "b", "c")))
    again = networks.create(tmp_path / "net.pare")
    equal(made, again)
    assert (again.preparation, again.classes) == (preparation, ("a", "b", "c"))
    with pytest.raises(ArgumentError, match=r"a \.pare file is what it is"):
        networks.create(tmp_path / "net.pare", num_classes=3)


def test_wrapped_networks_and_their_checkpoints(own, tmp_path):
    own.write_text(
        SOURCE + "\ndef wrapped():\n    return nn.DataParallel(small())\n\ndef normed():\n"
        "    net = small()\n    nn.utils.parametrizations.weight_norm(net[0])\n    return net\n"
    )
    net = networks.create(f"{own}:wrapped")
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    fresh = nn.DataParallel(networks.create(f"{own}:small"))
    for given in (net.state_dict(), nn.DataParallel(net).state_dict()):
        for target in (fresh, networks.create(f"{own}:small")):
            assert len(zoo.load_weights(target, given).loaded) == 4
    assert torch.equal(fresh.module[0].weight, net[0].weight)
    assert networks.create(nn.DataParallel(net)) is net
    normed = networks.create(f"{own}:normed")  # trains as it is, and its checkpoint fits it
    save_checkpoint(tmp_path / "normed.safetensors", normed.state_dict(), {})
    again = networks.create(f"{own}:normed", weights=tmp_path / "normed.safetensors")
    assert torch.equal(again[0].weight, normed[0].weight)
