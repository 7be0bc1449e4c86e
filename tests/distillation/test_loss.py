import math

import numpy as np
import pytest
import torch
from torch import nn

from paring import methods, parametrize, training
from paring.distillation import distillation, logit_matching
from paring.errors import ArgumentError
from paring.training.input import Batch


def logits(seed, *shape, scale=3.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


class Known:
    """A teacher that says what it was told to say."""

    networks = ()

    def __init__(self, members):
        self.members = members

    def logits(self, batch):
        return self.members


class Answers(nn.Module):
    """A student whose logits are its parameters, in double precision, so that limits can be seen."""

    def __init__(self, values):
        super().__init__()
        self.values = nn.Parameter(values.clone())

    def forward(self, images):
        return self.values


def batch(n, classes, seed=0):
    rng = np.random.default_rng(seed)
    return Batch(torch.zeros(n, 1, 2, 2), torch.from_numpy(rng.integers(0, classes, n)), torch.arange(n))


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def naive(z, members, labels, temperature, weight, smoothing, average):
    """The loss of the paper, one image and one class at a time."""
    total, (n, classes) = 0.0, z.shape
    for i in range(n):
        if average == "probabilities":
            p = sum(softmax(v[i] / temperature) for v in members) / len(members)
        else:
            p = softmax(sum(v[i] for v in members) / len(members) / temperature)
        q, hard = softmax(z[i] / temperature), softmax(z[i])
        for c in range(classes):
            y = (1 - smoothing) * (c == labels[i]) + smoothing / classes
            total -= weight * temperature**2 * p[c] * math.log(q[c]) + (1 - weight) * y * math.log(hard[c])
    return total / n


@pytest.mark.parametrize("average", ["logits", "probabilities"])
@pytest.mark.parametrize(
    ("members", "temperature", "weight", "smoothing"), [(1, 1, 1, 0), (1, 20, 0.9, 0.1), (3, 4, 0.5, 0)]
)
def test_the_loss_is_the_paper_s(members, temperature, weight, smoothing, average):
    z, v, given = logits(1, 7, 5), logits(2, members, 7, 5), batch(7, 5)
    loss = distillation(Known(v), temperature, weight, smoothing, average=average)
    judge = naive(z.numpy(), v.numpy(), given.labels.numpy(), temperature, weight, smoothing, average)
    assert loss(Answers(z), given).item() == pytest.approx(judge, rel=1e-12)


def gradient(loss, z, given):
    student = Answers(z)
    loss(student, given).backward()
    return student.values.grad


def test_the_soft_gradient_is_t_times_the_difference_of_the_distributions():
    z, v, t = logits(1, 6, 4), logits(2, 1, 6, 4), 3.0
    found = gradient(distillation(Known(v), t, 1.0), z, batch(6, 4))
    judge = [t * (softmax(a / t) - softmax(b / t)) / 6 for a, b in zip(z.numpy(), v[0].numpy(), strict=True)]
    np.testing.assert_allclose(found.numpy(), judge, rtol=1e-10)


def test_the_soft_gradient_vanishes_where_student_and_teacher_agree():
    z = logits(1, 6, 4)
    for t in (1.0, 4.0, 20.0, math.inf):
        assert gradient(distillation(Known(z[None]), t, 1.0), z, batch(6, 4)).abs().max() < 1e-14


def test_without_the_square_the_soft_gradient_falls_as_one_over_t_squared():
    z, v = logits(1, 6, 4), logits(2, 1, 6, 4)
    matched = (z - z.mean(1, keepdim=True)) - (v[0] - v[0].mean(1, keepdim=True))
    for t in (1e2, 1e3):
        found = gradient(distillation(Known(v), t, 1.0), z, batch(6, 4)) / t**2
        torch.testing.assert_close(found, matched / (4 * t**2) / 6, rtol=30 / t, atol=1e-3 / t**3)


def test_logit_matching_is_the_limit_and_the_error_falls_as_one_over_t():
    z, v, given = logits(1, 6, 4), logits(2, 1, 6, 4), batch(6, 4)
    limit = gradient(logit_matching(Known(v)), z, given)
    matched = (z - z.mean(1, keepdim=True)) - (v[0] - v[0].mean(1, keepdim=True))
    torch.testing.assert_close(limit, matched / 4 / 6, rtol=1e-12, atol=1e-14)
    apart = [(gradient(distillation(Known(v), t, 1.0), z, given) - limit).abs().max() for t in (1e2, 1e3, 1e4)]
    assert apart[2] < 1e-3 * limit.abs().max()
    assert apart[0] / apart[1] == pytest.approx(10, rel=0.1)
    assert apart[1] / apart[2] == pytest.approx(10, rel=0.1)
    named, limited = logit_matching(Known(v), 0.25), distillation(Known(v), math.inf, 0.25)
    assert named(Answers(z), given).item() == limited(Answers(z), given).item()


def test_logit_matching_ignores_what_is_common_to_all_classes():
    z, v, given = logits(1, 6, 4), logits(2, 1, 6, 4), batch(6, 4)
    loss, moved = logit_matching(Known(v)), logit_matching(Known(v + 7))
    assert loss(Answers(z), given).item() == pytest.approx(moved(Answers(z - 3), given).item())


def images(n=4, seed=5):
    return torch.randn(n, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


def noisy(seed=0, classes=3):
    """A network in which training mode, dropout and batch norm show."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, classes)
    )


def real_batch():
    return Batch(images(), torch.tensor([0, 1, 2, 0]), torch.arange(4))


def test_the_teacher_is_in_eval_mode_unchanged_and_without_gradient():
    teacher, student = noisy(1), noisy(2)
    teacher.train()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    loss = distillation(teacher, 4.0, 1.0)
    student.eval()
    first, second = loss(student, real_batch()), loss(student, real_batch())
    second.backward()
    assert first.item() == second.item()
    assert not any(module.training for module in teacher.modules())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())
    assert all(parameter.requires_grad for parameter in teacher.parameters())


def test_an_ensemble_of_networks_is_asked_one_by_one():
    teachers, student = [noisy(seed).eval() for seed in (1, 2, 3)], noisy(4).eval()
    given = real_batch()
    with torch.no_grad():
        z, members = student(given.images), torch.stack([teacher(given.images) for teacher in teachers])
    for average in ("logits", "probabilities"):
        judge = naive(*(a.double().numpy() for a in (z, members)), given.labels.numpy(), 2.0, 0.7, 0.0, average)
        found = distillation(teachers, 2.0, 0.7, average=average)(student, given).item()
        assert found == pytest.approx(judge, rel=1e-5)


def test_mixed_labels_reach_the_hard_term():
    z, v = logits(1, 4, 3), logits(2, 1, 4, 3)
    targets = torch.softmax(logits(3, 4, 3), 1)
    given = batch(4, 3)._replace(targets=targets)
    found = distillation(Known(v), 2.0, 0.0)(Answers(z), given).item()
    assert found == pytest.approx(-(targets * torch.log_softmax(z, 1)).sum(1).mean().item())


@pytest.mark.parametrize("temperature", [0, -1, math.nan])
def test_impossible_temperatures_are_refused(temperature):
    with pytest.raises(ArgumentError, match="invalid temperature"):
        distillation(noisy(), temperature)


def test_other_impossible_arguments_are_refused():
    with pytest.raises(ArgumentError, match=r"invalid weight of the teacher; found 1\.5"):
        distillation(noisy(), 2.0, 1.5)
    with pytest.raises(ArgumentError, match="invalid label smoothing"):
        distillation(noisy(), 2.0, 0.5, 1.0)
    with pytest.raises(ArgumentError, match="found 'median'; expected logits or probabilities"):
        distillation(noisy(), average="median")
    with pytest.raises(ArgumentError, match="logit matching averages logits"):
        distillation(noisy(), math.inf, average="probabilities")
    with pytest.raises(ArgumentError, match="needs a teacher"):
        distillation([])


def test_a_student_s_mistakes_of_shape_are_named():
    with pytest.raises(ArgumentError, match=r"\(4, 5\).*of the teacher; expected \(4, 3\)"):
        distillation(noisy(1, classes=5))(noisy(2), real_batch())
    with pytest.raises(ArgumentError, match="ensemble answer differently"):
        distillation([noisy(1, classes=5), noisy(2)])(noisy(3), real_batch())
    student = noisy()
    with pytest.raises(ArgumentError, match="its own teacher"):
        distillation(student)(student, real_batch())


# --- with the methods ------------------------------------------------------------------------------------------------


def digits(count=96, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    pixels = rng.integers(0, 120, (count, 6, 6, 1))
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label : 2 * label + 2] += 100
    return pixels.astype(np.uint8), labels


def fitted(student, loss, epochs=3):
    source = training.Batches(*digits(), size=16, seed=3)
    optimizer = training.optimizer(student.parameters(), "adam", lr=0.01)
    training.fit(student, source, optimizer, epochs=epochs, loss=loss, progress=False)
    return student


def test_a_student_is_pruned_shared_and_rounded_while_it_learns():
    teacher, student = noisy(1), noisy(2)
    methods.prune(student, {"0": 0.5, "5": 0.25})
    masks = {
        name: form.dense() != 0 for name, form in parametrize.forms(student).items() if name in ("0.weight", "5.weight")
    }
    methods.share(student, {"5": 4})
    parametrize.halve(student, ["*.bias"])
    before, assigned = parametrize.forms(student), student[5].parametrizations.weight[0].indices.clone()
    fitted(student, distillation(teacher, 4.0, 0.9))
    after = parametrize.forms(student)
    assert torch.equal(student[5].parametrizations.weight[0].indices, assigned)
    assert not np.array_equal(after["5.weight"].dense(), before["5.weight"].dense())
    assert len(np.unique(after["5.weight"].dense())) <= 5
    for name, mask in masks.items():
        assert not after[name].dense()[~mask].any()
        assert not np.array_equal(after[name].dense(), before[name].dense())
    bias = after["5.bias"].dense()
    assert np.array_equal(bias, bias.astype(np.float16).astype(np.float32))
    for name, place in parametrize.places(student).items():
        assert np.array_equal(after[name].dense(), getattr(place.module, place.tensor).detach().numpy()), name
    student.eval()
    again = noisy(9).eval()
    plain = {name: torch.from_numpy(form.dense()) for name, form in after.items()}
    again.load_state_dict({**again.state_dict(), **dict(student.named_buffers()), **plain}, strict=False)
    with torch.no_grad():
        torch.testing.assert_close(again(images()), student(images()), rtol=0, atol=0)


def test_a_student_comes_closer_to_its_teacher_than_to_the_labels_alone():
    teacher = fitted(noisy(1), training.cross_entropy(), epochs=6).eval()
    pixels, _ = digits(64, seed=8)
    prepared = torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float() / 255
    apart = {}
    for name, loss in (("labels", training.cross_entropy()), ("teacher", logit_matching(teacher))):
        student = noisy(2)
        student[4].p = 0.0
        fitted(student, loss, epochs=8).eval()
        with torch.no_grad():
            z, v = student(prepared), teacher(prepared)
        apart[name] = ((z - z.mean(1, keepdim=True)) - (v - v.mean(1, keepdim=True))).square().mean().item()
    assert apart["teacher"] < 0.5 * apart["labels"]
