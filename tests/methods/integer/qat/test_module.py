"""Quantization-aware training: what is trained is what the engine computes, and it helps."""

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from paring.capture import capture, norm_statistics
from paring.errors import ArgumentError, TrainingError
from paring.graph import fold_scale_shift
from paring.methods.integer import quantize
from paring.methods.integer.qat import quantization_aware
from paring.runtime import Engine, reference
from tests.methods.integer.test_quantize import agree, everything, images_for, small_network


def channels_last(images):
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())


def nudge(network, images, steps=3, lr=0.02):
    """A few steps of training towards nothing in particular."""
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr)
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()
    return network.eval()


def with_norms(net, shape):
    unfolded = capture(net, shape, fold=False)
    return fold_scale_shift(unfolded), norm_statistics(net, unfolded)


def same_graphs(one, two):
    assert [(n.name, n.op, n.inputs, dict(n.attrs), dict(n.weights)) for n in one.nodes] == [
        (n.name, n.op, n.inputs, dict(n.attrs), dict(n.weights)) for n in two.nodes
    ]
    for name, form in one.weights.items():
        np.testing.assert_array_equal(form.dense(), two.weights[name].dense(), name)


@pytest.mark.parametrize("kwargs", [{}, {"weights": 3, "rounding": "gptq"}, {"weights": 2, "activations": 4}])
def test_it_begins_as_the_quantized_network(kwargs):
    graph = everything(0)
    made = quantize(graph, images_for(graph), answers="codes", **kwargs)
    same_graphs(quantization_aware(made).as_graph(), made.graph)


def test_with_norms_it_begins_as_the_quantized_network_too():
    graph, norms = with_norms(small_network(), (3, 8, 8))
    images = torch.randn(16, 3, 8, 8)
    made = quantize(graph, images, weights=4, norms=norms, answers="codes")
    begun = quantization_aware(made)
    assert set(begun.norms) == {"0", "3"}
    found = begun.as_graph()
    for name in ("0.weight", "3.weight"):
        np.testing.assert_array_equal(found.weights[name].codes, made.graph.weights[name].codes)
    judge = reference.run(made.graph, channels_last(images))
    with torch.no_grad():
        np.testing.assert_allclose(begun.eval()(images).numpy(), judge, atol=2 * found.quant_params["8.codes"].scale)


@pytest.mark.parametrize("scales", ["learned", "held"])
@pytest.mark.parametrize(("weights", "activations"), [(8, 8), (4, 8), (3, 5), (2, 2)])
def test_what_was_trained_is_what_is_executed(weights, activations, scales):
    graph = everything(1)
    made = quantize(graph, images_for(graph), weights=weights, activations=activations, answers="codes")
    network = nudge(quantization_aware(made, scales=scales), images_for(graph, seed=1))
    trained = network.as_graph()
    moved = [n for n, w in trained.weights.items() if not np.array_equal(w.dense(), made.graph.weights[n].dense())]
    assert {"stem.weight", "depthwise.weight", "grouped.weight", "last.weight", "fc.weight"} <= set(moved)
    scale = {name: codes.scale for name, codes in trained.quant_params.items()}
    before = {name: codes.scale for name, codes in made.graph.quant_params.items()}
    assert (scale == before) == (scales == "held")
    others = images_for(graph, seed=2)
    assert agree(trained, others) >= 15  # the plain simulation of the emitted graph, against the reference
    judge = dict(reference.steps(trained, channels_last(others)))
    with torch.no_grad():
        for name, value in network.steps(others):
            if name in scale:
                ours = value.numpy() if value.ndim == 2 else value.permute(0, 2, 3, 1).numpy()
                np.testing.assert_array_equal(ours, judge[name], name)
        answers = network(others).numpy()
    np.testing.assert_array_equal(answers, Engine(trained).run(channels_last(others)))


def test_with_norms_what_was_trained_is_what_is_executed():
    graph, norms = with_norms(small_network(), (3, 8, 8))
    images = torch.randn(16, 3, 8, 8)
    made = quantize(graph, images, weights=3, norms=norms, answers="codes")
    network = nudge(quantization_aware(made, norm_delay=2), images, steps=4)
    assert bool(network.frozen)
    trained = network.as_graph()
    wanted = Engine(trained).run(channels_last(images))
    with torch.no_grad():
        np.testing.assert_array_equal(network(images).numpy(), wanted)
        np.testing.assert_array_equal(network.train()(images).numpy(), wanted)  # frozen: training computes the same


def test_weights_alone_and_transposed_convolutions_are_rounded_in_training():
    torch.manual_seed(0)
    net = nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2), nn.ReLU(), nn.Conv2d(6, 3, 3)).eval()
    graph = capture(net, (4, 6, 6))
    images = torch.randn(8, 4, 6, 6)
    network = nudge(quantization_aware(quantize(graph, weights=3, activations=None)), images)
    trained = network.as_graph()
    assert [trained.weights[name].bits for name in ("0.weight", "2.weight")] == [3, 3]
    with torch.no_grad():
        found = network(images).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, reference.run(trained, channels_last(images)), atol=1e-5)


def test_folding_with_batch_statistics_is_the_paper_s_formula():
    """One layer on codes, against the formula written out in NumPy and torch's own batch norm."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4))
    nn.init.normal_(net[1].weight, 1.0, 0.5)
    nn.init.normal_(net[1].bias)
    with torch.no_grad():
        for _ in range(10):
            net.train()(torch.randn(32, 3, 7, 7))
    graph, norms = with_norms(net.eval(), (3, 7, 7))
    images = torch.randn(16, 3, 7, 7)
    made = quantize(graph, images, weights=5, norms=norms, answers="codes", equalized=False, correct=False)
    network = quantization_aware(made, scales="held").train()
    batch = 1.5 * torch.randn(8, 3, 7, 7) + 0.3
    form, source, target = made.graph.weights["0.weight"], *made.graph.quant_params.values()
    with torch.no_grad():
        values = dict(network.steps(batch))
    codes, made_codes = values[made.graph.nodes[0].name], values[made.graph.nodes[1].name]

    x = source.scale * (codes.double() - source.zero_point)  # what the layer really reads
    raw = F.conv2d(x, net[0].weight.double(), stride=2).detach().numpy()
    folded = F.conv2d(x, torch.from_numpy(form.dense()).double(), stride=2).numpy()
    norm, wanted = norms["0"], np.empty(folded.shape)
    for c in range(4):
        mean, deviation = raw[:, c].mean(), np.sqrt(raw[:, c].var() + norm.eps)
        moving = np.sqrt(norm.var[c] + norm.eps)
        wanted[:, c] = moving / deviation * folded[:, c] + norm.beta[c] - norm.gamma[c] * mean / deviation
    wanted = np.clip(wanted / target.scale + target.zero_point, 0, 255)
    assert np.abs(made_codes.numpy() - wanted).max() < 0.51
    # the moving statistics are those of a batch norm over the same sums
    judge = nn.BatchNorm2d(4)
    judge.load_state_dict(net[1].state_dict())
    judge.train()(torch.from_numpy(raw).float())
    ours = network.norms["0"]
    np.testing.assert_allclose(ours.mean.numpy(), judge.running_mean.numpy(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ours.var.numpy(), judge.running_var.numpy(), rtol=1e-4)


def test_norms_freeze_when_asked_and_after_the_delay():
    graph, norms = with_norms(small_network(), (3, 8, 8))
    images = torch.randn(16, 3, 8, 8)
    made = quantize(graph, images, norms=norms)
    network = quantization_aware(made, norm_delay=2).train()
    seen = []
    for _ in range(4):
        with torch.no_grad():
            network(images)
        seen.append(network.norms["0"].var.clone())
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])
    again = quantization_aware(made)
    assert not bool(again.frozen)
    again.load_state_dict(network.state_dict())
    assert bool(again.frozen)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(images), network.eval()(images), rtol=0, atol=0)
    asked = quantization_aware(made).train()
    asked.freeze_norms()
    with torch.no_grad():
        asked(images)
    torch.testing.assert_close(asked.norms["0"].var, quantization_aware(made).norms["0"].var, rtol=0, atol=0)
    assert bool(quantization_aware(quantize(graph, images)).frozen)  # no norms, nothing to wait for


def test_norms_follow_the_equalization_of_channels():
    """Scaled channels' batch statistics are scaled alike: one training batch gives near the float network's answer."""
    net = small_network()
    with torch.no_grad():
        net[1].weight.mul_(torch.logspace(-2, 0, 8))
        net[1].bias.mul_(torch.logspace(-2, 0, 8))
        for _ in range(60):
            net.train()(torch.randn(64, 3, 8, 8))
    graph, norms = with_norms(net.eval(), (3, 8, 8))
    images = torch.randn(64, 3, 8, 8)
    made = quantize(graph, images, norms=norms)
    assert np.abs(made.norms["0"].gamma / norms["0"].gamma).max() > 2
    with torch.no_grad():
        wanted = net.train()(images)
        found = quantization_aware(made).train()(images)
    assert (wanted - found).norm() < 0.06 * wanted.norm()


def test_gradients_of_scales_are_lsq_s():
    """Esser et al. 2020, equation 3 and section 2.2, number by number; clipped is what rounds beyond the last code."""
    torch.manual_seed(0)
    graph = capture(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval(), (3, 2, 2))
    made = quantize(graph, weights=3, activations=None, scales="mse")
    network = quantization_aware(made).train()
    x, pull = torch.randn(5, 3, 2, 2), torch.randn(5, 3)
    (network(x) * pull).sum().backward()
    weight = graph.weights["1.weight"].dense().astype(np.float64)
    upstream = (pull.T @ x.flatten(1)).numpy().astype(np.float64)
    scales, most = made.graph.weights["1.weight"].scales.astype(np.float64), 3
    for c in range(3):
        total = 0.0
        for j in range(12):
            v = weight[c, j] / scales[c]
            total += upstream[c, j] * (most * np.sign(v) if abs(np.rint(v)) > most else np.rint(v) - v)
        wanted = total / np.sqrt(12 * most)
        assert network.weight_scales["1/weight"].grad[c].item() == pytest.approx(wanted, rel=1e-4, abs=1e-6)


@functools.cache
def problem():
    """Ten-class images: a class is a smooth template, shifted, under noise. Training and test sets of 600."""
    generator = torch.Generator().manual_seed(7)
    templates = F.interpolate(torch.randn(10, 2, 4, 4, generator=generator), size=(12, 12), mode="bilinear")
    labels = torch.randint(10, (1200,), generator=generator)
    moves = torch.randint(-1, 2, (1200, 2), generator=generator)
    images = torch.stack(
        [torch.roll(templates[k], tuple(m.tolist()), (1, 2)) for k, m in zip(labels, moves, strict=True)]
    )
    images = images + 3.0 * torch.randn(images.shape, generator=generator)
    return images[:600], labels[:600], images[600:], labels[600:]


def train(network, images, labels, steps, lr):
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr)
    network.train()
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        rows = torch.randint(len(images), (64,), generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - step / steps)
        optimizer.zero_grad()
        F.cross_entropy(network(images[rows]), labels[rows]).backward()
        optimizer.step()
    return network.eval()


@torch.no_grad()
def accuracy(network, images, labels):
    return float((network(images).argmax(1) == labels).float().mean())


@functools.cache
def trained_float():
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(2, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()),
        *(nn.Conv2d(12, 12, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(108, 10)),
    )
    images, labels, _, _ = problem()
    return train(net, images, labels, 150, 0.01)


@pytest.mark.parametrize(("bits", "with_batch_norms"), [(2, True), (2, False), (3, True)])
def test_training_recovers_what_few_bits_lose(bits, with_batch_norms):
    images, labels, others, answers = problem()
    net = trained_float()
    graph, norms = with_norms(net, (2, 12, 12))
    made = quantize(graph, images[:100], weights=bits, activations=bits, norms=norms if with_batch_norms else None)
    network = quantization_aware(made, norm_delay=60)
    before = accuracy(network.eval(), others, answers)
    after = accuracy(train(network, images, labels, 90, 0.01), others, answers)
    real = accuracy(net, others, answers)
    print(real, before, after)
    assert before < real - 0.03
    assert after > before + 0.5 * (real - before)


def test_what_cannot_be():
    graph, norms = with_norms(small_network(), (3, 8, 8))
    made = quantize(graph, torch.randn(4, 3, 8, 8), norms=norms)
    with pytest.raises(ArgumentError, match="unknown treatment of scales"):
        quantization_aware(made, scales="free")
    with pytest.raises(ArgumentError, match="invalid delay"):
        quantization_aware(made, norm_delay=-1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3)).eval()
    graph, norms = with_norms(net, (1, 2, 2))
    network = quantization_aware(quantize(graph, torch.randn(4, 1, 2, 2), norms=norms)).train()
    with pytest.raises(TrainingError, match="no deviation"):
        network(torch.randn(1, 1, 2, 2))
