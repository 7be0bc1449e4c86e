import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paring.data import load
from paring.data._dataset import held_out, spread
from paring.errors import ArgumentError, DataError
from paring.image import Preparation


def test_prepared_is_the_plain_formula_in_float32(write_mnist, digits):
    found = load(f"mnist:{write_mnist(*digits)}", mean=(0.25,), std=(0.5,))
    out = found.prepared(3, 5)
    assert out.dtype == np.float32
    assert out.shape == (2, 6, 5, 1)
    for index in np.ndindex(out.shape):
        value = np.float32(digits[0][0][3 + index[0], index[1], index[2]])
        assert out[index] == (value / np.float32(255) - np.float32(0.25)) / np.float32(0.5)
    batches = list(found.batches(16))
    assert [len(labels) for _, labels in batches] == [16, 16, 8]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), found.prepared())


def test_a_network_s_own_preparation_is_obeyed(write_mnist, digits):
    folder = write_mnist(*digits)
    own = Preparation(8, 8, 3, (0.5,) * 3, (0.2,) * 3, 9)
    found = load(f"mnist:{folder}", "test", preparation=own)
    assert found.images.shape == (20, 8, 8, 3)
    assert found.preparation == own
    with pytest.raises(ArgumentError, match="already fixes"):
        load(f"mnist:{folder}", size=3, preparation=own)


def test_size_and_channels(write_mnist, digits):
    folder = write_mnist(*digits)
    assert load(f"mnist:{folder}", size=(12, 10), channels=3).images.shape == (40, 12, 10, 3)
    assert load(f"mnist:{folder}", size=4).images.shape == (40, 4, 4, 1)


def test_limit_is_spread_over_a_sorted_set(write_mnist):
    images, labels = np.zeros((100, 2, 2)), np.repeat(np.arange(10), 10)
    folder = write_mnist((images, labels), (images, labels))
    assert np.bincount(load(f"mnist:{folder}", limit=20).labels).tolist() == [2] * 10


@given(st.integers(1, 300), st.integers(1, 400))
def test_spread_takes_distinct_samples_in_order(count, limit):
    numbers = spread(count, limit)
    assert len(numbers) == min(count, limit)
    assert np.all(np.diff(numbers) > 0)
    assert numbers[0] >= 0
    assert numbers[-1] < count
    assert np.diff(numbers).max(initial=1) <= -(-count // min(limit, count))


@given(st.lists(st.integers(0, 4), max_size=80))
def test_held_out_is_every_fifth_of_each_class(labels):
    seen, expected = {}, []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        expected.append(seen[label] % 5 == 0)
    assert held_out(np.array(labels, np.int64)).tolist() == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mnst:x", "unknown kind of data set; found 'mnst'; expected mnist or mnist5k"),
        ("cifar10", "unknown kind"),
        ("", "unknown kind"),
        ("mnist", "mnist lacks a place"),
        ("imagefolder:", "imagefolder lacks a place"),
    ],
)
def test_unknown_kind(spec, message):
    with pytest.raises(DataError, match=message):
        load(spec)


def test_arguments_that_cannot_be(write_mnist, digits):
    spec = f"mnist:{write_mnist(*digits)}"
    for wrong, message in [
        ({"split": "valid"}, "unknown split"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"size": 0}, "size must be at least 1"),
        ({"channels": 2}, "impossible channel count"),
        ({"on_bad_image": "ignore"}, "on_bad_image"),
        ({"std": (0.0,), "mean": (0.0,)}, "std is not positive"),
        ({"mean": (0.0, 0.0)}, "mean does not fit"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            load(spec, **wrong)


def test_a_set_too_large_for_memory_is_refused_before_it_is_decoded(write_mnist, digits, monkeypatch):
    spec = f"mnist:{write_mnist(*digits)}"
    monkeypatch.setattr("paring.data._load.MAX_BYTES", 40 * 6 * 5)
    load(spec)
    monkeypatch.setattr("paring.data._load.MAX_BYTES", 40 * 6 * 5 - 1)
    with pytest.raises(DataError, match=r"does not fit in memory; found .* GiB; expected up to .* GiB\. Take fewer"):
        load(spec)


def test_digest_tells_data_apart(write_mnist, digits, tmp_path):
    one = load(f"mnist:{write_mnist(*digits)}")
    assert one.digest == load(one.name).digest
    assert one.digest != load(one.name, limit=39).digest
    digits[0][1][0] += 1 if digits[0][1][0] < 9 else -1
    assert one.digest != load(f"mnist:{write_mnist(*digits, folder=tmp_path / 'other')}").digest


def test_a_constant_channel_does_not_divide_by_nothing(write_mnist, digits):
    images = np.full((10, 3, 3), 255)
    preparation = load(f"mnist:{write_mnist((images, np.arange(10)), digits[1])}").preparation
    assert (preparation.mean, preparation.std) == ((1.0,), (1.0,))
