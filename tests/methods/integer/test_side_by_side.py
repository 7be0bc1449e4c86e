"""Images side by side on threads: nothing depends on how many there are or on how images are cut into pieces."""

import numpy as np
import pytest
import torch
from torch import nn

from paring.capture import capture
from paring.methods.integer import Histogram, quantize
from paring.methods.integer import _workers as workers_module
from paring.methods.integer._maps import Maps
from paring.methods.integer._workers import Workers, pieces


@pytest.fixture
def threads():
    """Sets torch's number of threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU(), nn.Conv2d(8, 8, 1))
        self.last = nn.Linear(8, 5)

    def forward(self, x):
        x = self.first(x)
        x = torch.relu(x + self.deep(x))
        return self.last(x.mean((2, 3)))


def example(count=9):
    torch.manual_seed(0)
    return capture(Residual().eval(), (3, 12, 10)), torch.randn(count, 3, 12, 10)


def test_any_number_of_threads_gives_the_same_bits(threads, monkeypatch):
    monkeypatch.setattr(workers_module, "_NUMBERS", 2000)  # two images a piece
    graph, images = example()
    assert len(pieces(graph.shapes, len(images))) == 5
    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append(quantize(graph, images, weights=4))
        assert torch.get_num_threads() == count
    for other in found[1:]:
        assert other.graph.nodes == found[0].graph.nodes
        assert [layer.ratio for layer in other.rows] == [layer.ratio for layer in found[0].rows]
        for name, form in other.graph.weights.items():
            np.testing.assert_array_equal(form.dense(), found[0].graph.weights[name].dense())


def test_pieces_change_no_more_than_the_order_of_sums(monkeypatch):
    graph, images = example()
    whole = quantize(graph, images)
    monkeypatch.setattr(workers_module, "_NUMBERS", 1)
    single = quantize(graph, images)
    for one, other in zip(whole.rows, single.rows, strict=True):
        assert one.ratio == pytest.approx(other.ratio, abs=0.5)
    for name, form in whole.graph.weights.items():
        np.testing.assert_allclose(single.graph.weights[name].dense(), form.dense(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_on_a_worker_comes_out_and_threads_are_put_back(count, threads):
    threads(count)
    with pytest.raises(ZeroDivisionError), Workers() as workers:
        workers.each(lambda part: 1 // part.start, [slice(1, 2), slice(0, 1), slice(2, 3)])
    assert torch.get_num_threads() == count


def test_workers_keep_order_and_take_no_gradients(threads):
    threads(2)
    x = torch.ones(6, requires_grad=True)
    with Workers() as workers:
        found = workers.each(lambda part: x[part] * part.start, [slice(i, i + 1) for i in range(6)])
    assert [float(y) for y in found] == list(range(6))
    assert not any(y.requires_grad for y in found)


@pytest.mark.parametrize("seed", range(4))
def test_merged_histograms_are_that_of_everything(seed):
    rng = np.random.default_rng(seed)
    parts = [torch.tensor(rng.normal(rng.normal(), 10.0 ** rng.integers(-3, 4), 500), dtype=torch.float32)]
    parts += [torch.tensor(rng.exponential(10.0 ** rng.integers(-3, 4), 300), dtype=torch.float32) for _ in range(3)]
    whole, merged = Histogram(256), Histogram(256)
    for part in parts:
        whole.update(part)
        one = Histogram(256)
        one.update(part)
        merged.merge(one)
    merged.merge(Histogram(256))
    assert (merged.width, merged.first, merged.low, merged.high) == (whole.width, whole.first, whole.low, whole.high)
    np.testing.assert_array_equal(merged.counts, whole.counts)
    assert merged.counts.sum() == sum(len(part) for part in parts)


def test_counts_far_from_zero_are_exact():
    x = torch.tensor([1e6, 1e6 + 0.0625, 1e6 + 0.125, -0.0])
    for values in (x[:3], x):
        histogram = Histogram(16)
        histogram.update(values)
        bins = np.floor(values.double().numpy() / histogram.width) - histogram.first
        np.testing.assert_array_equal(histogram.counts, np.bincount(bins.astype(int), minlength=len(histogram.counts)))


def test_maps_never_share_memory_while_in_use_and_use_it_again():
    maps = Maps({"a": (4, 4, 8), "b": (2, 2, 8), "c": (16,), "d": (8, 4, 8)}, 3)
    a, b = maps.new("a"), maps.new("b")
    assert (a.shape, maps.new("c").shape) == ((3, 8, 4, 4), (3, 16))
    a.fill_(1)
    b.fill_(2)
    assert bool((a == 1).all())
    place = a.data_ptr()
    maps.release(a)
    maps.release(torch.zeros(3))  # from elsewhere
    again, d = maps.new("b"), maps.new("d")
    assert again.data_ptr() == place
    d.fill_(3)
    again.fill_(4)
    assert bool((b == 2).all())
    assert bool((d == 3).all())
