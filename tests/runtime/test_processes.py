"""Engines of several threads in forked and spawned processes, beside other threads, and at exit."""

import os
import subprocess
import sys

import pytest

from tests import PYTHONPATH

FORK = ["fork", "fork_and_destroy_unused", "fork_before_the_first_run", "fork_twice", "fork_while_threads_run"]
POOLS = ["pool fork", "pool forkserver", "pool spawn"]
ANYWHERE = ["pool spawn", "profile_while_threads_run", "idle_at_exit", "sub_interpreter"]
HERE = [*FORK, *POOLS, *ANYWHERE[1:]] if hasattr(os, "fork") else ANYWHERE


@pytest.mark.parametrize("scenario", HERE)
def test_it_answers_right_and_ends(scenario):
    command = [sys.executable, "-m", "tests.runtime.process_scenarios", *scenario.split()]
    environment = os.environ | {"PYTHONPATH": PYTHONPATH}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
