"""A training run that is killed again and again, for test_kill.py: ``kill_worker.py FOLDER STEP,STEP,...``.

Every attempt is a fork of this process, which has imported torch but computed nothing. The last attempt is not
killed; it writes FOLDER/killed/weights.bin. FOLDER/whole gets the same run without kills.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from paring import methods, training
from tests.training.problem import batches, bytes_of, dataset, network, settings


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def attempt(folder, step, write):
    """Train on; die after ``step``, and if ``write``, between writing its checkpoint and renaming it."""
    torch.set_num_threads(1)
    net = network()
    methods.prune(net, {"5": 0.5})

    def after(number):
        if number == step:
            if not write:
                kill()
            os.replace = lambda *paths: kill()

    training.run(
        net,
        batches(),
        settings(optimizer="adam", ema=0.9, mixup=0.2),
        folder=folder,
        classes=3,
        evaluate=training.evaluator(dataset()),
        after_step=after,
        clock=training.Clock(0, 2),
        resume=True,
        progress=False,
    )
    (folder / "weights.bin").write_bytes(bytes_of(net))


def attempts(folder, kills):
    """One child after the other; the last one, with no step to die at, finishes."""
    for count, step in enumerate([*kills, -1]):
        child = os.fork()
        if not child:
            attempt(folder, step, write=count == 1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == (0 if step == -1 else signal.SIGKILL), (step, status)


if __name__ == "__main__":
    attempts(Path(sys.argv[1]) / "killed", [int(step) for step in sys.argv[2].split(",")])
    attempts(Path(sys.argv[1]) / "whole", [])
