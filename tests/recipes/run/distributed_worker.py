"""What one of several processes does in test_distributed.py: ``distributed_worker.py RECIPE FOLDER [DIES]``.

With DIES the second process ends itself in the middle of its so-manieth training step.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from paring.recipes import compress
from paring.training.loop import _fit
from tests.recipes.run.problem import Net
from tests.recipes.run.problem import sets as plain_sets
from tests.recipes.small_problem import options

TRAINING = {"epochs": 4, "batch": 16, "lr": 5e-3}
#: Options of each recipe that is tried.
OPTIONS = {
    "deep-compression": options(keep=0.3, rounds=5, centroids=8),
    "slim": {"macs": 0.8, "epochs": 2, "calibrate": 32},
}


def run(name, folder, **more):
    """The recipe on a network with batch norms, quietly; what it came to."""
    given = {"progress": False, "checkpoint_seconds": 0, "checkpoint_steps": 2, "threads": 1, "log": lambda line: None}
    return compress(Net, plain_sets(), folder, name, training=TRAINING, **{**given, **more}, **OPTIONS[name])


def die_at(number):
    """Of this process's training steps."""
    step, done = _fit._step, []

    def counted(*arguments):
        done.append(1)
        if len(done) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments)

    _fit._step = counted


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 3 and os.environ["RANK"] == "1":
        die_at(int(sys.argv[3]))
    lines = []
    place = Path(sys.argv[2])
    run(sys.argv[1], place, resume=True, log=lines.append)
    if os.environ["RANK"] != "0":
        assert not lines
    else:
        assert any(line.startswith("write: ") for line in lines)
