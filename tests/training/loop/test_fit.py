import math
import os
import signal

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paring import training
from paring.distillation import distillation
from paring.errors import ArgumentError, TrainingError


def digits(count=96, seed=0):
    """Three easy classes: which third of the picture is bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 120, (count, 6, 6, 1))
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] += 100
    return images.astype(np.uint8), labels


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def batches(**changes):
    return training.Batches(*digits(), **{"size": 16, "seed": 3, "augment": "light", **changes})


def bytes_of(net):
    return b"".join(tensor.numpy().tobytes() for tensor in net.state_dict().values())


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_stopping_anywhere_changes_no_bit(name, tmp_path):
    whole = network()
    training.fit(whole, batches(), training.optimizer(whole.parameters(), name), epochs=3, schedule="cosine")

    class Stop(Exception):
        pass

    for stop in (0, 5, 6, 11):
        net = network()
        optimizer = training.optimizer(net.parameters(), name)
        path = tmp_path / f"{name}{stop}"

        def save(position, net=net, optimizer=optimizer, path=path):
            state = {f"n.{k}": v for k, v in net.state_dict().items()}
            state |= {f"o.{k}": v for k, v in training.optimizer_tensors(optimizer).items()}
            training.save_checkpoint(path, state, vars(position) | {"last_loss": 0})

        def after(step, stop=stop):
            if step == stop + 1:
                raise Stop

        with pytest.raises(Stop):
            training.fit(
                net,
                batches(),
                optimizer,
                epochs=3,
                schedule="cosine",
                after_step=after,
                save=save,
                clock=training.Clock(0, 1),
            )
        state, words = training.load_checkpoint(path)
        again = network(seed=9)
        again.load_state_dict({k[2:]: v for k, v in state.items() if k[0] == "n"})
        optimizer = training.optimizer(again.parameters(), name)
        training.restore_optimizer(optimizer, {k[2:]: v for k, v in state.items() if k[0] == "o"})
        place = training.Position(**words)
        assert place.epoch * 6 + place.step == stop + 1
        training.fit(again, batches(), optimizer, epochs=3, schedule="cosine", position=place)
        assert bytes_of(again) == bytes_of(whole)


def test_a_plain_loop_gives_the_same_bits():
    data = batches(augment="none")
    net = network()
    net[3].p = 0.0
    training.fit(net, data, training.optimizer(net.parameters(), "sgd", lr=0.1), epochs=2, schedule="step", warmup=3)
    judge = network()
    judge[3].p = 0.0
    velocity = [torch.zeros_like(p) for p in judge.parameters()]
    step = 0
    for epoch in range(2):
        for images, labels, *_ in data.epoch(epoch):
            judge.zero_grad()
            F.cross_entropy(judge(images), labels).backward()
            lr = 0.1 * min(1, (step + 1) / 4) * (1 if step < 6 else 0.1 if step < 9 else 0.01)
            for p, v in zip(judge.parameters(), velocity, strict=True):
                v.mul_(0.9).add_(p.grad)
                p.data -= lr * v
            step += 1
    for ours, theirs in zip(net.parameters(), judge.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_training_learns():
    net = network()
    position = training.fit(net, batches(), training.optimizer(net.parameters(), "adam", lr=0.02), epochs=15)
    images, labels = digits(seed=1)
    prepared = torch.from_numpy(images.transpose(0, 3, 1, 2)).float() / 255
    assert training.error_rate(net, prepared, labels) < 0.1
    assert position.epoch == 15
    assert position.last_loss < 0.5
    assert net.training


def test_a_loss_that_is_not_a_number_stops_before_it_is_saved():
    net = network()
    saved = []

    def poison(step):
        if step == 4:
            net[1].weight.data.fill_(math.nan)

    with pytest.raises(TrainingError, match=r"epoch 1, batch 5.*nan"):
        training.fit(
            net,
            batches(),
            training.optimizer(net.parameters()),
            epochs=2,
            before_step=poison,
            save=lambda position: saved.append((position.step, bytes_of(net))),
            clock=training.Clock(0, 1),
        )
    assert [step for step, _ in saved] == [1, 2, 3, 4]
    assert b"".join(state for _, state in saved) != b""


def test_ctrl_c_finishes_the_step_and_saves():
    net = network()
    saved = []
    before = signal.getsignal(signal.SIGINT)

    def press(step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        training.fit(
            net,
            batches(),
            training.optimizer(net.parameters()),
            epochs=2,
            before_step=press,
            save=lambda position: saved.append(position.step),
        )
    assert saved == [4]
    assert signal.getsignal(signal.SIGINT) is before


def test_schedules_are_their_formulas():
    assert [training.lr_factor("cosine", t, 8) for t in (0, 4, 8)] == pytest.approx([1, 0.5, 0])
    assert [training.lr_factor("step", t, 8) for t in (0, 3, 4, 5, 6, 7)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    assert training.lr_factor("inv", 10000, 1) == pytest.approx(2**-0.75)  # Caffe: lr (1 + gamma iter)^-power
    assert [training.lr_factor("constant", t, 8, warmup=3) for t in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    with pytest.raises(ArgumentError, match="cosine"):
        training.lr_factor("cosin", 0, 1)


def test_distillation_is_its_formula():
    torch.manual_seed(0)
    net, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    found = distillation(teacher, temperature=3.0, weight=0.6)(net, training.Batch(x, y, torch.arange(5)))
    z, t = net(x).detach().double().numpy(), teacher(x).detach().double().numpy()

    def softmax(a):
        return np.exp(a) / np.exp(a).sum(1, keepdims=True)

    hard = -np.log(softmax(z))[np.arange(5), y].mean()
    soft = -(softmax(t / 3) * np.log(softmax(z / 3))).sum(1).mean()
    assert found.item() == pytest.approx(0.4 * hard + 0.6 * 9 * soft, rel=1e-5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: training.optimizer([nn.Parameter(torch.ones(1))], "adma"),
        lambda: training.optimizer([nn.Parameter(torch.ones(1))], lr=0.0),
        lambda: distillation(nn.Linear(1, 1), temperature=0),
        lambda: batches(size=97),
        lambda: batches(augment="heavy"),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(ArgumentError):
        call()


def test_batches_go_to_where_the_network_is():
    """Judged on torch's device without memory, which every machine has; no step can be finished there."""
    net, seen = network().to("meta"), []

    class Stop(Exception):
        pass

    def loss(given, batch):
        assert given is net
        seen.extend(part.device.type for part in batch[:3])
        raise Stop

    with pytest.raises(Stop):
        training.fit(net, batches(), training.optimizer(net.parameters(), "sgd"), epochs=1, loss=loss)
    assert seen == ["meta"] * 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_a_network_on_a_gpu_is_trained_there():
    found = []
    for device in ("cpu", "cuda"):
        net = network()
        net[3].p = 0.0
        net.to(device)
        training.fit(net, batches(), training.optimizer(net.parameters(), "sgd"), epochs=1, progress=False)
        assert all(p.device.type == device for p in net.parameters())
        found.append(net.cpu().state_dict().values())
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
