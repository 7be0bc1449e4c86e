"""A list of steps that is killed again and again, for test_chain.py: ``kill_worker.py FOLDER``.

Every attempt is a fork of this process, which has imported torch but computed nothing. FOLDER/killed gets the run of
all attempts together, FOLDER/whole the same one without kills.
"""

import os
import signal
import sys
from pathlib import Path

import torch._export.non_strict_utils  # what the first capture would import, once for all attempts
import torch._export.passes
import torch.export._trace  # noqa: F401

from paring.recipes.run import _chain
from paring.recipes.run import _result as _chain_result
from paring.training.loop import _fit as _loop
from tests.recipes.run.problem import run


def kill(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_step(number):
    """In the middle of that training step of this attempt."""
    step, done = _loop._step, []

    def counted(*arguments):
        done.append(1)
        return kill() if len(done) == number else step(*arguments)

    _loop._step = counted


def die_at_write(number):
    """Instead of this attempt's so-manieth write of the chain's own files."""
    write, done = _chain.write_atomic, []

    def counted(path, data):
        done.append(1)
        return kill() if len(done) == number else write(path, data)

    _chain.write_atomic = counted


def die_at_the_file():
    """Instead of writing the result."""
    _chain_result.write = kill


#: In order: in the first training; after the first tuning and before it is noted down; in the second one; at the end.
DEATHS = [lambda: die_at_step(8), lambda: die_at_write(4), lambda: die_at_step(3), die_at_the_file]


def attempt(folder, death):
    child = os.fork()
    if not child:
        if death:
            death()
        run(folder, resume=True, checkpoint_seconds=0, checkpoint_steps=2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == (signal.SIGKILL if death else 0), (death, status)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for death in [*DEATHS, None]:
        attempt(place / "killed", death)
    attempt(place / "whole", None)
