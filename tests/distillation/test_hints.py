import numpy as np
import pytest
import torch
from torch import nn

from paring import methods, training
from paring.data import Dataset
from paring.distillation import Hints, distillation
from paring.errors import ArgumentError
from paring.image import Preparation
from paring.training.input import Batch


def network(width, seed, stride=1):
    torch.manual_seed(seed)
    net = nn.Sequential()
    net.add_module("first", nn.Conv2d(1, width, 3, stride=stride))
    net.add_module("act", nn.ReLU())
    net.add_module("flat", nn.Flatten())
    net.add_module("hidden", nn.LazyLinear(5 * width))
    net.add_module("last", nn.Linear(5 * width, 3))
    net(torch.zeros(1, 1, 6, 6))
    return net


def given(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return Batch(torch.randn(4, 1, 6, 6, generator=draw), torch.tensor([0, 1, 2, 0]), torch.arange(4))


def test_the_hint_is_half_the_mean_square_behind_a_1x1_convolution():
    student, teacher, batch = network(2, 1), network(3, 2), given()
    base = distillation(teacher, 4.0, 0.9)
    loss = Hints(base, student, teacher, {"act": "act"}, batch.images, weight=0.7)
    assert [type(r) for r in loss.regressors] == [nn.Conv2d]
    r = loss.regressors[0]
    with torch.no_grad():
        v, u = (torch.relu(net.first(batch.images)).numpy() for net in (student, teacher))
        total = 0.0
        for n in range(4):
            for c in range(3):
                for y in range(4):
                    for x in range(4):
                        answer = r.bias[c].item() + sum(r.weight[c, k, 0, 0].item() * v[n, k, y, x] for k in range(2))
                        total += (u[n, c, y, x] - answer) ** 2
        judge = base(student, batch).item() + 0.7 * 0.5 * total / (4 * 3 * 4 * 4)
    assert loss(student, batch).item() == pytest.approx(judge, rel=1e-5)


def test_the_teacher_runs_once_and_gets_no_gradient():
    student, teacher, batch = network(2, 1), network(3, 2), given()
    passes = []
    teacher.first.register_forward_hook(lambda *_: passes.append(1))
    loss = Hints(distillation(teacher), student, teacher, {"act": "act", "hidden": "hidden"}, batch.images)
    passes.clear()
    loss(student, batch).backward()
    assert len(passes) == 1
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.grad is not None for p in [*student.parameters(), *loss.parameters()])
    assert isinstance(loss.regressors[1], nn.Linear)
    for net in (student, teacher):  # hooks are gone
        assert len(net.hidden._forward_hooks) == 0


def test_with_known_answers_the_teacher_runs_for_the_hint():
    student, teacher, batch = network(2, 1), network(3, 2), given()
    alone = Hints(None, student, teacher, {"act": "act"}, batch.images)
    with_labels = Hints(training.cross_entropy(), student, teacher, {"act": "act"}, batch.images)
    with_labels.load_state_dict(alone.state_dict())
    hard = training.cross_entropy()(student, batch)
    assert with_labels(student, batch).item() == pytest.approx(alone(student, batch).item() + hard.item(), rel=1e-6)


def test_neither_teacher_nor_student_is_a_part_of_the_loss():
    student, teacher = network(2, 1), network(3, 2)
    loss = Hints(distillation(teacher), student, teacher, {"act": "act"}, given().images)
    assert sorted(loss.state_dict()) == ["regressors.0.bias", "regressors.0.weight"]


def test_measuring_changes_no_mode_and_no_statistics():
    student, teacher = network(2, 1), network(3, 2)
    student.add_module("norm", nn.BatchNorm1d(3))
    before = student.norm.running_mean.clone()
    student.norm.eval()
    student.first.train()
    Hints(None, student, teacher, {"act": "act"}, given().images)
    assert student.first.training
    assert not student.norm.training
    assert torch.equal(student.norm.running_mean, before)


def test_wrong_layers_are_named():
    student, teacher, images = network(2, 1), network(3, 2), given().images
    with pytest.raises(ArgumentError, match="student has no such layer; found 'hiden'; expected hidden"):
        Hints(None, student, teacher, {"hiden": "hidden"}, images)
    with pytest.raises(ArgumentError, match="teacher has no such layer; found 'frist'; expected first"):
        Hints(None, student, teacher, {"first": "frist"}, images)
    with pytest.raises(ArgumentError, match=r"first=first: layers of a hint differ in size; found \(2, 2, 2\)"):
        Hints(None, network(2, 1, stride=2), teacher, {"first": "first"}, images)
    with pytest.raises(ArgumentError, match=r"hidden=first: layers of a hint differ in size"):
        Hints(None, student, teacher, {"hidden": "first"}, images)
    student.idle = nn.Linear(2, 2)
    student.forward = lambda images: student.last(student.hidden(student.flat(student.act(student.first(images)))))
    with pytest.raises(ArgumentError, match="idle: student's layer cannot carry a hint; found it never runs"):
        Hints(None, student, teacher, {"idle": "hidden"}, images)
    for weight in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="weight of the hints"):
            Hints(None, student, teacher, {"first": "first"}, images, weight=weight)
    with pytest.raises(ArgumentError, match="no layer is given a hint"):
        Hints(None, student, teacher, {}, images)
    with pytest.raises(ArgumentError, match="its own teacher"):
        Hints(None, teacher, teacher, {"first": "first"}, images)


def small_set(count=48):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 6, 6, 1)).astype(np.uint8)
    return Dataset(
        "rng", "train", images, rng.integers(0, 3, count), ("a", "b", "c"), Preparation(6, 6, 1, (0.0,), (1.0,))
    )


def test_a_run_trains_the_regressor_keeps_it_and_resumes_to_the_same_bits(tmp_path):
    data, teacher = small_set(), network(3, 2)
    settings = training.Settings(epochs=2, batch=16, optimizer="adam", lr=0.01, seed=4)
    source = training.Batches(data.images, data.labels, size=16, seed=4)
    images = torch.from_numpy(data.prepared(0, 2).transpose(0, 3, 1, 2).copy())
    found = []
    for name in ("whole", "parts"):
        student = network(2, 1)
        methods.prune(student, {"first": 0.5})
        for until in (None,) if name == "whole" else (1, None):
            torch.manual_seed(7 if until is None and name == "whole" else 8)
            loss = Hints(distillation(teacher), student, teacher, {"act": "act"}, images)
            if until == 1 or name == "whole":
                with torch.no_grad():
                    for number, parameter in enumerate(loss.parameters()):
                        parameter.fill_(0.1 * number)
            training.run(
                student, source, settings, folder=tmp_path / name, loss=loss, until=until, resume=True, progress=False
            )
        found.append([*student.state_dict().values(), *loss.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert not torch.equal(found[0][-1], torch.full_like(found[0][-1], 0.1))
    kept = training.Checkpoints(tmp_path / "whole").newest(print)[1]
    assert {name for name in kept if name.startswith("loss.")} == {"loss.regressors.0.bias", "loss.regressors.0.weight"}
    assert not any("regressor" in name for name in student.state_dict())
