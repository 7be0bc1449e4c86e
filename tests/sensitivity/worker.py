"""A sensitivity analysis that is killed again and again, for test_analyze.py: ``worker.py FILE``.

Every attempt is a fork of this process, which has imported torch but computed nothing. Each dies right after its second
point is on disk; after the last one the file's end is torn off in the middle of a line.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from paring.sensitivity import sensitivity
from tests.recipes.small_problem import Small

METHODS = {"prune": [0.5, 0.1], "quantize": [2]}


def problem():
    torch.manual_seed(7)
    network = Small().eval()
    return network, torch.randn(20, 1, 12, 12), torch.arange(20).numpy() % 3


def attempt(file):
    torch.set_num_threads(1)
    sync, done = os.fsync, []

    def dying(descriptor):
        sync(descriptor)
        done.append(descriptor)
        if len(done) == (2 if lines else 3):  # a new file's first line is no point
            os.kill(os.getpid(), signal.SIGKILL)

    lines = file.read_bytes().count(b"\n") if file.exists() else 0
    os.fsync = dying
    sensitivity(*problem(), methods=METHODS, cache=file)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    for _ in range(3):
        child = os.fork()
        if not child:
            attempt(path)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    data = path.read_bytes()
    assert data.count(b"\n") == 1 + 3 * 2
    path.write_bytes(data[:-7])
