import pytest
import torch
from torch import nn

from paring import training
from paring.errors import ArgumentError, DataError
from paring.training.loop import Stepper
from paring.training.optim import cross_entropy, optimizer
from tests.training.problem import batches, network


def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))


def gradients(net, **arguments):
    stepper = Stepper(net, cross_entropy(0.1), optimizer(net, lr=0.1), **arguments)
    loss = stepper.gradients(next(batches().epoch(0)))
    return loss, [p.grad.clone() for p in net.parameters()], stepper


@pytest.mark.parametrize("pieces", [2, 3, 16])
def test_pieces_of_a_batch_add_up_to_it(pieces):
    loss, whole, _ = gradients(plain())
    same, parts, _ = gradients(plain(), accumulate=pieces)
    assert same == pytest.approx(loss, rel=1e-6)
    for a, b in zip(parts, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_gradients_are_clipped_to_a_common_norm():
    net = plain()
    _, before, stepper = gradients(net, clip=0.05)
    norm = torch.cat([g.flatten() for g in before]).norm()
    assert norm > 0.05
    start = [p.detach().clone() for p in net.parameters()]
    stepper.update()
    for p, s, g in zip(net.parameters(), start, before, strict=True):
        torch.testing.assert_close(p.detach(), s - 0.1 * g * (0.05 / norm), rtol=1e-4, atol=1e-6)


def test_bf16_computes_in_bf16_and_keeps_float_weights():
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            out = super().forward(x)
            seen.append(out.dtype)
            return out

    net = nn.Sequential(nn.Flatten(), Spy(36, 3))
    _, found, _ = gradients(net, precision="bf16")
    assert seen == [torch.bfloat16]
    assert all(g.dtype == torch.float32 for g in found)
    assert net[1].weight.dtype == torch.float32


def test_compiled_is_the_same_network():
    loss, whole, _ = gradients(plain())
    same, compiled, _ = gradients(plain(), compiler="aot_eager")
    assert same == pytest.approx(loss, rel=1e-6)
    for a, b in zip(compiled, whole, strict=True):
        torch.testing.assert_close(a, b)


def test_images_reach_the_network_in_the_layout_asked_for():
    seen = []
    net = network()
    net[0].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    data = training.Batches(*(a.repeat(2, -1) if a.ndim > 1 else a for a in _digits()), size=16)
    net[0] = nn.Conv2d(2, 4, 3)
    net[0].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    Stepper(net, cross_entropy(), optimizer(net), channels_last=True).gradients(next(data.epoch(0)))
    assert seen[-1].is_contiguous(memory_format=torch.channels_last)


def _digits():
    from tests.training.problem import digits

    return digits()


@pytest.mark.parametrize(
    "arguments", [{"accumulate": 0}, {"clip": -1.0}, {"precision": "fp8"}, {"precision": "fp16"}, {"accumulate": 17}]
)
def test_what_cannot_be_is_refused(arguments):
    with pytest.raises(ArgumentError):
        gradients(plain(), **arguments)


def test_a_source_that_ends_early_is_named():
    class Short(training.Batches):
        def epoch(self, epoch, start=0):
            yield from list(super().epoch(epoch, start))[:-1]

    net = network()
    from tests.training.problem import digits

    with pytest.raises(DataError, match=r"epoch 1: data set ended early; found 5 batches; expected 6"):
        training.fit(net, Short(*digits(), size=16), optimizer(net), epochs=2)


def test_steps_and_until_end_where_they_say():
    def rates(**arguments):
        net, seen = network(), []
        position = training.fit(
            net,
            batches(),
            optimizer(net, lr=0.1),
            epochs=3,
            schedule="linear",
            watch=lambda step: seen.append(round(step.lr, 6)),
            **arguments,
        )
        return seen, position

    whole, _ = rates()
    assert whole == pytest.approx([0.1 * (1 - t / 18) for t in range(18)], abs=1e-6)
    some, position = rates(steps=8)
    assert some == pytest.approx([0.1 * (1 - t / 8) for t in range(8)], abs=1e-6)
    assert (position.epoch, position.step) == (1, 2)
    early, position = rates(until=2)
    assert early == whole[:12]
    assert (position.epoch, position.step) == (2, 0)
