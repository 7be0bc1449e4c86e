import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests import PYTHONPATH

WORKER = Path(__file__).with_name("kill_worker.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_kill_9_at_three_random_steps_changes_no_bit(tmp_path):
    """The second kill falls between writing a checkpoint and giving it its name."""
    seed = int(os.environ.get("PARING_SEED", "20"))
    print("PARING_SEED", seed)
    steps = sorted(random.Random(seed).sample(range(2, 17), 3))
    words = [sys.executable, str(WORKER), str(tmp_path), ",".join(map(str, steps))]
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "killed" / "weights.bin").read_bytes() == (tmp_path / "whole" / "weights.bin").read_bytes()
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    kept = {"step-00000016.safetensors", "step-00000018.safetensors"}
    assert left == kept | {"log.jsonl", "training.json", "weights.bin"}
