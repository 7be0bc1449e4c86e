"""Recipes on two processes over gloo, against one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from paring import container
from paring.record import Record
from tests import PYTHONPATH
from tests.recipes.run import distributed_worker

pytest.importorskip("accelerate", reason="accelerate is not installed")

WORKER = Path(__file__).with_name("distributed_worker.py")


def launch(*words):
    """The worker on two processes."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PYTHONPATH}
    command = [*start, "--monitor-interval=0.1", str(WORKER), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.mark.parametrize("recipe", list(distributed_worker.OPTIONS))
def test_two_processes_killed_and_resumed_come_to_what_one_comes_to(recipe, tmp_path):
    died = launch(recipe, tmp_path / "two", 30)  # four epochs of six steps, then in a later training
    assert died.returncode != 0
    assert not (tmp_path / "two" / "record.json").exists()
    steps = json.loads((tmp_path / "two" / "steps.json").read_text())["steps"]
    assert steps[0]["place"] == "01-train"
    done = launch(recipe, tmp_path / "two")
    assert done.returncode == 0, done.stderr[-3000:]

    distributed_worker.run(recipe, tmp_path / "one")
    one, two = (Record.load(tmp_path / folder) for folder in ("one", "two"))
    assert [stage.name for stage in two.stages] == [stage.name for stage in one.stages]
    for mine, theirs in zip(two.stages, one.stages, strict=True):
        assert abs(mine.test_error - theirs.test_error) * one.test_images <= 2, mine.name
        assert mine.nonzeros == pytest.approx(theirs.nonzeros, abs=3)
        if mine.train_loss is not None:
            assert mine.train_loss == pytest.approx(theirs.train_loss, abs=2e-2)
    assert two.stages[0].train_loss == pytest.approx(one.stages[0].train_loss, abs=1e-4)
    assert two.file_bytes == pytest.approx(one.file_bytes, rel=0.01)
    graphs = [container.read(tmp_path / folder / "Net.pare").graph for folder in ("one", "two")]
    assert set(graphs[0].weights) == set(graphs[1].weights)
    if recipe == "slim":  # pruning by magnitude jumps where two weights are a rounding apart
        for name, form in graphs[0].weights.items():
            np.testing.assert_allclose(graphs[1].weights[name].dense(), form.dense(), atol=5e-3, err_msg=name)
