import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from paring import zoo
from paring.errors import ArgumentError, CheckpointError, DataError, GraphError, OutputError
from paring.methods.pruning import prune
from paring.parametrize import weights
from paring.sensitivity import read_methods, sensitivity, tried, tried_by, usual
from paring.sensitivity._replay import Replay
from tests import PYTHONPATH
from tests.recipes.small_problem import Small
from tests.sensitivity import worker

WORKER = Path(__file__).with_name("worker.py")


def problem(seed=0, count=20):
    torch.manual_seed(seed)
    images = torch.randn(count, 1, 12, 12)
    return Small().eval(), images, np.random.default_rng(seed).integers(0, 3, count)


def state(network):
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}


def softmax(rows):
    powers = np.exp(rows - rows.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_a_point_by_hand():
    net, images, labels = problem()
    before = state(net)
    found = sensitivity(net, images, labels, methods={"prune": [0.3]}, layers=["fc1"])
    assert state(net) == before
    weight = net.fc1.weight.detach().numpy().copy()
    for place in sorted(np.ndindex(weight.shape), key=lambda at: abs(weight[at]))[: round(0.7 * weight.size)]:
        weight[place] = 0
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.fc1.weight.copy_(torch.from_numpy(weight))
        y, z = net(images).double().numpy(), other(images).double().numpy()
    (point,) = found.points
    assert (point.layer, point.method, point.strength, point.reason) == ("fc1", "prune", 0.3, "")
    assert point.accuracy == np.mean(z.argmax(1) == labels)
    assert point.agreement == np.mean(z.argmax(1) == y.argmax(1))
    p, q = softmax(y), softmax(z)
    assert point.kl == pytest.approx(np.mean([sum(a * np.log(a / b)) for a, b in zip(p, q, strict=True)]), rel=1e-6)
    assert point.output_error == pytest.approx(np.linalg.norm(y - z) / np.linalg.norm(y), rel=1e-6)
    assert found.accuracy == np.mean(y.argmax(1) == labels)


def test_weights_become_what_the_formulas_say():
    """Integers, shares and a chain, by numbers of their own."""
    net, images, _ = problem(1)
    point = sensitivity(net, images, methods={"quantize": [4]}, layers=["fc2"]).points[0]
    weight = net.fc2.weight.detach().numpy().astype(np.float64)
    errors = []
    for row in weight:  # the scale with the least squared error, by trying
        scales = np.linspace(0.3, 1.05, 2000) * np.abs(row).max() / 7
        errors.append(min(((np.clip(np.rint(row / s), -7, 7) * s - row) ** 2).sum() for s in scales))
    with torch.no_grad():
        hidden = torch.relu(net.fc1(torch.max_pool2d(torch.relu(net.conv1(images)), 2).flatten(1)))
        spread = hidden.norm() * np.sqrt(sum(errors)) / net(images).norm()
    assert 0 < point.output_error < float(spread)  # |X (W - W')| <= |X| |W - W'|
    assert point.accuracy is None
    halved = sensitivity(net, images, methods={"share": [1]}, layers=["fc2"]).points[0]
    with torch.no_grad():
        mean = net.fc2.weight.mean() * torch.ones_like(net.fc2.weight)
        expected = (nn.functional.linear(hidden, mean, net.fc2.bias) - net(images)).norm() / net(images).norm()
    assert halved.output_error == pytest.approx(float(expected), rel=1e-4)


def test_channels_leave_the_network():
    net, images, labels = problem(2)
    found = sensitivity(net, images, labels, methods={"prune_channels": [0.5]})
    of = {point.layer: point for point in found.points}
    smallest = np.argsort(net.fc1.weight.detach().abs().sum(1).numpy())[:10]  # the other layers read nothing of them
    gates = torch.ones(20)
    gates[torch.from_numpy(smallest.copy())] = 0
    with torch.no_grad():
        hidden = torch.relu(net.fc1(torch.max_pool2d(torch.relu(net.conv1(images)), 2).flatten(1)))
        expected = (net.fc2(hidden * gates) - net(images)).norm() / net(images).norm()
    assert of["fc1"].output_error == pytest.approx(float(expected), rel=1e-4)
    assert of["conv1"].kl > 0
    assert "answer" in of["fc2"].reason
    assert of["fc2"].accuracy is None


def test_every_method_is_milder_where_it_is_milder():
    net, images, labels = problem(3)
    everything = [name for name in tried() if name != "product_quantize"]
    found = sensitivity(net, images, labels, methods=everything)
    assert tuple(found.methods) == tuple(everything)
    assert found.layers == ("conv1", "fc1", "fc2")
    for name in everything:
        row, points = tried_by(name), found.of(name, "fc1")
        assert [point.strength for point in points] == list(row.trial.strengths)
        errors = [point.output_error for point in points if not point.reason]
        assert len(errors) >= min(2, len(points))
        assert min(errors) > 0
        assert errors[0] < errors[-1] or name not in usual()  # what keeps little of random weights has luck at times


def test_product_codes_of_one_centroid_are_means():
    pytest.importorskip("faiss", reason="faiss is not installed")
    net, images, _ = problem(3)
    point = sensitivity(net, images, methods={"product_quantize": ["2x1"]}, layers=["fc1"]).points[0]
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.fc1.weight.copy_(net.fc1.weight.mean(0).expand(20, 150))
        error = (other(images) - net(images)).norm() / net(images).norm()
    assert point.output_error == pytest.approx(float(error), rel=1e-4)
    refused = sensitivity(net, images, methods={"product_quantize": ["4x2"]}, layers=["fc1"]).points[0]
    assert "found length 4 for 150 inputs" in refused.reason


def test_the_usual_ones():
    net, images, labels = problem(3)
    assert tuple(sensitivity(net, images, labels, layers=["fc2"]).methods) == tuple(usual())


def test_binary_and_powers_by_hand():
    net, images, _ = problem(12)
    weight = net.fc1.weight.detach()
    rows = weight.sign() * weight.abs().mean(1, keepdim=True)
    top = 2.0 ** np.floor(np.log2(4 / 3 * float(weight.abs().max())))
    levels = np.array([0.0] + [sign * top / 2**step for step in range(4) for sign in (1, -1)])  # 4 bits: 2^(4-2) powers
    powers = levels[np.abs(weight.numpy()[..., None] - levels).argmin(-1)]
    found = sensitivity(net, images, methods=["binarize_weights", "inq"], layers=["fc1"])
    for method, strength, expected in (
        ("binarize_weights", "paper", rows),
        ("inq", 4, torch.from_numpy(powers).float()),
    ):
        point = next(p for p in found.of(method, "fc1") if p.strength == strength)
        other = copy.deepcopy(net)
        with torch.no_grad():
            other.fc1.weight.copy_(expected)
            error = (other(images) - net(images)).norm() / net(images).norm()
        assert point.output_error == pytest.approx(float(error), rel=1e-3), method


class Tangled(nn.Module):
    """A layer that is called twice, two layers with one weight, work in place and an answer in two parts."""

    def __init__(self):
        super().__init__()
        self.first, self.twice = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.tied, self.other = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.other.weight = self.tied.weight
        self.alias, self.last = self.twice, nn.Linear(4, 3)

    def forward(self, x):
        x = self.first(x).relu_()
        y = self.twice(x).relu_()
        y += self.tied(x)
        y = self.twice(y).relu_() + self.other(y)
        return self.last(y.mean((2, 3)))


def plain(network, images, layers):
    """What the network answers when these layers' weights are halved, without any replay."""
    other = copy.deepcopy(network)
    with torch.no_grad():
        done = set()
        for name in layers:
            weight = other.get_submodule(name).weight
            if id(weight) not in done:
                weight.mul_(0.5)
            done.add(id(weight))
        return torch.cat([other(part) for part in images.split(4)])


@pytest.mark.parametrize("memory", [1 << 30, 60_000, 0])
def test_replay_answers_as_the_whole_network_would(memory):
    torch.manual_seed(4)
    net, images = Tangled().eval(), torch.randn(10, 1, 12, 12)
    replay = Replay(net, images, 4, memory)
    assert torch.equal(replay.scores, plain(net, images, []))
    assert torch.equal(replay.answers(), replay.scores)
    kept = [len(batch) for batch in replay.kept]
    assert kept == {1 << 30: [6, 6, 6], 60_000: [6, 0, 0], 0: [0, 0, 0]}[memory]
    for name in ("first", "twice", "last"):
        other = copy.deepcopy(net)
        layer, half = net.get_submodule(name), other.get_submodule(name)
        with torch.no_grad():
            half.weight.mul_(0.5)
        for path in [name] if name != "twice" else [name, "alias"]:
            setattr(net, path, half)
        assert torch.equal(replay.answers([layer]), plain(net, images, []))
        for path in [name] if name != "twice" else [name, "alias"]:
            setattr(net, path, layer)
    assert "forward" not in net.first.__dict__


def test_a_layer_with_many_paths_and_a_weight_of_two_layers():
    torch.manual_seed(5)
    net, images = Tangled().eval(), torch.randn(8, 1, 12, 12)
    found = sensitivity(net, images, methods={"share": [1]}, layers=["tied", "twice"], batch=4)
    for point in found.points:
        other = copy.deepcopy(net)
        with torch.no_grad():
            weight = other.get_submodule(point.layer).weight
            weight.fill_(float(weight.mean()))
            y, z = net(images), other(images)
        assert point.output_error == pytest.approx(float((y - z).norm() / y.norm()), rel=1e-4)
    assert net.alias is net.twice


def test_trained_forms_count_as_weights():
    net, images, labels = problem(6)
    prune(net, {"fc1": 0.5})
    before = state(net)
    found = sensitivity(net, images, labels, methods={"prune": [0.6, 0.5, 0.1]}, layers=["fc1"])
    assert [point.output_error == 0 for point in found.points] == [True, True, False]
    assert state(net) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_killed_after_any_point_it_goes_on(tmp_path):
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    words = [sys.executable, str(WORKER), str(tmp_path / "killed.jsonl")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    inputs = worker.problem()
    arguments = {"methods": worker.METHODS, "cache": tmp_path / "killed.jsonl"}
    whole = sensitivity(*inputs, **{**arguments, "cache": tmp_path / "whole.jsonl"})
    assert whole.computed == 9
    rest = sensitivity(*inputs, **arguments)
    assert (rest, rest.computed) == (whole, 9 - 5)
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    again = sensitivity(*inputs, **arguments)
    assert (again, again.computed) == (whole, 0)
    more = sensitivity(*inputs, **{**arguments, "methods": {"prune": [0.1, 0.9]}})
    assert more.computed == 3


@pytest.mark.parametrize("length", [0, 1, 50])
def test_a_file_cut_in_its_first_line_begins_anew(tmp_path, length):
    net, images, labels = problem(8)
    arguments = {"methods": {"prune": [0.5]}, "cache": tmp_path / "points.jsonl"}
    whole = sensitivity(net, images, labels, **arguments)
    text = (tmp_path / "points.jsonl").read_bytes()
    (tmp_path / "points.jsonl").write_bytes(text[:length])
    assert sensitivity(net, images, labels, **arguments) == whole
    assert (tmp_path / "points.jsonl").read_bytes() == text


def test_files_that_are_refused(tmp_path):
    net, images, labels = problem(9)
    arguments = {"methods": {"prune": [0.5]}, "cache": tmp_path / "points.jsonl"}
    sensitivity(net, images, labels, **arguments)
    text = (tmp_path / "points.jsonl").read_text()
    with pytest.raises(CheckpointError, match="another network"):
        sensitivity(problem(10)[0], images, labels, **arguments)
    with pytest.raises(CheckpointError, match="another data set"):
        sensitivity(net, images, None, **arguments)
    with pytest.raises(CheckpointError, match="another data set"):
        sensitivity(net, images + 1, labels, **arguments)
    assert (tmp_path / "points.jsonl").read_text() == text
    for damaged, words in (
        (text.replace('"conv1"', '"conv1'), "line 2 is damaged"),
        (text.replace('"layer"', '"lawyer"'), "a point is damaged"),
        ('{"a": 1}\n', "no file of sensitivities"),
        ("words", "no file of sensitivities"),
    ):
        (tmp_path / "points.jsonl").write_text(damaged)
        with pytest.raises(CheckpointError, match=words):
            sensitivity(net, images, labels, **arguments)
        assert (tmp_path / "points.jsonl").read_text() == damaged
    with pytest.raises(OutputError, match="cannot be kept"):
        sensitivity(net, images, labels, **{**arguments, "cache": tmp_path / "none" / "points.jsonl"})


def test_bad_arguments():
    net, images, labels = problem()
    with pytest.raises(ArgumentError, match=r"'fc9'; expected fc"):
        sensitivity(net, images, labels, layers=["fc9"])
    with pytest.raises(ArgumentError, match=r"conv1.bias: is no weight"):
        sensitivity(net, images, labels, layers=["*.bias"])
    with pytest.raises(ArgumentError, match=r"'prunes'; expected prune"):
        sensitivity(net, images, labels, methods=["prunes"])
    for methods, words in (
        ({"prune": [1.2]}, r"found 1.2; expected 0 to 1"),
        ({"share": [0]}, "1 to 65535"),
        ({"quantize": [9]}, "2 to 8 bits"),
        ({"prune_n_m": ["5:4"]}, "such as '2:4'"),
        ({"product_quantize": ["4"]}, "such as 4x64"),
        ({"ternarize": [-1.0]}, "about 0.7"),
        ({"binarize_weights": ["two"]}, "paper or released"),
        ({}, "no method"),
    ):
        with pytest.raises(ArgumentError, match=words):
            sensitivity(net, images, labels, methods=methods)
    with pytest.raises(DataError, match="do not fit"):
        sensitivity(net, images, labels[1:])
    with pytest.raises(DataError, match="no images"):
        sensitivity(net, images[:0], labels[:0])
    with pytest.raises(ArgumentError, match="row of numbers"):
        sensitivity(nn.Sequential(nn.Conv2d(1, 2, 3)), images, methods=["prune"])
    with pytest.raises(ArgumentError, match="one layer"):
        sensitivity(nn.Linear(12, 2), images, methods=["prune"])


def test_a_network_that_no_graph_can_hold():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(144, 3)

        def forward(self, x):
            return self.fc(torch.erfinv(x.flatten(1).tanh()))

    net, images = Odd().eval(), problem()[1]
    assert sensitivity(net, images, methods=["quantize"]).points
    with pytest.raises(GraphError):
        sensitivity(net, images, methods=["quantize", "prune_channels"])


def test_methods_as_words():
    assert read_methods(["prune=50%,0.2", "prune_n_m=1:4", "share"]) == {
        "prune": (0.5, 0.2),
        "prune_n_m": ("1:4",),
        "share": tried_by("share").trial.strengths,
    }
    assert tuple(read_methods([])) == tuple(usual())
    with pytest.raises(ArgumentError, match="'quantize=many'; expected 2 to 8 bits"):
        read_methods(["quantize=many"])
    with pytest.raises(ArgumentError, match=r"found 1.2; expected 0 to 1 \(0 to 100 %\)"):
        read_methods(["prune=120%"])


def test_a_network_of_the_zoo(tmp_path):
    torch.manual_seed(11)
    net = zoo.create("resnet20", depth=8, num_classes=4)
    net.train()(torch.randn(8, 3, 8, 8))
    before = state(net)
    found = sensitivity(
        net, torch.randn(6, 3, 8, 8), methods={"prune": [0.5], "factorize": [0.7], "prune_channels": [0.5]}
    )
    assert net.training
    assert state(net) == before
    assert found.layers == tuple(name.removesuffix(".weight") for name in weights(net))
    assert json.dumps(found.to_json(), allow_nan=False)
    done = [point for point in found.points if not point.reason]
    assert len(done) >= len(found.points) - 4
    assert all(point.output_error > 0 for point in done)
