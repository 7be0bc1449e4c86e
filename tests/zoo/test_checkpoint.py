import argparse
import contextlib
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

from paring import zoo  # noqa: E402
from paring.errors import ArgumentError, CheckpointError  # noqa: E402


@pytest.fixture
def model():
    torch.manual_seed(0)
    return zoo.create("resnet20")


@pytest.fixture
def state():
    torch.manual_seed(1)
    return zoo.create("resnet20").state_dict()


def cifar_names(state):
    return {
        name.replace("fc.", "linear.").replace("downsample", "shortcut"): tensor
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")
    }


def same(model, state):
    mine = model.state_dict()
    return all(torch.equal(mine[name], tensor) for name, tensor in state.items() if "num_batches" not in name)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin"])
@pytest.mark.parametrize("rename", [dict, cifar_names])
def test_files_of_both_kinds_and_layouts(tmp_path, model, state, suffix, rename):
    path = tmp_path / f"weights{suffix}"
    content = {name: tensor.clone() for name, tensor in rename(state).items()}
    if suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    report = zoo.load_weights(model, path)
    assert report.layout == ("own" if rename is dict else "cifar")
    assert same(model, state)
    assert (report.missing, report.unexpected, report.misfits) == ((), (), ())


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "net", "model_state_dict"])
def test_wrappers_and_prefixes_are_seen_through(model, state, wrapper):
    content = {wrapper: {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 3, "best": 91.7}
    zoo.load_weights(model, content)
    assert same(model, state)


def test_numpy_and_half_precision_are_taken(model, state):
    zoo.load_weights(model, {name: tensor.numpy() for name, tensor in state.items()})
    assert same(model, state)
    zoo.load_weights(model, {n: t.half() if t.is_floating_point() else t for n, t in state.items()})
    assert model.fc.weight.dtype == torch.float32
    torch.testing.assert_close(model.fc.weight.detach(), state["fc.weight"], rtol=1e-3, atol=1e-4)


def test_option_b_in_the_cifar_layout():
    source, target = (zoo.create("resnet20", shortcut="B") for _ in range(2))
    content = cifar_names(source.state_dict())
    assert "layer2.0.shortcut.0.weight" in content
    assert zoo.load_weights(target, content).layout == "cifar"
    assert same(target, source.state_dict())


def test_what_does_not_fit_is_listed_in_one_table_and_nothing_is_loaded(model, state):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    del state["layer2.1.bn2.weight"]
    state["layer9.conv.weight"] = torch.zeros(3)
    state["layer1.0.conv1.weight"] = torch.zeros(16, 16, 5, 5)
    state["bn1.bias"] = torch.zeros(16, dtype=torch.int64)
    with pytest.raises(CheckpointError) as caught:
        zoo.load_weights(model, state)
    text = str(caught.value)
    assert "1 missing, 1 unexpected, 2 mis-shaped" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("  ")]
    assert rows == [
        ["problem", "tensor", "checkpoint", "network"],
        ["mis-shaped", "bn1.bias", "16", "int64", "16", "float32"],
        ["mis-shaped", "layer1.0.conv1.weight", "16x16x5x5", "16x16x3x3"],
        ["missing", "layer2.1.bn2.weight", "-", "wanted"],
        ["unexpected", "layer9.conv.weight", "present", "-"],
    ]
    assert same(model, before)


def test_not_strict_loads_what_fits_and_warns(model, state):
    del state["fc.bias"]
    state["conv1.weight"] = torch.zeros(16, 1, 3, 3)
    with pytest.warns(UserWarning, match="2 tensors do not fit") as warned:
        report = zoo.load_weights(model, state, strict=False)
    assert "conv1.weight" in str(warned[0].message)
    assert (report.missing, [m.name for m in report.misfits]) == (("fc.bias",), ["conv1.weight"])
    assert torch.equal(model.layer3[2].conv2.weight, state["layer3.2.conv2.weight"])


def test_not_strict_still_refuses_a_checkpoint_that_has_nothing(model):
    with pytest.raises(CheckpointError, match="does not fit"):
        zoo.load_weights(model, {"a": torch.zeros(1)}, strict=False)


def test_long_tables_are_cut(model):
    with pytest.raises(CheckpointError, match=r"missing +\.\.\. and 77 more\n +unexpected +a +present") as caught:
        zoo.load_weights(model, {"a": torch.zeros(1)})
    assert len(str(caught.value).splitlines()) < 30


def test_changed_number_of_classes(state):
    model = zoo.create("resnet20", num_classes=100)
    fresh = model.fc.weight.detach().clone()
    with pytest.warns(UserWarning, match="fc keeps fresh weights: 10 classes there, 100 in CifarResNet"):
        report = zoo.load_weights(model, state)
    assert report.reinitialized == ("fc",)
    assert torch.equal(model.fc.weight, fresh)
    assert torch.equal(model.conv1.weight, state["conv1.weight"])
    assert "fc.weight" not in report.loaded


def test_changed_classes_of_auxiliary_heads_too():
    with torch.device("meta"):
        source, target = (zoo.create("googlenet", aux=True, num_classes=n) for n in (5, 7))
    content = {name: torch.zeros(t.shape, dtype=t.dtype) for name, t in source.state_dict().items()}
    with pytest.warns(UserWarning, match="keeps fresh weights"):
        report = zoo.load_weights(target, content)
    assert report.reinitialized == ("aux1.fc2", "aux2.fc2", "fc")


def test_a_hidden_layer_of_other_width_is_no_change_of_classes():
    source, target = zoo.create("lenet_300_100"), zoo.create("lenet_300_100")
    content = source.state_dict()
    first = next(name for name, t in content.items() if t.ndim == 2)
    content[first] = torch.zeros(200, 784)
    with pytest.raises(CheckpointError, match="1 mis-shaped"):
        zoo.load_weights(target, content)


def test_auxiliary_heads_of_a_checkpoint_are_ignored_by_a_network_without():
    with torch.device("meta"):
        source, target = (zoo.create("inception_v3", aux=aux, num_classes=3) for aux in (True, False))
    content = {name: torch.zeros(t.shape, dtype=t.dtype) for name, t in source.state_dict().items()}
    report = zoo.load_weights(target, content)
    assert {name.partition(".")[0] for name in report.ignored} == {"AuxLogits"}
    assert not any(p.is_meta for p in target.parameters())
    with pytest.raises(CheckpointError, match="missing"):
        zoo.load_weights(source, target.state_dict())


def test_layout_can_be_named(model, state):
    with pytest.raises(CheckpointError, match="layout 'own'"):
        zoo.load_weights(model, cifar_names(state), layout="own")
    zoo.load_weights(model, cifar_names(state), layout="cifar")
    assert same(model, state)
    with pytest.raises(ArgumentError, match="'auto' or 'own' or 'cifar'"):
        zoo.load_weights(model, state, layout="caffe")


def test_caffe_names_of_alexnet():
    with torch.device("meta"):
        model = zoo.create("alexnet_grouped")
    content = {name.partition(".")[2]: torch.zeros(t.shape) for name, t in model.state_dict().items()}
    assert "conv2.weight" in content
    assert "fc8.bias" in content
    assert zoo.load_weights(model, content).layout == "caffe"


def test_two_tensors_by_one_name(model, state):
    state["linear.weight"] = state["fc.weight"]
    with pytest.raises(CheckpointError, match="two tensors go by one name"):
        zoo.load_weights(model, state, layout="cifar")


def test_any_module_can_be_loaded():
    source, target = nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.Linear(3, 4))
    zoo.load_weights(target, source.state_dict())
    assert torch.equal(source[0].weight, target[0].weight)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_never_runs(tmp_path, model):
    target = tmp_path / "made"
    plain = tmp_path / "bomb.pt"
    plain.write_bytes(pickle.dumps({"fc.weight": Bomb(target)}, 2))
    archive = tmp_path / "bomb.pth"
    torch.save({"fc.weight": torch.zeros(2)}, archive)
    with zipfile.ZipFile(archive) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in entries.items():
            new.writestr(name, pickle.dumps(Bomb(target), 2) if name.endswith("data.pkl") else content)
    for path in (plain, archive):
        with pytest.raises(CheckpointError, match="not a plain state dict"):
            zoo.load_weights(model, path)
    assert not target.exists()
    pickle.loads(plain.read_bytes())  # the bomb is live
    assert target.exists()


@pytest.mark.filterwarnings("error")
def test_a_pickle_is_refused_without_a_warning(tmp_path, model):
    path = tmp_path / "plain.pt"
    path.write_bytes(pickle.dumps({"weight": 1}, protocol=4))
    with pytest.raises(CheckpointError, match="not a plain state dict"):
        zoo.load_weights(model, path)


def test_whole_models_are_refused(tmp_path, model):
    path = tmp_path / "model.pt"
    torch.save(model, path)
    with pytest.raises(CheckpointError, match="not a plain state dict"):
        zoo.load_weights(model, path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b'\x08\0\0\0\0\0\0\0{"a":1}}'])
def test_damaged_files(tmp_path, model, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="weights"):
        zoo.load_weights(model, path)


def test_cut_files(tmp_path, model, state):
    for suffix in (".safetensors", ".pt"):
        path = tmp_path / f"weights{suffix}"
        (save_file if suffix == ".safetensors" else torch.save)({n: t.clone() for n, t in state.items()}, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(CheckpointError):
            zoo.load_weights(model, path)


def test_missing_file_and_foreign_content(tmp_path, model):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        zoo.load_weights(model, tmp_path / "nothing.pt")
    path = tmp_path / "list.pt"
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="not a state dict"):
        zoo.load_weights(model, path)
    with pytest.raises(CheckpointError, match="optimizer: str"):
        zoo.load_weights(model, {"optimizer": "sgd", "conv1.weight": np.zeros(3)})
    with pytest.raises(CheckpointError, match="no tensors"):
        zoo.load_weights(model, {})


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "net.", "student.backbone."]
)
def test_prefixes_of_wrappers_are_seen_through(model, state, prefix):
    report = zoo.load_weights(model, {"epoch": 3, "state_dict": {prefix + name: t for name, t in state.items()}})
    assert same(model, state)
    assert (report.unexpected, report.others) == ((), ())


def test_a_wrapper_may_stand_inside_a_name(model, state):
    zoo.load_weights(model, {name.replace("layer1.", "layer1._orig_mod."): t for name, t in state.items()})
    assert same(model, state)


def test_a_prefix_that_the_network_has_itself_stays():
    source, target = (nn.Sequential() for _ in range(2))
    for one in (source, target):
        one.module = nn.Linear(2, 3)
    zoo.load_weights(target, source.state_dict())
    assert torch.equal(source.module.weight, target.module.weight)


def averaged(state):
    return {name: 2 * t if t.is_floating_point() else t for name, t in state.items()}


@pytest.mark.parametrize("name", ["ema", "model_ema", "state_dict_ema"])
def test_of_two_sets_of_weights_the_plain_one_is_taken_and_said_and_the_other_can_be(tmp_path, model, state, name):
    path = tmp_path / "last.pth"
    torch.save({name: averaged(state), "model": state, "optimizer": {"state": {0: {"step": torch.ones(1)}}}}, path)
    with pytest.warns(UserWarning, match=f"took the weights of model; .*#{name}"):
        report = zoo.load_weights(model, path)
    assert (report.part, report.others) == ("model", (name,))
    assert same(model, state)
    assert zoo.load_weights(model, f"{path}#{name}").part == name
    assert same(model, averaged(state))
    with pytest.raises(CheckpointError, match=f"no such part; found average; expected model or {name}"):
        zoo.load_weights(model, f"{path}#average")


def test_weights_beside_others_under_prefixes(tmp_path, model, state):
    path = tmp_path / "both.pt"
    torch.save({"state_dict": {**{f"teacher.{n}": t for n, t in averaged(state).items()}, "center": torch.ones(2),
                               **{f"student.{n}": t for n, t in state.items()}}}, path)  # fmt: skip
    with pytest.warns(UserWarning, match="#state_dict.student"):
        assert zoo.load_weights(model, path).part == "state_dict.teacher"
    zoo.load_weights(model, f"{path}#state_dict.student")
    assert same(model, state)


def test_an_averaged_model(model, state):
    averaged_model = torch.optim.swa_utils.AveragedModel(zoo.create("resnet20"))
    averaged_model.module.load_state_dict(state)
    zoo.load_weights(model, averaged_model.state_dict())
    assert same(model, state)


def test_masks_of_pruning_are_multiplied_out():
    torch.manual_seed(2)
    source, target = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2)) for _ in range(2))
    prune.l1_unstructured(source[0], "weight", 0.5)
    report = zoo.load_weights(target, source.state_dict())
    assert report.folded == ("0.weight",)
    source[0](torch.zeros(1, 3, 3, 3))  # torch multiplies when the layer runs
    assert torch.equal(target[0].weight, source[0].weight)
    assert int((target[0].weight == 0).sum()) == target[0].weight.numel() // 2


@pytest.mark.parametrize("old", [True, False])
def test_weight_norm_is_multiplied_out(old):
    torch.manual_seed(2)
    norm = torch.nn.utils.weight_norm if old else torch.nn.utils.parametrizations.weight_norm
    layers = [lambda: nn.Conv2d(3, 4, 3), lambda: nn.Linear(4, 2)]
    source = nn.Sequential(*(norm(layer()) for layer in layers))
    target = nn.Sequential(*(layer() for layer in layers))
    with torch.no_grad():
        for name, tensor in source.named_parameters():
            if name.endswith(("_g", "original0")):
                tensor.mul_(3)
    for layer, shape in zip(source, [(1, 3, 3, 3), (1, 4)], strict=True):
        layer(torch.zeros(shape))
    assert set(zoo.load_weights(target, source.state_dict()).folded) == {"0.weight", "1.weight"}
    torch.testing.assert_close(target[0].weight, source[0].weight)
    torch.testing.assert_close(target[1].weight, source[1].weight)


def test_scores_of_numpy_and_a_scripts_arguments_do_not_keep_the_weights_away(tmp_path, model, state):
    path = tmp_path / "best.pt"
    args = argparse.Namespace(lr=0.1, when=Path("runs"))
    torch.save({"best": np.float64(0.91), "args": args, "state_dict": state, "rng": np.arange(3)}, path)
    zoo.load_weights(model, path)
    assert same(model, state)


def test_no_object_of_a_checkpoint_is_made_even_beside_good_weights(tmp_path, model, state):
    path = tmp_path / "bomb.pt"
    torch.save({"state_dict": state, "args": Bomb(tmp_path / "made")}, path)
    with contextlib.suppress(CheckpointError):  # as torch has it: it refuses some names whatever they stand for
        zoo.load_weights(model, path)
    assert not (tmp_path / "made").exists()


def test_an_archive_that_unpacks_to_more_than_it_is(tmp_path, model, state):
    """A zip bomb: torch stores, it never compresses, so a compressed archive is none of its own."""
    whole, path = tmp_path / "whole.pt", tmp_path / "bomb.pt"
    state = {key: torch.zeros_like(tensor) for key, tensor in state.items()}
    torch.save(state, whole)
    zoo.load_weights(model, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    assert path.stat().st_size < whole.stat().st_size / 2
    found = f"found .*archive of {path.stat().st_size:,} bytes that would unpack to "
    with pytest.raises(CheckpointError, match=found):
        zoo.load_weights(model, path)
