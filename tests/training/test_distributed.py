"""Real processes over gloo, started by torchrun's module, against one process."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import PYTHONPATH
from tests.training import distributed_worker

pytest.importorskip("accelerate", reason="accelerate is not installed")

WORKER = Path(__file__).with_name("distributed_worker.py")


def launch(case, folder, processes=2, look=0.1):
    """``look``: seconds between two looks of the launcher at its processes, the time one that is left has to speak."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    words += [f"--monitor-interval={look}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PYTHONPATH}
    return subprocess.run(
        [*words, str(WORKER), case, str(folder)], capture_output=True, text=True, timeout=120, env=environment
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Results of two processes, and of one."""
    two, one = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("one")
    done = launch("together", two)
    assert done.returncode == 0, done.stderr[-3000:]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    distributed_worker.together(one)
    torch.set_num_threads(threads)
    found = tuple(json.loads((folder / "together.json").read_text()) for folder in (two, one))
    found[0]["threads"] = [json.loads(path.read_text()) for path in two.glob("threads-*.json")]
    return found


def test_two_processes_train_lenet_as_one_does(both):
    two, one = (found["lenet_curve"] for found in both)
    assert (both[0]["size"], both[1]["size"]) == (2, 1)
    assert len(one) == len(two) == 50
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-5)
    assert one[-1] < 0.5 * one[0]


def test_normalization_mixup_average_and_scores_are_one_process_s(both):
    two, one = (found["normalized"] for found in both)
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=0, atol=1e-5)
    assert two["score"]["error"] == one["score"]["error"]
    assert two["score"]["error"] * 53 == pytest.approx(round(two["score"]["error"] * 53))  # nobody counted twice
    assert two["score"]["loss"] == pytest.approx(one["score"]["loss"], abs=1e-4)
    for name, value in one["weights"].items():
        np.testing.assert_allclose(two["weights"][name], value, rtol=0, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("kind", ["1d", "2d", "3d", "bare"])
def test_synchronized_normalization_is_that_of_the_whole_batch(both, kind):
    layer = {
        "1d": torch.nn.BatchNorm1d(3, eps=0.1),
        "2d": torch.nn.BatchNorm2d(3, momentum=0.3),
        "3d": torch.nn.BatchNorm3d(3, momentum=None, affine=False),
        "bare": torch.nn.BatchNorm1d(3, track_running_stats=False),
    }[kind].double()
    shape = {"1d": (8, 3), "2d": (8, 3, 2, 5), "3d": (8, 3, 2, 2, 2), "bare": (8, 3, 4)}[kind]
    torch.manual_seed(1)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, 1.0)
    for _ in range(2):
        x = (torch.randn(shape, dtype=torch.float64) * 3 + 1).requires_grad_()
        up = torch.randn(shape, dtype=torch.float64)
        layer.zero_grad()
        y = layer(x)
        (y * up).sum().backward()
    expected = [y.detach(), x.grad, *(p.grad for p in layer.parameters()), *layer.state_dict().values()]
    for found in both:
        assert len(found["gradients"][kind]) == len(expected)
        for ours, torchs in zip(found["gradients"][kind], expected, strict=True):
            np.testing.assert_allclose(ours, torchs.numpy(), rtol=1e-10, atol=1e-12)


def test_a_batch_that_cannot_be_shared_is_refused(both):
    uneven, odd = both[0]["refused"]
    assert (
        "2 processes cannot share a batch evenly; found 17 images; expected a multiple of 2, such as 16, 18" in uneven
    )
    assert "mixup needs pairs of images; found 9 images a process" in odd


def test_a_killed_process_ends_the_job_which_one_process_or_two_resume(tmp_path):
    done = launch("dying", tmp_path / "two", look=5)
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr  # the launcher's word for the one
    words = r"train, step [456], process 0 of 2: another process of this job is gone; found .*--resume"
    assert re.search(words, done.stderr)  # and ours for the other
    newest = max(path.name for path in (tmp_path / "two" / "run").glob("step-*"))
    assert newest in ("step-00000005.safetensors", "step-00000006.safetensors")
    assert not (tmp_path / "two" / "dying.json").exists()
    shutil.copytree(tmp_path / "two", tmp_path / "one")
    for folder in ("one", "whole"):
        distributed_worker.dying(tmp_path / folder)  # in a world of one nobody dies
    again = launch("resuming", tmp_path / "two")
    assert again.returncode == 0, again.stderr[-3000:]
    one, two, whole = (json.loads((tmp_path / f / "dying.json").read_text()) for f in ("one", "two", "whole"))
    for name, value in whole.items():
        np.testing.assert_allclose(one[name], value, rtol=0, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(two[name], value, rtol=0, atol=1e-5, err_msg=name)


def test_a_request_to_one_process_stops_all_at_the_same_step(both):
    assert [found["asked"] for found in both] == [["step-00000004.safetensors"]] * 2


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not name threads")
def test_no_thread_of_gloo_outlives_python(both):
    # One that asks for the interpreter's lock while that is torn down aborts the process.
    threads = both[0]["threads"]
    assert len(threads) == 2
    assert not [name for names in threads for name in names if "gloo" in name]
