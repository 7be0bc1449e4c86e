"""Cached logits made by real processes over gloo, started by torchrun's module, against those of one process."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from paring.errors import OutputError, TrainingError
from paring.training import World
from tests import PYTHONPATH
from tests.distillation import worker

pytest.importorskip("accelerate", reason="accelerate is not installed")

WORKER = Path(__file__).with_name("worker.py")
IMAGES, BATCH = worker.IMAGES, worker.BATCH


def launch(case, folder, processes=2):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PYTHONPATH}
    return subprocess.run(
        [*words, str(WORKER), case, str(folder)], capture_output=True, text=True, timeout=120, env=environment
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The folder of each number of processes, and what every process of it found."""
    results = {}
    for size in (1, 2, 3):
        folder = tmp_path_factory.mktemp(f"of{size}")
        if size == 1:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            results[1] = folder, [{"shared": worker.shared(folder, World(torch.device("cpu")))}]
            torch.set_num_threads(threads)
            continue
        case = "together" if size == 2 else "shared"
        done = launch(case, folder, size)
        assert done.returncode == 0, done.stderr[-3000:]
        read = [json.loads((folder / f"{case}-{rank}.json").read_text()) for rank in range(size)]
        results[size] = folder, read if size == 2 else [{"shared": one} for one in read]
    return results


@pytest.mark.parametrize("size", [2, 3])
def test_the_file_is_that_of_one_process_byte_for_byte(found, size):
    one, many = (found[number][0] / "c.safetensors" for number in (1, size))
    assert one.read_bytes() == many.read_bytes()
    assert not many.with_name("c.safetensors.partial").exists()
    rows = [result["shared"]["last"] for result in found[size][1]]
    assert rows == [found[1][1][0]["shared"]["last"]] * size


@pytest.mark.parametrize("size", [2, 3])
def test_every_process_computes_its_share_and_the_first_one_counts(found, size):
    whole = -(-IMAGES // BATCH)
    for rank, result in enumerate(found[size][1]):
        share = len(range(rank, whole, size)) * BATCH
        for asked in result["shared"]["asked"]:
            assert share - BATCH <= asked <= share + 3  # the number of classes, and the spot check
    assert found[size][1][0]["shared"]["progress"][-1] == [IMAGES, IMAGES]
    assert all(not result["shared"]["progress"] for result in found[size][1][1:])


@pytest.mark.parametrize("size", [2, 3])
def test_trouble_of_one_process_is_every_process_s(found, size):
    for kind in ("other", "unwritable", "broken"):
        said = [result["shared"][kind] for result in found[size][1]]
        assert said[0] is not None
        assert said == said[:1] * size
    one = found[1][1][0]["shared"]
    assert found[size][1][0]["shared"]["broken"] == one["broken"]
    assert one["broken"] == [
        "TrainingError", "image 88: teacher's logit cannot be kept; found a number that is not finite. "
        "The teacher is broken: evaluate it first.",
    ]  # fmt: skip
    unseen = [result["shared"]["unseen"] for result in found[size][1]]
    assert unseen == unseen[:1] * size
    kind, words = unseen[0]
    assert kind == "CheckpointError"
    assert re.search(rf"not where every process can read them; found none for process 1 of {size}", words)


def test_a_killed_process_is_named_and_the_rest_computed_by_one_to_the_same_bytes(tmp_path, found):
    done = launch("dying", tmp_path)
    assert done.returncode != 0
    kind, words = json.loads((tmp_path / "said-0.json").read_text())
    assert kind == "TrainingError"
    assert re.search(r"c\.safetensors, image 32 of 107, process 0 of 2: another process of this job is gone", words)
    assert not (tmp_path / "c.safetensors").exists()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole, net = tmp_path / "whole.safetensors", worker.teacher(1)
    data = worker.dataset(IMAGES)
    worker.cached_logits(whole, [worker.teacher(1)], data, batch=BATCH)
    worker.cached_logits(tmp_path / "c.safetensors", [net], data, batch=BATCH)
    torch.set_num_threads(threads)
    assert (tmp_path / "c.safetensors").read_bytes() == whole.read_bytes()
    assert net.asked <= IMAGES - 32 + 3


def test_a_student_learns_from_the_shared_cache_what_one_process_s_learns(tmp_path, found):
    one = worker.recipe(tmp_path, World(torch.device("cpu")))
    for result in found[2][1]:
        for name, value in one.items():
            np.testing.assert_allclose(result["recipe"][name], value, rtol=0, atol=1e-5, err_msg=name)


def test_an_error_says_the_same_in_another_process():
    error = TrainingError("it broke", where=Path("a/b"), found=3, expected="4", fix="Mend it")
    plain = OutputError("cannot write", where="x")
    for given in (error, plain):
        again = pickle.loads(pickle.dumps(given))
        assert type(again) is type(given)
        assert str(again) == str(given)
        assert vars(again) == vars(given)
