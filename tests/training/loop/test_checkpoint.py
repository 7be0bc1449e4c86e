import os

import pytest
import torch

from paring import training
from paring.errors import CheckpointError, OutputError
from paring.files import write_atomic
from paring.training.loop import Clock, Interruption


def test_round_trip(tmp_path):
    tensors = {
        "a": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "mask": torch.tensor([True, False]),
        "indices": torch.arange(3, dtype=torch.int32),
        "empty": torch.zeros(0),
        "number": torch.tensor(7.0),
    }
    words = {"stage": "prune", "nested": {"list": [1, 2.5, None], "text": "ü"}}
    training.save_checkpoint(tmp_path / "c", tensors, words)
    found, said = training.load_checkpoint(tmp_path / "c")
    assert said == words
    assert {n: (t.dtype, t.tolist()) for n, t in found.items()} == {
        n: (t.dtype, t.tolist()) for n, t in tensors.items()
    }
    assert os.listdir(tmp_path) == ["c"]


def test_every_cut_and_many_flips_are_refused(tmp_path):
    path = tmp_path / "c"
    training.save_checkpoint(path, {"a": torch.arange(4.0)}, {"stage": "train"})
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointError, match="c: "):
            training.load_checkpoint(path)
    header = int.from_bytes(good[:8], "little")
    for at in range(8 + header):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
        try:
            training.load_checkpoint(path)
        except CheckpointError:
            continue


def test_missing_foreign_and_future_files_are_refused(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(CheckpointError, match="No such file"):
        training.load_checkpoint(tmp_path / "none")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="not Paring's"):
        training.load_checkpoint(tmp_path / "foreign")
    save_file({"a": torch.zeros(1)}, tmp_path / "future", {"paring": '{"version": 99}'})
    with pytest.raises(CheckpointError, match="another version"):
        training.load_checkpoint(tmp_path / "future")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "c"
    write_atomic(path, b"old")

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["c"]
    with pytest.raises(OutputError):
        write_atomic(tmp_path / "nowhere" / "c", b"new")


def test_differences_are_named():
    lines = training.differences({"a": 1, "b": {"x": 1, "y": 2}, "gone": 0}, {"a": 1, "b": {"x": 3, "y": 2}, "new": 5})
    assert lines == ["b.x was 1, is 3", "gone was 0, is None", "new was None, is 5"]


def test_the_clock_counts_steps():
    clock = Clock(0, 3)
    assert [clock.due() for _ in range(7)] == [False, False, True, False, False, True, False]
    assert not any(Clock(0, 0).due() for _ in range(5))


def test_a_second_interruption_is_not_held_back():
    with Interruption() as asked:
        asked._ask(2, None)
        assert asked.asked
        with pytest.raises(KeyboardInterrupt):
            asked._ask(2, None)
